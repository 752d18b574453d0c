# SPDX-License-Identifier: MIT
"""The water meter, from the contact to the store: by the ULP of both chips that have one, and by a PCF8593."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import communode.build
import pytest
from field import HOUR_US, MINUTE_US, Field, FieldNode, Plan

QUIET = (("alarms", ()), ("interval_s", 600))
BOARDS = [("virtual", "water_meter"), ("lilygo_t3_v1_6_1", "water_meter"), ("heltec_ht_ct62", "water")]


@pytest.fixture
def field(micropython: str, tmp_path: Path) -> Iterator[Field]:
    with Field(tmp_path) as made:
        yield made


def volumes(field: Field, node: FieldNode) -> list[tuple[int, float | None, str]]:
    """(world time, litres, quality) of all delivered readings of the meter, by record."""
    found = {}
    for record, stamp, quantity, value, _, quality, _ in field.readings.rows(node.dev_eui):
        if quantity == "water_volume" and stamp is not None:
            time_us = (datetime.fromisoformat(stamp) - field.world.start_utc) // timedelta(microseconds=1)
            found[record] = (time_us, value, quality)
    return [found[record] for record in sorted(found)]


@pytest.mark.parametrize(("board", "profile"), BOARDS)
def test_a_day_of_pulses_is_counted_while_the_node_sleeps(field: Field, board: str, profile: str) -> None:
    node = field.add(Plan(board, profile, QUIET))
    field.run(24 * HOUR_US)
    found = volumes(field, node)
    assert len(found) > 120
    assert found[0][2] == "warming_up"
    assert {quality for _, _, quality in found[1:]} == {"good"}
    for time_us, value, _ in found:
        # The stamp is a second wide, and the radio's start may shift it by some.
        low, high = node.body.world.value_range(
            "water_index_l", max(0, time_us - 15_000_000), time_us + 15_000_000
        )
        assert value is not None
        assert int(low) - 1 <= value <= high
    assert found[-1][1] is not None
    assert found[-1][1] > 15
    assert node.body.deep_sleeps >= 120


@pytest.mark.parametrize("board", ["virtual", "lilygo_t3_v1_6_1"])
def test_resets_leave_the_count_alone_and_a_power_loss_is_told(field: Field, board: str) -> None:
    node = field.add(Plan(board, "water_meter", QUIET))
    for hour, cause in ((6, 3), (8, 2)):  # watchdog, machine.reset()
        field.at(hour * HOUR_US + 3 * MINUTE_US, lambda cause=cause: node.body.boot(cause))
    field.at(12 * HOUR_US + 3 * MINUTE_US, lambda: field.power_cycle(node))
    field.run(18 * HOUR_US)
    assert [cause for _, cause in node.body.boots if cause != 4] == [1, 3, 2, 1]
    found = volumes(field, node)
    lost_us = 12 * HOUR_US + 3 * MINUTE_US
    before = [item for item in found if item[0] < lost_us]
    after = [item for item in found if item[0] > lost_us]
    assert [quality for _, _, quality in before] == ["warming_up"] + ["good"] * (len(before) - 1)
    assert [quality for _, _, quality in after] == ["warming_up"] + ["good"] * (len(after) - 1)
    assert before[-1][1] == pytest.approx(node.body.world.value("water_index_l", before[-1][0]), abs=1.5)
    assert after[0][1] == 0
    grown = [value for _, value, _ in before]
    assert grown == sorted(grown, key=lambda value: value or 0)


def test_a_board_whose_coprocessor_never_runs_says_so(field: Field) -> None:
    node = field.add(Plan("virtual", "water_meter", QUIET))
    assert node.body.ulp is not None
    node.body._make_ulp = lambda: dead  # type: ignore[method-assign]
    dead = node.body.ulp
    dead.run = lambda entry, now_us: None  # type: ignore[method-assign]
    field.run(HOUR_US)
    found = volumes(field, node)
    assert found
    assert {(value, quality) for _, value, quality in found} == {(None, "fault")}


def test_an_image_that_went_around_the_build_says_absent_on_a_chip_without_ulp(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = communode.build.board_literal

    def with_ulp(*arguments: Any) -> dict[str, Any]:
        literal = usual(*arguments)
        literal["buses"]["ulp0"] = {"kind": "ulp", "pin": 2}
        return literal

    monkeypatch.setattr(communode.build, "board_literal", with_ulp)
    monkeypatch.setattr(communode.build, "check_fit", lambda board, profile: None)
    node = field.add(Plan("heltec_ht_ct62", "water_meter", QUIET), faults={"pulse_ulp": "absent"})
    field.run(HOUR_US)
    found = volumes(field, node)
    assert found
    assert {(value, quality) for _, value, quality in found} == {(None, "absent")}
