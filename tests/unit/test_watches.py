# SPDX-License-Identifier: MIT
"""Rules behind alarms: what leaks, floods and burns is found, told by the machine, remembered in sleep."""

from __future__ import annotations

import pytest
from communode.node.app.alarms import Alarms
from communode.node.app.watches import MAX_SIZE, Watches
from communode.node.schema.alarms import ACTIVE, FIRE, FLOOD, LEAK, TIPPED
from communode.node.schema.quantities import (
    AIR_TEMPERATURE,
    DISTANCE,
    FAULT,
    GOOD,
    TILT,
    WATER_LEVEL,
    WATER_VOLUME,
)
from communode.profiles import load_profile

DAY_S = 86_400
ALL = ((WATER_VOLUME, LEAK, 0, 0, 0), (WATER_LEVEL, FLOOD, 0, 0, 0), (AIR_TEMPERATURE, FIRE, 0, 0, 0))


def again(watches: Watches, rows: tuple[tuple[int, int, int, int, int], ...], slept: bool = True) -> Watches:
    other = Watches(rows)
    data = watches.to_bytes()
    assert len(data) <= MAX_SIZE
    assert other.load(data, slept)
    return other


def test_a_tap_that_runs_all_night_becomes_a_leak_alarm_with_its_flow() -> None:
    rows = tuple(row for row in load_profile("water").as_dict()["alarms"] if row[1] == LEAK)
    assert rows
    watches, alarms = Watches(rows), Alarms(rows)
    raised = []
    for number in range(3 * DAY_S // 600):
        readings = {WATER_VOLUME: (1000 + number, GOOD)}  # 1 L in ten minutes, day and night
        findings = watches.feed(readings, number * 600, number * 600)
        raised += alarms.evaluate(readings, number * 600_000, findings)
        watches = again(watches, rows)
    assert [(alarm.kind, alarm.state, alarm.value) for alarm in raised] == [(LEAK, ACTIVE, 6)]


def test_a_flow_that_rests_at_night_is_no_leak() -> None:
    rows = ALL[:1]
    watches = Watches(rows)
    litres = 0
    for number in range(3 * DAY_S // 600):
        litres += 20 if 6 <= number * 600 % DAY_S // 3600 < 22 else 0
        found = watches.feed({WATER_VOLUME: (litres, GOOD)}, number * 600, number * 600)
        assert found[LEAK][0] is False


def test_without_the_time_of_day_a_leak_cannot_be_judged() -> None:
    watches = Watches(ALL)
    before = watches.to_bytes()
    assert LEAK not in watches.feed({WATER_VOLUME: (5, GOOD)}, 0, None)
    assert watches.to_bytes() == before


@pytest.mark.parametrize(("quantity", "sign"), [(WATER_LEVEL, 1), (DISTANCE, -1)])
def test_water_that_rises_is_a_flood_whichever_way_it_is_looked_at(quantity: int, sign: int) -> None:
    rows = ((quantity, FLOOD, 200, 0, 0),)
    watches = Watches(rows)
    found = {}
    for number in range(5):
        found = watches.feed({quantity: (3000 + sign * 50 * number, GOOD)}, number * 600, None)
        watches = again(watches, rows)
        assert (found[FLOOD] == (None, None)) is (number < 3)
    assert found[FLOOD] == (True, 300)
    other = Watches(rows)
    for number in range(5):
        found = other.feed({quantity: (3000 - sign * 50 * number, GOOD)}, number * 600, None)
    assert found[FLOOD] == (False, -300)


def test_heat_is_fire_at_the_threshold_of_the_row() -> None:
    for threshold, expected in ((0, False), (50_000, True)):
        watches = Watches(((AIR_TEMPERATURE, FIRE, threshold, 0, 0),))
        assert watches.feed({AIR_TEMPERATURE: (55_000, GOOD)}, 0, None) == {FIRE: (expected, 55_000)}


def test_a_sensor_that_fails_is_no_evidence() -> None:
    watches = Watches(ALL)
    readings = {WATER_VOLUME: (5, FAULT), WATER_LEVEL: (None, FAULT), AIR_TEMPERATURE: (99_000, FAULT)}
    assert watches.feed(readings, 0, 0) == {}


def test_what_needs_no_rule_has_none() -> None:
    watches = Watches(((TILT, TIPPED, 600, 150, 500),))
    assert watches.feed({TILT: (900, GOOD)}, 0, 0) == {}
    assert again(watches, ALL).feed({}, 0, 0) == {}


def test_after_a_power_loss_only_what_counts_by_the_calendar_goes_on() -> None:
    watches = Watches(ALL)
    for number in range(10):
        readings = {
            WATER_VOLUME: (number, GOOD),
            WATER_LEVEL: (1000 + 100 * number, GOOD),
            AIR_TEMPERATURE: (20_000, GOOD),
        }
        watches.feed(readings, number * 600, DAY_S + number * 600)
    assert len(watches.to_bytes()) == MAX_SIZE
    after = again(watches, ALL, slept=False)
    readings = {WATER_VOLUME: (20, GOOD), WATER_LEVEL: (9000, GOOD), AIR_TEMPERATURE: (50_000, GOOD)}
    found = after.feed(readings, 6060, DAY_S + 7200)
    assert found == {LEAK: (False, 22), FLOOD: (None, None), FIRE: (False, 50_000)}


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"\x01",
        b"\x02\x03" + bytes(24),
        b"\x01\x03" + bytes(23),
        b"\x01\x02" + bytes(16),
        b"\x01\x03" + b"\x01" + bytes(23),
        b"\x01\x03" + b"\xff" * 24,
    ],
)
def test_what_is_no_state_is_refused_and_changes_nothing(data: bytes | None) -> None:
    watches = Watches(ALL)
    watches.feed({WATER_VOLUME: (5, GOOD)}, 0, 0)
    before = watches.to_bytes()
    assert not watches.load(data, True)
    assert watches.to_bytes() == before
