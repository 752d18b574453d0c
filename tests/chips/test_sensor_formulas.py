# SPDX-License-Identifier: MIT
"""What the drivers compute, against the examples of the makers and against formulas written another way."""

from __future__ import annotations

import math
import random
import struct

import pytest
from communode.node.drivers import (
    analogue_ec,
    analogue_ph,
    bme280,
    ezo,
    hrxl,
    no2_b4,
    pms5003,
    vl53l1x,
)
from communode.node.drivers.reading import BadAnswer
from communode.node.schema.quantities import (
    CONDUCTIVITY,
    DISSOLVED_OXYGEN,
    GOOD,
    NO2,
    OUT_OF_CALIBRATION,
    PH,
    WARMING_UP,
    WATER_LEVEL,
    WATER_LEVEL_COUNT,
    WATER_LEVEL_SPREAD,
    WATER_TEMPERATURE,
)
from communode.virtual.chips import bme280 as bme280_model
from communode.virtual.chips.chip import Violation
from sensor_bench import Bench, I2c, Uart
from test_sensor_faults import make


def trimming() -> bme280.Trimming:
    t, p = bme280_model.TRIMMING_T, bme280_model.TRIMMING_P
    h1, h2, h3, h4, h5, h6 = bme280_model.TRIMMING_H
    low = bytearray(struct.pack("<Hhh", *t) + struct.pack("<Hhhhhhhhh", *p) + bytes([0, h1]))
    shared = (h4 & 0x0F) | (h5 & 0x0F) << 4
    high = bytearray(struct.pack("<hBbBbb", h2, h3, h4 >> 4, shared, h5 >> 4, h6))
    return bme280.Trimming(low, high)


def test_boschs_own_example_comes_out_as_printed() -> None:
    # BMP280 datasheet DS001 3.12, whose formulas the BME280 shares: 25.08 degC, 100653.27 Pa.
    made = trimming()
    fine = made.fine(519888)
    assert fine == 128422
    assert fine * 5 + 128 >> 8 == 2508
    assert made.pascals(415148, fine) / 256 == pytest.approx(100653.27, abs=0.1)


def test_integers_agree_with_the_datasheets_floating_point_everywhere() -> None:
    made, rng = trimming(), random.Random(1)
    for _ in range(2000):
        raw_t, raw_p, raw_h = (
            rng.randrange(380_000, 620_000),
            rng.randrange(300_000, 600_000),
            rng.randrange(65536),
        )
        fine = made.fine(raw_t)
        assert fine == pytest.approx(bme280_model.fine_temperature(raw_t), abs=25)  # 0.005 degC
        pressure = bme280_model.pascals(raw_p, fine)
        assert made.pascals(raw_p, fine) / 256 == pytest.approx(pressure, abs=0.6)
        percent = min(max(bme280_model.humidity(raw_h, fine), 0.0), 100.0)
        assert made.permille1024(raw_h, fine) / 1024 == pytest.approx(percent, abs=0.02)


@pytest.mark.parametrize("celsius", [0.0, 10.0, 25.0, 40.0])
def test_ph_follows_nernst_at_every_temperature(celsius: float) -> None:
    volts_per_ph = 0.19842e-3 * (celsius + 273.15)  # R T ln 10 / F
    for ph in (2.0, 4.01, 7.0, 9.18, 12.0):
        output_uv = round((1.5 - (ph - 7) * volts_per_ph * 3) * 1e6)  # an amplifier of 3
        found = analogue_ph.ph(output_uv, 1_500_000, round(0.05916 * 3e6), round(celsius * 1000))
        assert found / 1000 == pytest.approx(ph, abs=0.003)


def test_conductivity_is_referred_to_25_degrees() -> None:
    assert analogue_ec.at_25(1000, 25_000, 191) == 1000
    assert analogue_ec.at_25(618, 5_000, 191) == 1000  # 1 - 20 * 1.91 %
    assert analogue_ec.at_25(1191, 35_000, 191) == 1000


@pytest.mark.parametrize(
    ("celsius", "factor"),
    [(-40, 1300), (-30, 1300), (0, 1300), (5, 1150), (10, 1000), (25, 500), (45, -650), (60, -1500)],
)
def test_the_auxiliary_electrode_is_weighted_by_the_notes_table(celsius: int, factor: int) -> None:
    assert no2_b4.temperature_factor(celsius * 1000) == factor


def test_algorithm_1_of_aan_803_by_hand() -> None:
    # WEu - WEe = 20 mV, AEu - AEe = 8 mV, nT = 0.6, 0.309 mV/ppb: (20 - 4.8) / 0.309 = 49.2 ppb.
    assert no2_b4.concentration(20_000, 8_000, 600, 309_000) == 491


def test_the_cell_counts_its_readings_since_its_supply_came(still: Bench) -> None:
    chip, sensor = make(still, "no2_b4")
    known = {1: (21_500, GOOD)}
    quality = [still.cycle(sensor, known)[NO2][1] for _ in range(14)]
    assert quality == [WARMING_UP] * 12 + [GOOD] * 2
    chip.power(False)
    chip.power(True)
    assert still.cycle(sensor, known)[NO2][1] == WARMING_UP
    assert still.cycle(make(still, "no2_b4")[1])[NO2][1] == WARMING_UP


@pytest.mark.parametrize(
    ("text", "places", "value"),
    [
        (b"8.100", 3, 8100),
        (b"-12.3", 1, -123),
        (b"420", 0, 420),
        (b"420.97", 0, 420),
        (b"9", 2, 900),
        (b".5", 1, 5),
    ],
)
def test_decimals_are_read_without_floats(text: bytes, places: int, value: int) -> None:
    assert ezo.parse_decimal(text, places) == value


@pytest.mark.parametrize("text", [b"", b"-", b".", b"8,1", b"1.2.3", b"NaN", b"8\x7f1"])
def test_what_is_no_number_is_refused(text: bytes) -> None:
    with pytest.raises(BadAnswer):
        ezo.parse_decimal(text, 3)


@pytest.mark.parametrize(
    ("name", "code", "truth", "per_unit", "error"),
    [
        ("ezo_ph", PH, 8.1, 1000, 0.022),
        ("ezo_ec", CONDUCTIVITY, 420, 1, 10),
        ("ezo_do", DISSOLVED_OXYGEN, 9.8, 100, 0.15),
        ("analogue_ph", PH, 8.1, 1000, 0.1),
        ("analogue_ec", CONDUCTIVITY, 420, 1, 14),
    ],
)
def test_without_the_waters_temperature_the_value_is_off_and_says_so(
    still: Bench, name: str, code: int, truth: float, per_unit: int, error: float
) -> None:
    _, sensor = make(still, name)
    value, quality = still.cycle(sensor, {})[code]
    assert quality == OUT_OF_CALIBRATION
    if not name.endswith("ph"):  # near pH 7 the slope hardly matters
        assert value is not None
        assert abs(value / per_unit - truth) > 2 * error
    value, quality = still.cycle(sensor, {WATER_TEMPERATURE: (8_400, GOOD)})[code]
    assert value is not None
    assert quality == GOOD
    assert value / per_unit == pytest.approx(truth, abs=error)


def test_an_ezo_circuit_takes_no_command_while_it_works(still: Bench) -> None:
    chip, _ = make(still, "ezo_ph")
    i2c = I2c(still, chip)
    i2c.writeto(0x63, b"R")
    with pytest.raises(Violation, match="processed"):
        i2c.writeto(0x63, b"R")
    pending = bytearray(4)
    i2c.readfrom_into(0x63, pending)
    assert pending[0] == 254
    still.wait(1)
    with pytest.raises(Violation, match="unknown"):
        i2c.writeto(0x63, b"X")


def test_frames_of_the_counter_are_found_wherever_they_begin() -> None:
    words = [28, *range(1, 13), 0x9100]
    frame = b"BM" + b"".join(word.to_bytes(2, "big") for word in words)
    frame += sum(frame).to_bytes(2, "big")
    for junk in (b"", b"BM", b"\x42", frame[5:]):
        assert pms5003.find_frame(junk + frame + frame[:7]) == frame
    assert pms5003.find_frame(frame[:-1] + b"\x00") is None


def test_the_commands_of_the_counter_have_the_manuals_sums() -> None:
    for command in (pms5003._PASSIVE, pms5003._READ, pms5003._SLEEP, pms5003._WAKE_UP):
        assert sum(command[:5]) == int.from_bytes(command[5:], "big")


def test_ranges_are_found_behind_the_banner_and_its_ends_are_no_ranges() -> None:
    text = b"HRXL-MaxSonar-WR\rPN:MB7380\rR0300\rR1234\rR5000\rR12x4\r1235\rR1236\rR12"
    assert hrxl.ranges(text, 300, 4999) == [1234, 1236]


def test_the_configuration_covers_its_registers() -> None:
    assert len(vl53l1x._DEFAULTS) == 0x88 - 0x2D


def test_ranging_without_configuration_is_a_violation(still: Bench) -> None:
    i2c = I2c(still, still.chip("vl53l1x"))
    with pytest.raises(Violation, match="configuration"):
        i2c.writeto(0x29, b"\x00\x87\x40")


@pytest.mark.parametrize(
    ("name", "address", "data", "reason"),
    [
        ("sht4x", 0x44, b"\x12", "unknown command"),
        ("sht4x", 0x44, b"\xfd\x00", "2 bytes"),
        ("sen5x", 0x69, b"\x12\x34", "unknown command"),
        ("bme280", 0x76, b"\xf3\x00", "not for writing"),
        ("bme280", 0x76, b"\xf4\x25\xf5", "pairs"),
        ("vl53l1x", 0x29, b"\x01\x0f\x00", "not for writing"),
        ("no2_b4", 0x48, b"\x04", "pointer"),
    ],
)
def test_what_a_chip_would_not_understand_is_a_violation(
    still: Bench, name: str, address: int, data: bytes, reason: str
) -> None:
    i2c = I2c(still, still.chip(name))
    with pytest.raises(Violation, match=reason):
        i2c.writeto(address, data)


def test_the_level_over_waves_has_its_spread_and_loses_its_outliers(still: Bench) -> None:
    chip = still.chip("a02yyuw_level")
    from communode.node.drivers import a02yyuw_level

    sensor = a02yyuw_level.Sensor(Uart(still, chip), still.sleep_ms)
    spreads = []
    for _ in range(20):
        values = still.cycle(sensor)
        assert values[WATER_LEVEL][0] == pytest.approx(1234, abs=12)
        spreads.append(values[WATER_LEVEL_SPREAD][0] or 0)
        assert 15 <= (values[WATER_LEVEL_COUNT][0] or 0) <= 30
    assert sum(spreads) / 20 == pytest.approx(4, abs=1.5)  # the waves, not the drops


def test_oxygen_saturation_is_that_of_the_tables() -> None:
    from communode.virtual.chips.ezo_do import saturation

    for celsius, table in ((0.0, 14.62), (10.0, 11.29), (20.0, 9.09), (30.0, 7.56)):  # APHA 4500-O
        assert math.isclose(saturation(celsius), table, abs_tol=0.15)
