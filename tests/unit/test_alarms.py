# SPDX-License-Identifier: MIT
"""Alarms of a node: when they are raised and over, who acknowledges them, which rows are refused."""

from __future__ import annotations

import pytest
from alarm_bench import MIN, ROW, alarms, raised, states
from communode.node.app import alarms as machine
from communode.node.app.alarms import NO_VALUE
from communode.node.schema.alarms import (
    ABOVE,
    ACKNOWLEDGED,
    ACTIVE,
    BELOW,
    FALL,
    FIRE,
    FLOOD,
    IDLE,
    LATCHED,
    LEAK,
    PENDING,
    RISE,
    SENSOR_FAULT,
    TAMPER,
    TIPPED,
    row_fault,
    rows_fault,
)
from communode.node.schema.quantities import (
    ABSENT,
    AIR_TEMPERATURE,
    BATTERY,
    CLAMPED,
    CO2,
    FAULT,
    GOOD,
    RAW,
    STALE,
    TILT,
    WARMING_UP,
    WATER_LEVEL,
    WATER_VOLUME,
)

# Raising and ending


def test_a_threshold_is_raised_when_it_was_passed_for_the_hold_off() -> None:
    node = alarms(ROW)
    assert node.evaluate({CO2: (1499, GOOD)}, 0) == []
    assert states(node) == [IDLE]
    assert node.evaluate({CO2: (1500, GOOD)}, MIN) == []
    assert states(node) == [PENDING]
    assert node.evaluate({CO2: (1600, GOOD)}, 11 * MIN - 1) == []
    (alarm,) = node.evaluate({CO2: (1700, GOOD)}, 11 * MIN)
    assert (alarm.state, alarm.occurrence, alarm.value) == (ACTIVE, 1, 1700)
    assert node.evaluate({CO2: (1800, GOOD)}, 12 * MIN) == []


def test_a_condition_that_goes_before_the_hold_off_was_nothing() -> None:
    node = alarms(ROW)
    node.evaluate({CO2: (1600, GOOD)}, 0)
    node.evaluate({CO2: (1200, GOOD)}, 5 * MIN)
    assert states(node) == [IDLE]
    node.evaluate({CO2: (1600, GOOD)}, 6 * MIN)
    assert node.evaluate({CO2: (1600, GOOD)}, 15 * MIN) == []
    assert node.due(15 * MIN) == []
    assert len(node.evaluate({CO2: (1600, GOOD)}, 16 * MIN)) == 1


def test_within_the_hysteresis_nothing_changes() -> None:
    node = raised()
    assert node.evaluate({CO2: (1301, GOOD)}, MIN) == []
    assert states(node) == [ACTIVE]
    (alarm,) = node.evaluate({CO2: (1300, GOOD)}, 2 * MIN)
    assert alarm.state == LATCHED
    assert node.evaluate({CO2: (1499, GOOD)}, 3 * MIN) == []


def test_the_band_neither_stops_nor_completes_a_hold_off() -> None:
    node = alarms(ROW)
    node.evaluate({CO2: (1600, GOOD)}, 0)
    assert node.evaluate({CO2: (1400, GOOD)}, 10 * MIN) == []
    assert states(node) == [PENDING]
    assert len(node.evaluate({CO2: (1500, GOOD)}, 20 * MIN)) == 1


def test_an_alarm_below_is_raised_at_its_threshold_and_ends_above() -> None:
    node = alarms((BATTERY, BELOW, 3300, 100, 0))
    assert node.evaluate({BATTERY: (3301, GOOD)}, 0) == []
    assert len(node.evaluate({BATTERY: (3300, GOOD)}, MIN)) == 1
    assert node.evaluate({BATTERY: (3399, GOOD)}, 2 * MIN) == []
    assert len(node.evaluate({BATTERY: (3400, GOOD)}, 3 * MIN)) == 1


def test_tilt_is_an_alarm_of_its_own() -> None:
    node = alarms((TILT, TIPPED, 450, 150, 0))
    (alarm,) = node.evaluate({TILT: (900, GOOD)}, 0)
    assert alarm.report(0)[:2] == (TIPPED, TILT)


@pytest.mark.parametrize("quality", [WARMING_UP, STALE, FAULT, ABSENT])
def test_a_reading_that_says_nothing_neither_raises_nor_ends(quality: int) -> None:
    node = alarms((CO2, ABOVE, 1500, 200, 0))
    assert node.evaluate({CO2: (5000, quality)}, 0) == []
    node = raised()
    assert node.evaluate({CO2: (400, quality)}, MIN) == []
    assert node.evaluate({}, 2 * MIN) == []
    assert states(node) == [ACTIVE]


def test_a_clamped_reading_is_at_least_so_much_and_raises() -> None:
    assert len(alarms((CO2, ABOVE, 1500, 200, 0)).evaluate({CO2: (9999, CLAMPED)}, 0)) == 1


def test_a_rate_is_measured_over_its_hold_off_in_units_an_hour() -> None:
    node = alarms((WATER_LEVEL, RISE, 300, 100, 1200))
    for minute, level in ((0, 1000), (10, 1049)):
        assert node.evaluate({WATER_LEVEL: (level, GOOD)}, minute * MIN) == []
    (alarm,) = node.evaluate({WATER_LEVEL: (1100, GOOD)}, 20 * MIN)
    assert (alarm.state, alarm.value) == (ACTIVE, 300)
    assert node.evaluate({WATER_LEVEL: (1170, GOOD)}, 40 * MIN) == []  # 210 an hour, not yet over
    (alarm,) = node.evaluate({WATER_LEVEL: (1170, GOOD)}, 60 * MIN)
    assert (alarm.state, alarm.value) == (LATCHED, 0)


def test_a_fall_is_no_rise_and_is_told_as_what_it_is() -> None:
    node = alarms((WATER_LEVEL, RISE, 300, 0, 600), (WATER_LEVEL, FALL, 300, 0, 600))
    node.evaluate({WATER_LEVEL: (1000, GOOD)}, 0)
    (alarm,) = node.evaluate({WATER_LEVEL: (900, GOOD)}, 10 * MIN)
    assert (alarm.kind, alarm.value) == (FALL, -600)


@pytest.mark.parametrize("kind", [LEAK, FLOOD, FIRE, TAMPER])
def test_what_a_rule_finds_is_raised_held_and_over(kind: int) -> None:
    quantity = {LEAK: WATER_VOLUME, FLOOD: WATER_LEVEL, FIRE: AIR_TEMPERATURE, TAMPER: 0}[kind]
    node = alarms((quantity, kind, 0, 0, 60))
    readings = {quantity: (10**6, GOOD)}
    assert node.evaluate(readings, 0) == []  # without a finding a value alone says nothing
    assert node.evaluate(readings, 0, {kind: (True, 12)}) == []
    assert node.evaluate(readings, MIN, {kind: (None, None)}) == []
    (alarm,) = node.evaluate(readings, MIN, {kind: (True, 14)})
    assert (alarm.state, alarm.value) == (ACTIVE, 14)
    node.evaluate(readings, 2 * MIN, {kind: (False, None)})
    (alarm,) = node.evaluate(readings, 3 * MIN, {kind: (False, None)})
    assert (alarm.state, alarm.value) == (LATCHED, NO_VALUE)


def test_a_fault_of_a_sensor_is_told_with_its_quality() -> None:
    node = alarms((CO2, SENSOR_FAULT, 0, 0, 0))
    assert node.evaluate({CO2: (400, GOOD)}, 0) == []
    assert node.evaluate({CO2: (400, WARMING_UP)}, MIN) == []
    (alarm,) = node.evaluate({CO2: (None, FAULT)}, 2 * MIN)
    assert alarm.value == FAULT
    assert node.evaluate({}, 3 * MIN) == []  # absent is as broken
    (alarm,) = node.evaluate({CO2: (400, GOOD)}, 4 * MIN)
    assert alarm.state == LATCHED


# Acknowledging


def test_acknowledged_while_it_lasts_it_goes_when_it_is_over() -> None:
    node = raised()
    assert node.acknowledge(ABOVE, CO2, 1, MIN)
    assert states(node) == [ACKNOWLEDGED]
    (alarm,) = node.evaluate({CO2: (1000, GOOD)}, 2 * MIN)
    assert alarm.state == IDLE


def test_over_before_it_was_acknowledged_it_stays_latched() -> None:
    node = raised()
    node.evaluate({CO2: (1000, GOOD)}, MIN)
    for minute in range(2, 100):
        node.evaluate({CO2: (1000, GOOD)}, minute * MIN)
    assert states(node) == [LATCHED]
    assert node.acknowledge(ABOVE, CO2, 1, 100 * MIN)
    assert states(node) == [IDLE]


@pytest.mark.parametrize(
    ("kind", "quantity", "occurrence"), [(ABOVE, CO2, 0), (ABOVE, CO2, 2), (BELOW, CO2, 1), (ABOVE, TILT, 1)]
)
def test_another_occurrence_or_alarm_clears_no_latch(kind: int, quantity: int, occurrence: int) -> None:
    node = raised()
    before = node.to_bytes(MIN)
    assert not node.acknowledge(kind, quantity, occurrence, MIN)
    assert node.to_bytes(MIN) == before


def test_an_alarm_that_was_never_raised_is_not_acknowledged_by_occurrence_0() -> None:
    assert not alarms(ROW).acknowledge(ABOVE, CO2, 0, 0)


def test_raised_again_it_is_another_occurrence_and_the_old_acknowledgement_is_void() -> None:
    node = raised()
    node.evaluate({CO2: (1000, GOOD)}, MIN)
    (alarm,) = node.evaluate({CO2: (1800, GOOD)}, 2 * MIN)
    assert alarm.occurrence == 2
    assert not node.acknowledge(ABOVE, CO2, 1, 3 * MIN)
    assert states(node) == [ACTIVE]


def test_a_condition_that_comes_back_during_the_acknowledgement_is_not_lost() -> None:
    node = alarms((CO2, ABOVE, 1500, 200, 60))
    for minute, value in ((0, 1800), (1, 1800), (2, 1000), (3, 1000), (4, 1800)):
        node.evaluate({CO2: (value, GOOD)}, minute * MIN)
    assert states(node) == [LATCHED]
    assert node.acknowledge(ABOVE, CO2, 1, 4 * MIN)
    assert states(node) == [PENDING]
    (alarm,) = node.evaluate({CO2: (1800, GOOD)}, 5 * MIN)
    assert (alarm.state, alarm.occurrence) == (ACTIVE, 2)


def test_occurrences_number_all_alarms_of_the_node_and_never_are_0() -> None:
    node = alarms((CO2, ABOVE, 1500, 200, 0), (TILT, TIPPED, 450, 150, 0))
    node.last = 0xFFFE
    changed = node.evaluate({CO2: (1800, GOOD), TILT: (900, GOOD)}, 0)
    assert [alarm.occurrence for alarm in changed] == [0xFFFF, 1]


# Configuration


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (ROW, ""),
        ((CO2, 0, 1500, 200, 600), "kind"),
        ((CO2, 11, 1500, 200, 600), "kind"),
        ((TILT, ABOVE, 100, 0, 0), "quantity"),
        ((CO2 | RAW, ABOVE, 1500, 200, 600), "quantity"),
        ((CO2, TIPPED, 450, 0, 0), "quantity"),
        ((CO2, TAMPER, 0, 0, 0), "quantity"),
        ((0, TAMPER, 0, 0, 0), ""),
        ((0, TAMPER, 1, 0, 0), "threshold"),
        ((CO2, ABOVE, -1, 0, 0), "threshold"),
        ((CO2, ABOVE, 32767, 0, 0), "threshold"),
        ((CO2, ABOVE, 1500, 1501, 0), "hysteresis"),
        ((CO2, ABOVE, 1500, -1, 0), "hysteresis"),
        ((BATTERY, BELOW, 3300, 1041, 0), "hysteresis"),
        ((CO2, RISE, 100, 101, 600), "hysteresis"),
        ((CO2, RISE, 100, 100, 59), "hold_off_s"),
        ((CO2, RISE, 0, 0, 600), "threshold"),
        ((CO2, ABOVE, 1500, 0, 43201), "hold_off_s"),
        ((CO2, SENSOR_FAULT, 0, 0, 600), ""),
    ],
)
def test_a_row_of_the_configuration_is_judged(row: tuple[int, int, int, int, int], fault: str) -> None:
    assert row_fault(row, (CO2, BATTERY, CO2 | RAW)) == fault


def test_rows_are_judged_together() -> None:
    codes = (CO2, *range(4, 12))
    many = tuple((code, ABOVE, 0, 0, 0) for code in codes)
    assert rows_fault(many[:8], codes) == ""
    assert rows_fault(many, codes) == "many"
    assert rows_fault((ROW, (CO2, ABOVE, 1000, 0, 0)), codes) == "twice"
    assert rows_fault(((CO2, RISE, 1, 0, 60), (CO2, FALL, 1, 0, 60)), codes) == ""
    rates = ((CO2, RISE, 1, 0, 60), (CO2, FALL, 1, 0, 60), (4, RISE, 1, 0, 60))
    assert rows_fault(rates, codes) == "rates"


def test_the_machine_and_the_codec_say_nothing_in_the_same_words() -> None:
    from communode.node.codec import alarm as codec

    assert (machine.NO_AGE, machine.NO_VALUE) == (codec.NO_AGE, codec.NO_VALUE)
