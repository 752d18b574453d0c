# SPDX-License-Identifier: MIT
"""DS18B20: our driver on the model bit by bit, each fault, and a foreign codec as the judge of its bytes."""

from __future__ import annotations

import pytest
from communode.node.drivers import ds18b20
from communode.node.schema.quantities import ABSENT, FAULT, GOOD, WATER_TEMPERATURE
from communode.virtual.chips import tolerance
from communode.virtual.chips.chip import Violation
from sensor_bench import Bench, OneWire


def test_a_day_of_readings_stays_within_the_stated_error(bench: Bench) -> None:
    sensor = ds18b20.Sensor(OneWire(bench, bench.chip("ds18b20")), bench.sleep_ms)
    for _ in range(144):
        bench.wait(599)
        value, quality = bench.cycle(sensor)[WATER_TEMPERATURE]
        true = bench.world.value("water_temperature_c", bench.time_us)
        assert quality == GOOD
        assert abs(value / 1000 - true) <= tolerance("water_temperature", true)


@pytest.mark.parametrize("celsius", [-10.0625, -0.5, 0.0, 25.0625, 84.9])
def test_negative_and_extreme_temperatures_are_right(still: Bench, celsius: float) -> None:
    still.world.values["water_temperature_c"] = celsius
    sensor = ds18b20.Sensor(OneWire(still, still.chip("ds18b20")), still.sleep_ms)
    assert still.cycle(sensor)[WATER_TEMPERATURE][0] == pytest.approx(celsius * 1000, abs=300)


def test_the_power_on_value_is_a_fault_not_a_temperature(still: Bench) -> None:
    chip = still.chip("ds18b20")
    sensor = ds18b20.Sensor(OneWire(still, chip), still.sleep_ms)
    sensor.start()
    chip.power(False)  # a brown-out in the conversion
    chip.power(True)
    still.wait(0.75)
    assert sensor.read() == ((WATER_TEMPERATURE, None, FAULT),)


def test_absent_silent_and_damaged_chips_end_as_qualities(still: Bench) -> None:
    nothing = ds18b20.Sensor(OneWire(still), still.sleep_ms)
    assert still.cycle(nothing) == {WATER_TEMPERATURE: (None, ABSENT)}
    chip = still.chip("ds18b20", faults={"nack"})
    sensor = ds18b20.Sensor(OneWire(still, chip), still.sleep_ms)
    assert still.cycle(sensor) == {WATER_TEMPERATURE: (None, ABSENT)}
    for fault in ("wrong_crc", "warming_up"):
        chip.faults = {fault}
        chip.power(False)
        chip.power(True)
        assert still.cycle(sensor) == {WATER_TEMPERATURE: (None, FAULT)}
    chip.faults = set()
    assert still.cycle(sensor)[WATER_TEMPERATURE][1] == GOOD


def test_a_line_held_low_is_not_zero_degrees(still: Bench) -> None:
    class Short(OneWire):
        def reset(self) -> bool:
            return True

        def readinto(self, into: bytearray) -> None:
            into[:] = bytes(len(into))

    sensor = ds18b20.Sensor(Short(still), still.sleep_ms)
    assert still.cycle(sensor) == {WATER_TEMPERATURE: (None, FAULT)}


def test_a_second_conversion_before_the_first_has_ended_is_a_violation(still: Bench) -> None:
    wire = OneWire(still, still.chip("ds18b20"))

    def convert() -> None:
        wire.reset()
        wire.writebyte(0xCC)
        wire.writebyte(0x44)

    convert()
    assert wire.readbit() == 0
    still.wait(0.2)
    with pytest.raises(Violation, match="conversion"):
        convert()
    still.wait(0.6)
    convert()


def test_unknown_commands_are_violations(still: Bench) -> None:
    wire = OneWire(still, still.chip("ds18b20"))
    wire.reset()
    with pytest.raises(Violation, match="ROM command"):
        wire.writebyte(0x12)
    wire.reset()
    wire.writebyte(0xCC)
    with pytest.raises(Violation, match="function command"):
        wire.writebyte(0x12)


def test_matching_reading_and_searching_the_rom_find_the_chip(still: Bench) -> None:
    one, two = still.chip("ds18b20"), still.chip("ds18b20")
    single = OneWire(still, one)
    single.reset()
    single.writebyte(0x33)
    rom = bytearray(8)
    single.readinto(rom)
    assert bytes(rom) == one.rom
    wire = OneWire(still, one, two)
    assert _search(wire) == {one.rom, two.rom}
    wire.reset()
    wire.writebyte(0x55)
    for byte in two.rom:
        wire.writebyte(byte)
    wire.writebyte(0xBE)
    scratchpad = bytearray(9)
    wire.readinto(scratchpad)  # only one of the two answers
    assert ds18b20.crc8(scratchpad) == 0


def _search(wire: OneWire) -> set[bytes]:
    # All ROMs on the wire, by trying each branch.
    found, branches = set(), [""]
    while branches:
        prefix = branches.pop()
        wire.reset()
        wire.writebyte(0xF0)
        bits = ""
        for n in range(64):
            bit, complement = wire.readbit(), wire.readbit()
            if n < len(prefix):
                choice = int(prefix[n])
            else:
                choice = bit if bit != complement else 0
                if bit == complement == 0:
                    branches.append(bits + "1")
            wire.writebit(choice)
            bits += str(choice)
        found.add(int(bits[::-1], 2).to_bytes(8, "little"))
    return found


def test_a_foreign_codec_reads_the_scratchpad_and_agrees_on_the_crc(still: Bench) -> None:
    native = pytest.importorskip("pamoja._native")
    wire = OneWire(still, still.chip("ds18b20"))
    for celsius in (-12.25, 0.0, 8.4, 31.5):
        still.world.values["water_temperature_c"] = celsius
        wire.reset()
        wire.writebyte(0xCC)
        wire.writebyte(0x44)
        still.wait(0.75)
        assert wire.readbit() == 1
        wire.reset()
        wire.writebyte(0xCC)
        wire.writebyte(0xBE)
        scratchpad = bytearray(9)
        wire.readinto(scratchpad)
        reading = native.ds18b20_parse_scratchpad(bytes(scratchpad))
        assert reading.resolution_bits == 12
        assert reading.celsius == pytest.approx(celsius, abs=0.3)
        assert ds18b20.crc8(scratchpad[:8]) == native.ds18b20_crc8(bytes(scratchpad[:8])) == scratchpad[8]
