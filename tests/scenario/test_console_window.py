# SPDX-License-Identifier: MIT
"""The way in: two seconds at least after power-on and reset, none on waking, and a watchdog that starts after it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from communode.virtual.protocol import Op, Request
from field import HOUR_US, MINUTE_US, SECOND_US, Field, FieldNode, Plan

LEAST_WINDOW_US = 2 * SECOND_US
QUIET = Plan(changes=(("alarms", ()),))


@pytest.fixture
def field(micropython: str, tmp_path: Path) -> Iterator[Field]:
    with Field(tmp_path) as made:
        yield made


class Watched:
    """When a node started and fed its watchdog, and what somebody types at its console."""

    def __init__(self, node: FieldNode, typed: bytes = b"") -> None:
        self.started_us: list[int] = []
        self.fed_us: list[int] = []
        self._body, self._serve = node.body, node.body.serve
        node.body.serve = self._served  # type: ignore[method-assign]
        read, self.keyboard = os.pipe()
        node.body.console = (read, node.body.console[1])
        os.write(self.keyboard, typed)

    def _served(self, request: Request) -> None:
        self._serve(request)
        if request.op is Op.WDT_START:
            self.started_us.append(self._body.time_us)
        elif request.op is Op.WDT_FEED:
            self.fed_us.append(self._body.time_us)


def test_the_window_is_open_after_power_on_and_reset_and_not_on_waking(field: Field) -> None:
    node = field.add(QUIET)
    watched = Watched(node)
    field.at(HOUR_US + MINUTE_US, lambda: field.power_cycle(node))
    field.run(2 * HOUR_US)
    assert len(watched.started_us) > 10
    causes = []
    for started_us in watched.started_us:
        boot_us, cause = max(boot for boot in node.body.boots if boot[0] < started_us)
        causes.append(cause)
        waited_us = started_us - boot_us
        assert waited_us > LEAST_WINDOW_US if cause == 1 else waited_us < SECOND_US // 2, (cause, waited_us)
    assert causes.count(1) == 2


def test_a_session_is_served_with_the_watchdog_fed_and_the_node_goes_on_after_it(field: Field) -> None:
    node = field.add(QUIET)
    watched = Watched(node, b"\r")  # Enter, in the window
    words = b"status\ridentity\rsensors\rconfig\rlog\rnothing\r"
    field.at(10 * SECOND_US, lambda: os.write(watched.keyboard, words))
    field.run(HOUR_US)  # nobody types `exit`: the session ends by itself
    console = node.console()
    for line in (
        "console; try help",
        "profile bin",
        f"dev_eui {node.dev_eui}",
        "interval_s 600",
        "error unknown_command",
    ):
        assert line in console
    assert "app_key" not in console
    assert [
        cause for _, cause in node.body.boots if cause == 3
    ] == []  # five minutes, and a watchdog of three
    served = [us for us in watched.fed_us if us < 5 * MINUTE_US]
    gaps = [after - before for before, after in itertools.pairwise(served)]
    assert len(served) > 1000
    assert max(gaps) < 20 * SECOND_US
    assert node.journal().next_id >= 5
    assert field.stored(node) >= 4
