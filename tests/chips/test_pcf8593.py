# SPDX-License-Identifier: MIT
"""PCF8593: pulses counted while nobody looks, wraps, lost supply, and faults."""

from __future__ import annotations

import pytest
from communode.node.drivers import pcf8593
from communode.node.schema.quantities import ABSENT, FAULT, GOOD, WARMING_UP, WATER_VOLUME
from communode.virtual.chips.chip import Violation
from sensor_bench import Bench, I2c


def test_a_day_of_water_is_counted_to_the_litre_while_the_node_sleeps(bench: Bench) -> None:
    i2c = I2c(bench, bench.chip("pcf8593"))
    first = bench.cycle(pcf8593.Sensor(i2c, bench.sleep_ms))
    assert first == {WATER_VOLUME: (0, WARMING_UP)}
    for _ in range(144):
        bench.wait(600)
        volume, quality = bench.cycle(pcf8593.Sensor(i2c, bench.sleep_ms))[WATER_VOLUME]
        assert quality == GOOD
        assert volume == int(bench.world.value("water_index_l", bench.time_us) + 1e-9)
    assert volume > 20


def test_the_counter_wraps_after_999_999(still: Bench) -> None:
    chip = still.chip("pcf8593")
    sensor = pcf8593.Sensor(I2c(still, chip), still.sleep_ms)
    still.cycle(sensor)
    still.world.values["water_index_l"] = 999_999.5
    assert still.cycle(sensor)[WATER_VOLUME][0] == 999_999
    still.world.values["water_index_l"] = 1_000_003.0
    assert still.cycle(sensor)[WATER_VOLUME][0] == 3


def test_litres_per_pulse_scale_pulses_and_meter(still: Bench) -> None:
    chip = still.chip("pcf8593", litres_per_pulse=10)
    sensor = pcf8593.Sensor(I2c(still, chip), still.sleep_ms, litres_per_pulse=10)
    still.cycle(sensor)
    still.world.values["water_index_l"] = 129.9
    assert still.cycle(sensor)[WATER_VOLUME][0] == 120


def test_a_counter_that_lost_its_supply_says_that_it_restarted(still: Bench) -> None:
    chip = still.chip("pcf8593")
    i2c = I2c(still, chip)
    still.cycle(pcf8593.Sensor(i2c, still.sleep_ms))
    still.world.values["water_index_l"] = 50.0
    assert still.cycle(pcf8593.Sensor(i2c, still.sleep_ms)) == {WATER_VOLUME: (50, GOOD)}
    chip.power(False)
    chip.power(True)
    still.world.values["water_index_l"] = 60.0
    assert still.cycle(pcf8593.Sensor(i2c, still.sleep_ms)) == {WATER_VOLUME: (0, WARMING_UP)}
    assert chip.counting_since_l == 60.0
    still.world.values["water_index_l"] = 61.0
    assert still.cycle(pcf8593.Sensor(i2c, still.sleep_ms)) == {WATER_VOLUME: (1, GOOD)}


def test_absent_silent_stuck_and_nonsense_chips_end_as_qualities(still: Bench) -> None:
    assert still.cycle(pcf8593.Sensor(I2c(still), still.sleep_ms)) == {WATER_VOLUME: (None, ABSENT)}
    chip = still.chip("pcf8593")
    sensor = pcf8593.Sensor(I2c(still, chip), still.sleep_ms)
    still.cycle(sensor)
    sensor.start()
    chip.faults = {"nack"}
    assert sensor.read() == ((WATER_VOLUME, None, FAULT),)
    chip.faults = {"stuck"}
    still.world.values["water_index_l"] = 9.0
    assert still.cycle(sensor) == {WATER_VOLUME: (0, GOOD)}
    chip._registers[2] = 0xAF  # no BCD
    assert still.cycle(sensor) == {WATER_VOLUME: (None, FAULT)}


def test_what_the_datasheet_warns_of_is_a_violation(still: Bench) -> None:
    i2c = I2c(still, still.chip("pcf8593"))
    i2c.writeto_mem(0x51, 0, b"\x20")
    with pytest.raises(Violation, match="while it counts"):
        i2c.writeto_mem(0x51, 1, b"\x00")
    with pytest.raises(Violation, match="word address"):
        i2c.writeto(0x51, b"\x10")
    with pytest.raises(Violation, match="test mode"):
        i2c.writeto_mem(0x51, 0, b"\x30")
    i2c.writeto_mem(0x51, 0, b"\xa0")
    with pytest.raises(Violation, match="BCD"):
        i2c.writeto_mem(0x51, 1, b"\x0a")
