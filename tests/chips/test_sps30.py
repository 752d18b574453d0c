# SPDX-License-Identifier: MIT
"""SPS30: our driver on the model, each fault, and Sensirion's own driver on the same model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from communode.node.drivers import sps30
from communode.node.schema.quantities import ABSENT, FAULT, GOOD, PM1, PM4, PM10, PM25
from communode.virtual.chips import tolerance
from communode.virtual.chips.chip import Violation
from communode.virtual.chips.sensirion import crc8
from sensor_bench import Bench, I2c, Transceiver

NAMES = {PM1: "pm1", PM25: "pm25", PM4: "pm4", PM10: "pm10"}


def test_a_day_of_readings_stays_within_the_stated_precision(bench: Bench) -> None:
    chip = bench.chip("sps30")
    sensor = sps30.Sensor(I2c(bench, chip), bench.sleep_ms)
    assert sensor.start() == 30_000
    sensor.stop()
    for _ in range(48):
        bench.wait(1770)
        values = bench.cycle(sensor)
        for code, name in NAMES.items():
            low, high = bench.world.value_range(f"{name}_ug_m3", bench.time_us - 2_000_000, bench.time_us)
            value, quality = values[code]
            assert quality == GOOD
            assert low - tolerance(name, low) <= value / 10 <= high + tolerance(name, high)
        assert chip.mode == "sleep"


def test_values_before_the_warm_up_are_too_low(still: Bench) -> None:
    sensor = sps30.Sensor(I2c(still, still.chip("sps30")), still.sleep_ms)
    sensor.start()
    still.wait(3)
    early = {code: value for code, value, _ in sensor.read()}
    assert early[PM25] < 80
    sensor.stop()
    assert still.cycle(sensor)[PM25] == (pytest.approx(120, abs=20), GOOD)


def test_a_sleeping_and_a_still_measuring_chip_start_again(still: Bench) -> None:
    chip = still.chip("sps30")
    sensor = sps30.Sensor(I2c(still, chip), still.sleep_ms)
    still.cycle(sensor)
    assert chip.mode == "sleep"
    sensor.start()
    assert chip.mode == "measuring"
    reset = sps30.Sensor(I2c(still, chip), still.sleep_ms)  # the node was reset before stop()
    assert still.cycle(reset)[PM10][1] == GOOD


def test_absent_silent_damaged_and_dying_chips_end_as_qualities(still: Bench) -> None:
    def qualities(sensor: sps30.Sps30) -> set[tuple[int | None, int]]:
        values = still.cycle(sensor)
        assert set(values) == set(NAMES)
        return set(values.values())

    assert qualities(sps30.Sensor(I2c(still), still.sleep_ms)) == {(None, ABSENT)}
    chip = still.chip("sps30", faults={"nack"})
    sensor = sps30.Sensor(I2c(still, chip), still.sleep_ms)
    assert qualities(sensor) == {(None, ABSENT)}
    chip.faults = {"wrong_crc"}
    assert qualities(sensor) == {(None, FAULT)}
    chip.faults = set()
    still.wait(sensor.start() / 1000)
    chip.faults = {"nack"}
    assert {quality for _, _, quality in sensor.read()} == {FAULT}
    chip.faults = set()
    sensor.stop()
    assert (None, FAULT) not in qualities(sensor)


def test_a_stuck_chip_repeats_itself_and_one_that_never_settles_reads_half(still: Bench) -> None:
    chip = still.chip("sps30", faults={"stuck"})
    sensor = sps30.Sensor(I2c(still, chip), still.sleep_ms)
    first = still.cycle(sensor)[PM25][0]
    still.world.values["pm25_ug_m3"] = 300.0
    assert still.cycle(sensor)[PM25][0] == first
    chip.faults = {"warming_up"}
    assert still.cycle(sensor)[PM25][0] == pytest.approx(1500, rel=0.1)


def test_what_the_chip_would_not_understand_is_a_violation(still: Bench) -> None:
    i2c = I2c(still, still.chip("sps30"))
    with pytest.raises(Violation, match="unknown"):
        i2c.writeto(0x69, b"\x12\x34")
    with pytest.raises(Violation, match="CRC"):
        i2c.writeto(0x69, b"\x00\x10\x03\x00\x00")
    with pytest.raises(Violation, match="format"):
        i2c.writeto(0x69, b"\x00\x10\x04\x00" + bytes([crc8(b"\x04\x00")]))


@pytest.mark.filterwarnings("ignore")
def test_sensirions_own_driver_reads_the_model(still: Bench, foreign_sleep: Callable[[Bench], None]) -> None:
    from sensirion_driver_adapters.i2c_adapter.i2c_channel import I2cChannel
    from sensirion_i2c_driver import CrcCalculator, I2cConnection
    from sensirion_i2c_sps30.commands import OutputFormat
    from sensirion_i2c_sps30.device import Sps30Device

    foreign_sleep(still)
    crc = CrcCalculator(8, 0x31, 0xFF, 0x0)
    channel = I2cChannel(I2cConnection(Transceiver(still, still.chip("sps30"))), slave_address=0x69, crc=crc)
    device = Sps30Device(channel)
    assert device.read_serial_number() == "0123456789ABCDEF"
    assert device.read_firmware_version() == (2, 2)
    device.sleep()
    still.wait(10)
    device.wake_up_sequence()
    device.start_measurement(OutputFormat(0x0300))
    still.wait(31)
    assert device.read_data_ready_flag() == 1
    masses = device.read_measurement_values_float()[:4]
    assert masses == pytest.approx([9.0, 12.0, 15.0, 20.0], abs=2)
    device.stop_measurement()
    device.start_measurement(OutputFormat(0x0500))
    still.wait(31)
    assert device.read_measurement_values_uint16()[:4] == pytest.approx([9, 12, 15, 20], abs=2)
    device.stop_measurement()
