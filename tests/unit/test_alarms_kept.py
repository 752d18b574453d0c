# SPDX-License-Identifier: MIT
"""Alarms of a node: nothing that sleeps or loses power forgets them."""

from __future__ import annotations

import pytest
from alarm_bench import MIN, ROW, again, alarms, raised, states
from communode.node.app.alarms import MAX_SIZE, NO_AGE
from communode.node.schema.alarms import (
    ABOVE,
    ACTIVE,
    BELOW,
    FALL,
    IDLE,
    LATCHED,
    MAX_HOLD_OFF_S,
    RISE,
    TIPPED,
)
from communode.node.schema.quantities import (
    BATTERY,
    CO2,
    GOOD,
    TILT,
    WATER_LEVEL,
)


def test_a_latched_alarm_survives_a_power_loss() -> None:
    node = raised()
    node.evaluate({CO2: (1000, GOOD)}, MIN)
    after = again(node, MIN, slept=False, later_ms=0)
    assert states(after) == [LATCHED]
    (report,) = after.due(0)
    assert report == (ABOVE, CO2, LATCHED, 1, 1000, NO_AGE)
    assert after.acknowledge(ABOVE, CO2, 1, 0)


def test_occurrence_numbers_go_on_after_a_power_loss() -> None:
    after = again(raised(), 0, slept=False)
    after.acknowledge(ABOVE, CO2, 1, 0)
    after.evaluate({CO2: (1000, GOOD)}, MIN)
    (alarm,) = after.evaluate({CO2: (1800, GOOD)}, 2 * MIN)
    assert alarm.occurrence == 2


def test_hold_off_retry_and_age_go_on_over_a_deep_sleep() -> None:
    node = alarms(ROW)
    node.evaluate({CO2: (1600, GOOD)}, 0)
    node = again(node, 400, later_ms=10 * MIN - 1)
    assert node.evaluate({CO2: (1600, GOOD)}, 10 * MIN - 1) == []
    assert len(node.evaluate({CO2: (1600, GOOD)}, 10 * MIN)) == 1
    node.told(node.due(10 * MIN), 10 * MIN, acked=False)
    node = again(node, 10 * MIN + 300, later_ms=12 * MIN)
    assert node.urgent()
    (report,) = node.due(12 * MIN)
    assert report[5] == 120


def test_a_hold_off_begins_anew_after_a_power_loss() -> None:
    node = alarms(ROW)
    node.evaluate({CO2: (1600, GOOD)}, 0)
    node = again(node, 9 * MIN, slept=False, later_ms=20 * MIN)
    assert node.evaluate({CO2: (1600, GOOD)}, 21 * MIN) == []
    assert len(node.evaluate({CO2: (1600, GOOD)}, 31 * MIN)) == 1


def test_a_rate_goes_on_over_a_deep_sleep_and_begins_anew_after_a_power_loss() -> None:
    for slept, expected in ((True, 1), (False, 0)):
        node = alarms(ROW, (WATER_LEVEL, RISE, 300, 100, 600))
        node.evaluate({WATER_LEVEL: (1000, GOOD)}, 0)
        node = again(node, 1000, slept=slept)
        assert len(node.evaluate({WATER_LEVEL: (1100, GOOD)}, 10 * MIN)) == expected


def test_a_reference_older_than_its_field_is_forgotten_not_made_younger() -> None:
    node = alarms((WATER_LEVEL, RISE, 300, 100, 600))
    node.evaluate({WATER_LEVEL: (1000, GOOD)}, 0)
    node = again(node, 70_000_000)
    assert node.evaluate({WATER_LEVEL: (9000, GOOD)}, 70_000_000) == []


def test_alarms_are_known_by_kind_and_quantity_when_the_configuration_changes() -> None:
    node = alarms((WATER_LEVEL, RISE, 300, 100, 600), (CO2, ABOVE, 1500, 200, 0), (TILT, TIPPED, 450, 150, 0))
    node.evaluate({WATER_LEVEL: (1000, GOOD), TILT: (900, GOOD), CO2: (1800, GOOD)}, 0)
    data = node.to_bytes(0)
    other = alarms(
        (TILT, TIPPED, 300, 100, 0), (BATTERY, BELOW, 3300, 100, 0), (WATER_LEVEL, RISE, 1, 0, 600)
    )
    assert other.load(data, 0, True)
    assert states(other) == [ACTIVE, IDLE, IDLE]
    assert other.alarms[2].reference == (0, 1000)
    assert other.last == 2


def test_the_largest_state_fits_its_place_and_the_extremes_survive() -> None:
    rows = [(WATER_LEVEL, RISE, 1, 0, 600), (CO2, FALL, 1, 0, MAX_HOLD_OFF_S)]
    rows += [(quantity, ABOVE, 1, 0, MAX_HOLD_OFF_S) for quantity in range(1, 7)]
    node = alarms(*rows)
    readings = dict.fromkeys(range(1, 40), (2**31 - 1, GOOD))
    node.evaluate(readings, 0)
    node.evaluate(readings, 70_000_000)
    node.evaluate(readings, 2**40)
    assert len(node.to_bytes(2**40)) == MAX_SIZE <= 128
    assert again(node, 2**40).to_bytes(2**40) == node.to_bytes(2**40)


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        bytes(9),
        b"\x20" + bytes(9),  # version
        b"\x19" + bytes(9 + 9 * 13),  # nine alarms
        b"\x11" + bytes(9 + 12),
        b"\x11" + bytes(9 + 14),
        b"\x11" + bytes(9) + b"\x1a" + bytes(12),  # state 5
    ],
)
def test_what_is_not_a_state_is_refused_and_changes_nothing(data: bytes | None) -> None:
    node = raised()
    before = node.to_bytes(MIN)
    assert not node.load(data, MIN, True)
    assert node.to_bytes(MIN) == before


def test_every_cut_of_a_state_is_refused() -> None:
    node = alarms((WATER_LEVEL, RISE, 300, 100, 600), ROW)
    data = node.to_bytes(0)
    for size in range(len(data)):
        assert not alarms(*[(WATER_LEVEL, RISE, 300, 100, 600), ROW]).load(data[:size], 0, True)
