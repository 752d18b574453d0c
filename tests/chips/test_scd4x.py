# SPDX-License-Identifier: MIT
"""SCD41: our driver on the model, each fault, and Sensirion's own driver on the same model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from communode.node.drivers import scd4x, sensirion
from communode.node.schema.quantities import (
    ABSENT,
    AIR_TEMPERATURE,
    CO2,
    FAULT,
    GOOD,
    RELATIVE_HUMIDITY,
    WARMING_UP,
)
from communode.virtual.chips import tolerance
from communode.virtual.chips.chip import Violation
from communode.virtual.chips.scd4x import FIRST_SHOT_ERROR_PPM
from sensor_bench import Bench, I2c, Still, Transceiver

ALL = {CO2, AIR_TEMPERATURE, RELATIVE_HUMIDITY}


def test_crc_is_the_datasheets() -> None:
    assert sensirion.crc8(b"\xbe\xef", 0, 2) == 0x92


def test_a_whole_day_stays_within_the_stated_error(bench: Bench) -> None:
    sensor = scd4x.Sensor(I2c(bench, bench.chip("scd4x")), bench.sleep_ms)
    bench.cycle(sensor)  # the first one is WARMING_UP
    for _ in range(144):
        bench.wait(595)
        values = bench.cycle(sensor)
        low, high = bench.world.value_range("co2_ppm", bench.time_us - 6_000_000, bench.time_us)
        co2, quality = values[CO2]
        assert quality == GOOD
        assert low - tolerance("co2", low) <= co2 <= high + tolerance("co2", high)
        celsius = bench.world.value("temperature_c", bench.time_us)
        assert abs(values[AIR_TEMPERATURE][0] / 1000 - celsius) <= tolerance("air_temperature", celsius)
        percent = bench.world.value("relative_humidity_pct", bench.time_us)
        assert abs(values[RELATIVE_HUMIDITY][0] / 1000 - percent) <= tolerance("relative_humidity", percent)


def test_the_first_co2_after_power_is_warming_up_also_for_a_driver_that_is_built_anew(still: Bench) -> None:
    chip = still.chip("scd4x")
    i2c = I2c(still, chip)
    first = still.cycle(scd4x.Sensor(i2c, still.sleep_ms))
    assert first[CO2][1] == WARMING_UP
    assert first[AIR_TEMPERATURE][1] == first[RELATIVE_HUMIDITY][1] == GOOD
    second = still.cycle(scd4x.Sensor(i2c, still.sleep_ms))  # as after a deep sleep
    assert second[CO2] == (pytest.approx(820, abs=20), GOOD)
    chip.power(False)
    chip.power(True)
    still.wait(2)
    assert still.cycle(scd4x.Sensor(i2c, still.sleep_ms, altitude_m=200))[CO2][1] == WARMING_UP
    assert still.cycle(scd4x.Sensor(i2c, still.sleep_ms, altitude_m=200))[CO2][1] == GOOD


def test_absent_not_answering_and_damaged_chips_end_as_qualities(still: Bench) -> None:
    def qualities(sensor: scd4x.Scd4x) -> set[tuple[int | None, int]]:
        values = still.cycle(sensor)
        assert set(values) == ALL
        return set(values.values())

    assert qualities(scd4x.Sensor(I2c(still), still.sleep_ms)) == {(None, ABSENT)}
    chip = still.chip("scd4x", faults={"nack"})
    sensor = scd4x.Sensor(I2c(still, chip), still.sleep_ms)
    assert qualities(sensor) == {(None, ABSENT)}
    chip.faults = {"wrong_crc"}
    assert qualities(sensor) == {(None, FAULT)}
    chip.faults = set()
    still.wait(6)
    assert (None, FAULT) not in qualities(sensor)


def test_a_chip_that_stops_answering_in_the_middle_is_a_fault_with_bounded_traffic(still: Bench) -> None:
    chip = still.chip("scd4x")
    i2c = I2c(still, chip)
    sensor = scd4x.Sensor(i2c, still.sleep_ms)
    still.wait(sensor.start() / 1000)
    chip.faults = {"nack"}
    before = i2c.transfers
    assert {quality for _, _, quality in sensor.read()} == {FAULT}
    assert i2c.transfers - before <= 6


def test_a_stuck_chip_repeats_itself(still: Bench) -> None:
    chip = still.chip("scd4x", faults={"stuck"})
    sensor = scd4x.Sensor(I2c(still, chip), still.sleep_ms)
    still.cycle(sensor)
    still.world.values["co2_ppm"] = 1500.0
    assert still.cycle(sensor)[CO2][0] == pytest.approx(820 + FIRST_SHOT_ERROR_PPM, abs=20)


def test_a_sleeping_chip_is_woken_and_a_periodic_one_recovers_in_the_next_cycle(still: Bench) -> None:
    chip = still.chip("scd4x")
    i2c = I2c(still, chip)
    sensor = scd4x.Sensor(i2c, still.sleep_ms)
    still.cycle(sensor)
    i2c.writeto(0x62, b"\x36\xe0")
    still.wait(1)
    assert chip.mode == "sleep"
    assert still.cycle(sensor)[AIR_TEMPERATURE][1] == GOOD
    i2c.writeto(0x62, b"\x21\xb1")
    still.wait(30)
    still.cycle(sensor)
    assert chip.mode == "idle"
    still.wait(1)
    assert still.cycle(sensor)[CO2][1] == GOOD


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"\x12\x34", "unknown"), (b"\x24\x27\x00\x01\x00", "CRC"), (b"\x24\x27", "0 words"), (b"\x21", "half")],
)
def test_what_the_chip_would_not_understand_is_a_violation(still: Bench, data: bytes, reason: str) -> None:
    i2c = I2c(still, still.chip("scd4x"))
    with pytest.raises(Violation, match=reason):
        i2c.writeto(0x62, data)


def test_nothing_is_answered_while_powering_up_or_measuring_or_without_data(still: Bench) -> None:
    chip = still.chip("scd4x", powered_for_s=0.5)
    i2c = I2c(still, chip)
    with pytest.raises(OSError, match="19"):
        i2c.writeto(0x62, b"\x36\x82")
    still.wait(1)
    i2c.writeto(0x62, b"\x21\x9d")
    with pytest.raises(OSError, match="19"):
        i2c.writeto(0x62, b"\xe4\xb8")
    still.wait(5)
    for has_data in (True, False):  # reading empties the buffer
        i2c.writeto(0x62, b"\xec\x05")
        still.wait(0.002)
        if has_data:
            i2c.readfrom_into(0x62, bytearray(9))
        else:
            with pytest.raises(OSError, match="19"):
                i2c.readfrom_into(0x62, bytearray(9))


@pytest.mark.filterwarnings("ignore")
def test_sensirions_own_driver_reads_the_model(still: Bench, foreign_sleep: Callable[[Bench], None]) -> None:
    from sensirion_driver_adapters.i2c_adapter.i2c_channel import I2cChannel
    from sensirion_i2c_driver import CrcCalculator, I2cConnection
    from sensirion_i2c_scd4x.device import Scd4xDevice

    foreign_sleep(still)
    assert isinstance(still.world, Still)
    crc = CrcCalculator(8, 0x31, 0xFF, 0x0)
    channel = I2cChannel(I2cConnection(Transceiver(still, still.chip("scd4x"))), slave_address=0x62, crc=crc)
    device = Scd4xDevice(channel)
    device.wake_up()
    device.stop_periodic_measurement()
    device.reinit()
    assert device.get_serial_number() == 0xF8969F073BBE
    device.set_sensor_altitude(300)
    assert device.get_sensor_altitude() == 300
    device.measure_and_read_single_shot()
    co2, temperature, humidity = device.measure_and_read_single_shot()
    assert co2.value == pytest.approx(820, abs=20)
    assert temperature.value == pytest.approx(21.5, abs=0.5)
    assert humidity.value == pytest.approx(41, abs=3)
    device.start_periodic_measurement()
    still.wait(5.1)
    assert device.get_data_ready_status()
    assert device.read_measurement()[0].value == pytest.approx(820, abs=20)
    assert not device.get_data_ready_status()
