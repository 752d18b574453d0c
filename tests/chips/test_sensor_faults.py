# SPDX-License-Identifier: MIT
"""Every driver on its model: a day of true values, each fault, and a neighbour that keeps working."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from communode.drivers import DRIVERS
from communode.node.sampling.repetition import mark_stale
from communode.node.schema.quantities import (
    ABSENT,
    AIR_TEMPERATURE,
    FAULT,
    GOOD,
    QUALITIES,
    QUANTITIES,
    STALE,
    WARMING_UP,
    WATER_TEMPERATURE,
)
from communode.profiles import Profile, Sensor
from communode.ulp_program import counter_program
from communode.virtual.chips import SENSOR_CHIPS, TRUTH, tolerance
from communode.virtual.chips.chip import I2cChip, I2sChip, OneWireChip
from communode.virtual.chips.pulse_ulp import PulseUlp
from communode.virtual.world import FAULTS, World
from fault_table import EXPECTED, SEEN_LATER
from sensor_bench import Bench, I2c, I2s, OneWire, Uart, UlpHandle

SETTINGS: dict[str, dict[str, Any]] = {
    "a02yyuw": {"empty_mm": 1500, "full_mm": 200},
    "a02yyuw_air": {"empty_mm": 1500, "full_mm": 200, "assumed_degc": 20},
    "hrxl": {"empty_mm": 1500, "full_mm": 200},
    "vl53l1x": {"empty_mm": 1500, "full_mm": 200},
    "sen5x": {"gases": 1},
    "ics43434": {"listen_s": 1},
    "pulse_ulp": {"program": counter_program("esp32s3", 2)},
}
# Values of the recordings that the sensors cannot show, or that lie between two of them (series with steps).
STEP_S = {"pcf8593": 3600}
SETTLED_S = {"no2_b4": 4 * 3600.0}
ALL = sorted(EXPECTED)
PAIRS = [(name, fault) for name in ALL for fault in EXPECTED[name] if fault != "brown_out"]
# Whose other quantities are sound (of a clamped level its statistics), or limited by the chip.
PARTLY = ("scd4x", "sen5x", "bme280", "ads1115_mean")


def bus_of(bench: Bench, chip: Any, *more: Any) -> Any:
    if isinstance(chip, I2cChip):
        return I2c(bench, chip, *more)
    if isinstance(chip, I2sChip):
        return I2s(bench, chip)
    if isinstance(chip, PulseUlp):
        return UlpHandle(bench, chip)
    return OneWire(bench, chip) if isinstance(chip, OneWireChip) else Uart(bench, chip)


def make(bench: Bench, name: str, *more: Any, powered_for_s: float | None = None) -> tuple[Any, Any]:
    settings = SETTINGS.get(name, {})
    powered_for_s = SETTLED_S.get(name, 2.0) if powered_for_s is None else powered_for_s
    chip = bench.chip(name, powered_for_s=powered_for_s, **settings)
    module = import_module(f"communode.node.drivers.{name}")
    return chip, module.Sensor(bus_of(bench, chip, *more), bench.sleep_ms, **settings)


def known(bench: Bench) -> dict[int, tuple[int | None, int]]:
    """What the temperature sensors beside it would say."""
    return {
        code: (round(bench.world.value(series, bench.time_us) * 1000), GOOD)
        for code, series in ((AIR_TEMPERATURE, "temperature_c"), (WATER_TEMPERATURE, "water_temperature_c"))
    }


def settle(bench: Bench, sensor: Any) -> None:
    """The first readings of a fresh chip may be WARMING_UP."""
    for _ in range(1 if type(sensor).__name__ == "Ics43434" else 16):
        bench.cycle(sensor, known(bench))


def qualities(readings: dict[int, tuple[int | None, int]]) -> set[int]:
    return {quality for _, quality in readings.values()}


def test_every_driver_has_a_row_and_every_fault_a_model_has_is_tested() -> None:
    assert set(EXPECTED) == set(DRIVERS) - {"battery"} == set(SENSOR_CHIPS)
    assert {fault for row in EXPECTED.values() for fault in row} - {"brown_out"} <= set(FAULTS)


@pytest.mark.parametrize("name", ALL)
def test_a_day_of_readings_stays_within_the_stated_error(name: str) -> None:
    world = World(3).at("bench")
    bench = Bench(world)
    chip, sensor = make(bench, name)
    settle(bench, sensor)
    offset_l = getattr(chip, "counting_since_l", 0.0)
    compared = 0
    for _ in range(6 if name == "ics43434" else 48):
        bench.wait(1790)
        begin = bench.time_us
        for code, (value, quality) in bench.cycle(sensor, known(bench)).items():
            quantity, _, per_unit, *_ = QUANTITIES[code]
            if quantity not in TRUTH:
                continue
            low, high = world.value_range(TRUTH[quantity][0], begin, bench.time_us)
            if quality != GOOD:  # the recorded probe stood in the air, and said 0
                assert not 0.5 < low < high, (quantity, value, QUALITIES[quality], low, high)
                continue
            compared += 1
            assert value is not None
            shown = value / per_unit + (offset_l if quantity == "water_volume" else 0)
            least = low - tolerance(quantity, low, name)
            most = high + tolerance(quantity, high, name)
            assert least <= shown <= most, (quantity, shown, low, high)
    assert compared > (5 if name == "ics43434" else 24)
    assert bench.slept_ms == [] or max(bench.slept_ms) < 60


@pytest.mark.parametrize("name", ALL)
def test_a_chip_that_is_not_there_is_absent(still: Bench, name: str) -> None:
    chip, sensor = make(still, name)
    chip.power(False)
    assert qualities(still.cycle(sensor, known(still))) == {ABSENT}


@pytest.mark.parametrize("name", ALL)
def test_a_chip_that_does_not_answer_is_absent_and_the_traffic_bounded(still: Bench, name: str) -> None:
    chip, sensor = make(still, name)
    chip.faults = {"nack"}
    bus = I2c(still, chip) if isinstance(chip, I2cChip) else None
    begin = still.time_us
    assert qualities(still.cycle(sensor, known(still))) == {ABSENT}
    assert still.time_us - begin < DRIVERS[name].cycle_ms * 1000
    assert bus is None or bus.transfers <= 12


@pytest.mark.parametrize("name", ALL)
def test_a_chip_that_falls_silent_in_the_middle_is_a_fault(still: Bench, name: str) -> None:
    chip, sensor = make(still, name)
    settle(still, sensor)

    def silence() -> None:
        chip.faults = {"nack"}

    readings = still.cycle(sensor, known(still), silence)
    assert {value for value, _ in readings.values()} == {None}
    assert qualities(readings) <= {ABSENT, FAULT}
    chip.faults = set()
    still.wait(6)
    settle(still, sensor)
    assert GOOD in qualities(still.cycle(sensor, known(still)))


@pytest.mark.parametrize(("name", "fault"), PAIRS)
def test_each_fault_ends_as_its_quality_and_goes_away_with_it(still: Bench, name: str, fault: str) -> None:
    chip, sensor = make(still, name)
    settle(still, sensor)
    assert GOOD in qualities(still.cycle(sensor, known(still)))
    chip.faults = {fault}
    found = qualities(still.cycle(sensor, known(still)))
    if EXPECTED[name][fault] is not SEEN_LATER:
        assert found & EXPECTED[name][fault], [QUALITIES[quality] for quality in found]
        if name not in PARTLY:
            assert found <= EXPECTED[name][fault], [QUALITIES[quality] for quality in found]
    chip.faults = set()
    still.wait(6)
    settle(still, sensor)
    assert GOOD in qualities(still.cycle(sensor, known(still)))


def repetition(name: str) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """The rule for a profile with this sensor alone."""
    sensor = Sensor(name, "i2c0", DRIVERS[name].quantities, stale_after=DRIVERS[name].stale_after)
    found = Profile("alone", 1, 600, (sensor,)).as_dict()["repetition"][0]
    assert found[0] == DRIVERS[name].stale_after
    return tuple(found)  # type: ignore[return-value]


WATCHED = [name for name in ALL if DRIVERS[name].stale_after]


@pytest.mark.parametrize("name", WATCHED)
def test_a_chip_that_repeats_its_last_value_is_stale_at_its_limit(still: Bench, name: str) -> None:
    chip, sensor = make(still, name)
    settle(still, sensor)
    chip.faults = {"stuck"}
    rule, kept = repetition(name), None
    for n in range(rule[0] + 1):
        if n % 10 == 0:
            for series in still.world.values:  # type: ignore[attr-defined]
                still.world.values[series] *= 1.005  # type: ignore[attr-defined]
        readings = still.cycle(sensor, known(still))
        assert readings[rule[1][0]][0] is not None
        kept = mark_stale(readings, (rule,), kept)
        stale = {code for code, (_, quality) in readings.items() if quality == STALE}
        assert bool(stale) == (n + 1 >= rule[0]), (n, readings)
        assert not stale or stale >= set(rule[1])


@pytest.mark.parametrize("name", WATCHED)
def test_a_sound_chip_in_a_world_that_stands_still_is_never_stale(still: Bench, name: str) -> None:
    _, sensor = make(still, name)
    settle(still, sensor)
    rule, kept = repetition(name), None
    for _ in range(3 * rule[0]):
        readings = still.cycle(sensor, known(still))
        kept = mark_stale(readings, (rule,), kept)
        assert STALE not in qualities(readings)


@pytest.mark.parametrize("name", ALL)
def test_a_brown_out_in_a_conversion_never_gives_a_wrong_good_value(still: Bench, name: str) -> None:
    chip, sensor = make(still, name)
    settle(still, sensor)
    before = still.cycle(sensor, known(still))

    def brown_out() -> None:
        chip.power(False)
        chip.power(True)

    after = still.cycle(sensor, known(still), brown_out)
    assert qualities(after) <= EXPECTED[name]["brown_out"], [QUALITIES[q] for q in qualities(after)]
    for code, (value, quality) in after.items():
        if quality == GOOD:
            assert value == pytest.approx(before[code][0], rel=0.05), QUANTITIES[code]
    still.wait(SETTLED_S.get(name, 6.0))
    settle(still, sensor)
    assert GOOD in qualities(still.cycle(sensor, known(still)))


I2C_NAMES = [name for name in ALL if DRIVERS[name].bus_kind == "i2c"]


@pytest.mark.parametrize("fault", ["nack", "wrong_crc", "warming_up", "saturated"])
@pytest.mark.parametrize("name", I2C_NAMES)
def test_a_second_sensor_on_the_bus_keeps_working(still: Bench, name: str, fault: str) -> None:
    neighbour_name = "lis3dh" if name != "lis3dh" else "pcf8593"
    neighbour = still.chip(neighbour_name)
    chip, sensor = make(still, name, neighbour)
    chip.faults = {fault}
    other = import_module(f"communode.node.drivers.{neighbour_name}").Sensor(
        I2c(still, chip, neighbour), still.sleep_ms
    )
    assert qualities(still.cycle(other)) <= {GOOD, WARMING_UP}  # a fresh counter restarts
    still.cycle(sensor, known(still))
    assert qualities(still.cycle(other)) == {GOOD}


@pytest.mark.parametrize("name", I2C_NAMES)
def test_a_stuck_data_line_is_absent_within_bounded_time(still: Bench, name: str) -> None:
    chip, sensor = make(still, name)
    chip.faults = {"stuck_sda"}
    begin = still.time_us
    assert qualities(still.cycle(sensor, known(still))) == {ABSENT}
    assert still.time_us - begin < 3_000_000
