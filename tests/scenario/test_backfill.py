# SPDX-License-Identifier: MIT
"""Nothing is lost and nothing stored twice: frames get lost all the time, the gateway is away for long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from communode.virtual.medium import Transmission
from field import DAY_US, HOUR_US, Field, FieldNode, Plan
from nightly import Nightly

LOSS = 0.3
AIRTIME_A_DAY_MS = 30_000
ANSWERS_A_DAY = 10
UNASKED = 2  # LinkADRReq of the network, not the node's wish


def _most_in_a_day(events: list[tuple[int, int]]) -> int:
    """Largest sum of values over any 24 hours."""
    most = total = first = 0
    for time_us, value in events:
        total += value
        while events[first][0] <= time_us - DAY_US:
            total -= events[first][1]
            first += 1
        most = max(most, total)
    return most


def _stored(field: Field, node: FieldNode) -> set[int]:
    return {number for number, _ in field.times(node)}


def _live(field: Field, outage_days: float, after_days: float) -> tuple[FieldNode, dict[str, Any]]:
    """A day, the outage, and what comes after it, at DR5; what came of it.

    The backlog is what was taken before the gateway came back: it is cleared when the store has all of it.
    """
    begin_us = DAY_US // 2
    end_us = begin_us + int(outage_days * DAY_US)
    field.gateway.outages.append((begin_us, end_us))
    node = field.add(Plan(profile="air", board="virtual", changes=(("alarms", ()),)))
    cleared_us = owed = 0

    def look() -> None:
        nonlocal cleared_us, owed
        kept = node.memory().journal
        assert kept is not None
        owed = owed or kept[1]
        if field.stored(node) >= owed and _stored(field, node) >= set(range(owed)):
            cleared_us = field.kernel.now_us()
        else:
            field.at(field.kernel.now_us() + HOUR_US, look)

    field.at(end_us, look)
    field.run(end_us + int(after_days * DAY_US))
    taken = node.journal().next_id
    # What the last frames lost comes within the next days; nothing new is taken into account.
    for _ in range(144):
        if _stored(field, node) >= set(range(taken)):
            break
        field.run(field.kernel.now_us() + HOUR_US // 2)
    numbers = [number for number, _ in field.times(node)]
    sent = field.frames(node)
    # Joins apart: they have limits of their own (TR007-1.1, 4.3).
    airtime = [(item.start_us, item.end_us - item.start_us) for item in sent if _is_data(item)]
    answers = [(item.start_us, 1) for item in field.sent if item.source == "gateway" and _is_data(item)]
    return node, {
        "records_taken": taken,
        "records_owed": owed,
        "records_delivered": len(set(numbers) & set(range(taken))),
        "duplicates": len(numbers) - len(set(numbers)),
        "days_to_clear": round((cleared_us - end_us) / DAY_US, 2) if cleared_us else None,
        "most_airtime_ms_a_day": _most_in_a_day(airtime) // 1000,
        "most_downlinks_a_day": _most_in_a_day(answers),
        "spreading_factors": sorted({item.spreading_factor for item in sent if _is_data(item)}),
    }


def _is_data(sent: Transmission) -> bool:
    return sent.payload[0] not in (0x00, 0x20)


def _judge(found: dict[str, Any], days: float) -> None:
    print(found)
    assert found["records_delivered"] == found["records_taken"]
    assert found["duplicates"] == 0
    assert found["days_to_clear"] is not None
    assert found["days_to_clear"] <= days
    assert found["most_airtime_ms_a_day"] <= AIRTIME_A_DAY_MS
    assert found["most_downlinks_a_day"] <= ANSWERS_A_DAY + UNASKED


@pytest.mark.timeout(400)
def test_two_days_without_gateway_are_delivered_whole_through_thirty_percent_loss(
    micropython: str, tmp_path: Path
) -> None:
    with Field(tmp_path, loss=LOSS, seed=2) as field:  # of those who lose one answer after the other
        _, found = _live(field, 2, 4)
        assert max(found["spreading_factors"]) >= 10  # down the ladder; from there the backlog takes a month
        _judge(found, 4.0)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_week_without_gateway_is_cleared_within_a_week(
    micropython: str, tmp_path: Path, nightly: Nightly, seed: int
) -> None:
    days = max(1, round(7 * nightly.scale)) if nightly.scale < 1 else 7
    with Field(tmp_path, loss=LOSS, seed=seed) as field:
        _, found = _live(field, days, days)
        nightly.record("backfill.json", "runs", {"name": f"seed {seed}", "loss": LOSS, "days": days, **found})
        _judge(found, 7.0)
