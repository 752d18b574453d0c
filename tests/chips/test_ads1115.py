# SPDX-License-Identifier: MIT
"""ADS1115 with a 4-20 mA probe: our driver on the model, NE 43, each fault, and a foreign driver."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest
from communode.node.drivers import ads1115, ads1115_input, ads1115_mean
from communode.node.drivers.loop_current import loop_reading
from communode.node.schema.quantities import (
    ABSENT,
    CLAMPED,
    FAULT,
    GOOD,
    WATER_LEVEL,
    WATER_LEVEL_COUNT,
    WATER_LEVEL_SPREAD,
)
from communode.virtual.chips import tolerance
from communode.virtual.chips.chip import Violation
from sensor_bench import Bench, I2c, SmBus


def test_a_day_of_levels_stays_within_the_stated_error(bench: Bench) -> None:
    chip = bench.chip("ads1115")
    sensor = ads1115.Sensor(I2c(bench, chip), bench.sleep_ms)
    for _ in range(144):
        bench.wait(598)
        value, quality = bench.cycle(sensor)[WATER_LEVEL]
        true = bench.world.value("water_level_m", bench.time_us)
        assert quality == GOOD
        assert abs(value / 1000 - true) <= tolerance("water_level", true)


@pytest.mark.parametrize(
    ("milliamperes", "value", "quality"),
    [
        (0.0, None, FAULT),
        (3.6, None, FAULT),
        (3.7, -75, CLAMPED),
        (3.8, -50, GOOD),
        (4.0, 0, GOOD),
        (12.0, 2000, GOOD),
        (20.0, 4000, GOOD),
        (20.5, 4125, GOOD),
        (20.8, 4200, CLAMPED),
        (21.0, None, FAULT),
    ],
)
def test_the_loop_is_judged_by_ne_43(milliamperes: float, value: int | None, quality: int) -> None:
    assert loop_reading(round(milliamperes * 100_000), 100_000, 4000) == (value, quality)


def test_the_probe_needs_its_warm_up(still: Bench) -> None:
    chip = still.chip("ads1115")
    chip.power(False)
    chip.power(True)
    still.wait(0.01)
    hasty = ads1115.Sensor(I2c(still, chip), still.sleep_ms, warm_up_ms=100)
    assert still.cycle(hasty) == {WATER_LEVEL: (None, FAULT)}
    assert still.cycle(ads1115.Sensor(I2c(still, chip), still.sleep_ms))[WATER_LEVEL][1] == GOOD


def test_settings_reach_the_chip(still: Bench) -> None:
    settings = {"address": 0x4A, "channel": 2, "full_scale_mm": 10_000, "shunt_mohm": 90_000, "zero_mm": 500}
    chip = still.chip("ads1115", **settings)
    sensor = ads1115.Sensor(I2c(still, chip), still.sleep_ms, **settings)
    assert still.cycle(sensor)[WATER_LEVEL] == (pytest.approx(1234, abs=40), GOOD)


def test_levels_beyond_the_range_are_clamped(still: Bench) -> None:
    still.world.values["water_level_m"] = 9.0
    sensor = ads1115.Sensor(I2c(still, still.chip("ads1115")), still.sleep_ms)
    assert still.cycle(sensor)[WATER_LEVEL][0] == pytest.approx(4125, abs=15)


def test_absent_silent_and_faulty_chips_end_as_qualities(still: Bench) -> None:
    nothing = ads1115.Sensor(I2c(still), still.sleep_ms)
    assert still.cycle(nothing) == {WATER_LEVEL: (None, ABSENT)}
    chip = still.chip("ads1115")
    sensor = ads1115.Sensor(I2c(still, chip), still.sleep_ms)
    still.wait(sensor.start() / 1000)
    chip.faults = {"nack"}
    assert sensor.read() == ((WATER_LEVEL, None, FAULT),)
    assert still.cycle(sensor) == {WATER_LEVEL: (None, ABSENT)}
    chip.faults = {"warming_up"}
    assert still.cycle(sensor) == {WATER_LEVEL: (None, FAULT)}
    chip.faults = {"stuck"}
    first = still.cycle(sensor)
    still.world.values["water_level_m"] = 3.0
    assert still.cycle(sensor) == first


def test_a_conversion_that_never_ends_is_a_fault(still: Bench) -> None:
    chip = still.chip("ads1115")
    sensor = ads1115.Sensor(I2c(still, chip), still.sleep_ms)
    still.wait(sensor.start() / 1000)
    chip.conversion_us = lambda: 10_000_000
    assert sensor.read() == ((WATER_LEVEL, None, FAULT),)
    assert sum(still.slept_ms) < 60


def test_what_the_datasheet_forbids_is_a_violation(still: Bench) -> None:
    i2c = I2c(still, still.chip("ads1115"))
    for data, reason in ((b"\x04", "pointer"), (b"\x00\x00\x00", "read-only"), (b"\x01\x00", "16-bit")):
        with pytest.raises(Violation, match=reason):
            i2c.writeto(0x48, data)


def test_pimoronis_driver_reads_the_model(still: Bench, foreign_sleep: Callable[[Bench], None]) -> None:
    ads1015 = pytest.importorskip("ads1015")
    foreign_sleep(still)
    device = ads1015.ADS1015(i2c_dev=SmBus(still, still.chip("ads1115")))
    # Its detection of the chip writes half a register, which the datasheet does not know: told instead.
    device._is_ads1115 = True
    device.set_mode("single")
    device.set_programmable_gain(2.048)
    current_ma = 4 + 16 * 1.234 / 4
    assert device.get_voltage("in0/gnd") == pytest.approx(current_ma * 0.1, abs=0.005)
    assert device.get_voltage("in1/gnd") == pytest.approx(0, abs=0.001)


def test_a_foreign_codec_reads_our_configuration() -> None:
    native = pytest.importorskip("pamoja._native")
    config = native.ads1115_config_from_bits(ads1115_input._SINGLE_SHOT + (1 << 12) + (1 << 9))
    assert config.single_shot
    assert config.start_conversion
    assert config.mux == native.ads1115_config_from_bits(0xD383).mux
    assert (
        native.ads1115_to_nanovolts(config.pga, 1000) == 1000 * ads1115_input._LSB_NV[ads1115_input.RANGE_4V]
    )
    assert native.ads1115_samples_per_second(config.data_rate) == 128


# --- oversampled ----------------------------------------------------------------------------------------


def levels(bench: Bench, sensor: ads1115.Ads1115) -> list[int]:
    found = []
    for _ in range(60):
        value, quality = bench.cycle(sensor)[WATER_LEVEL]
        assert quality == GOOD
        assert value is not None
        found.append(value)
    return found


def test_the_mean_of_sixteen_has_a_quarter_of_the_noise_and_says_what_the_noise_was(still: Bench) -> None:
    settings = {"full_scale_mm": 20_000}
    chip = still.chip("ads1115_mean", **settings)  # 0.02 % of 20 m: 4 mm
    once = levels(still, ads1115.Sensor(I2c(still, chip), still.sleep_ms, **settings))
    sensor = ads1115_mean.Sensor(I2c(still, chip), still.sleep_ms, **settings)
    assert statistics.stdev(once) == pytest.approx(4, rel=0.3)
    assert statistics.stdev(levels(still, sensor)) == pytest.approx(1, rel=0.4)
    spreads = []
    for _ in range(20):
        readings = still.cycle(sensor)
        spreads.append(readings[WATER_LEVEL_SPREAD][0] or 0)
        assert 12 <= (readings[WATER_LEVEL_COUNT][0] or 0) <= 16
    assert statistics.fmean(spreads) == pytest.approx(4, rel=0.35)


def test_a_loop_that_breaks_among_the_conversions_is_a_fault_and_no_mean(still: Bench) -> None:
    chip = still.chip("ads1115_mean")
    sensor = ads1115_mean.Sensor(I2c(still, chip), still.sleep_ms)
    still.wait(sensor.start() / 1000)
    sound, taken = sensor._input.microvolts, []

    def break_after_five() -> int:
        taken.append(1)
        if len(taken) == 6:
            chip.faults = {"warming_up"}
        return sound()

    sensor._input.microvolts = break_after_five  # type: ignore[method-assign]
    assert sensor.read() == tuple((code, None, FAULT) for code in ads1115_mean.QUANTITIES)
    assert len(taken) == 6


def test_a_bus_error_costs_a_conversion_and_not_the_reading(still: Bench) -> None:
    sensor = ads1115_mean.Sensor(I2c(still, still.chip("ads1115_mean")), still.sleep_ms)
    sound, calls = sensor._input.microvolts, []

    def lose_two() -> int:
        calls.append(1)
        if len(calls) in (3, 7):
            raise OSError(19)
        return sound()

    sensor._input.microvolts = lose_two  # type: ignore[method-assign]
    readings = still.cycle(sensor)
    assert readings[WATER_LEVEL] == (pytest.approx(1234, abs=40), GOOD)
    assert len(calls) == 18
