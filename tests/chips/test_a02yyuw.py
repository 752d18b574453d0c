# SPDX-License-Identifier: MIT
"""A02YYUW: frames at their times, the median of five, fill level, and faults."""

from __future__ import annotations

import itertools

import pytest
from communode.node.drivers import a02yyuw, lis3dh
from communode.node.schema.quantities import (
    ABSENT,
    CLAMPED,
    DISTANCE,
    FAULT,
    FILL_LEVEL,
    GOOD,
    TILT,
    TOO_FEW_SAMPLES,
)
from communode.virtual.chips import tolerance
from communode.virtual.chips.chip import Violation
from sensor_bench import Bench, I2c, Uart

SETTINGS = {"empty_mm": 1500, "full_mm": 200}


def test_the_makers_example_is_1953_mm_wherever_the_bytes_begin() -> None:
    frame = bytes([0xFF, 0x07, 0xA1, 0xA7])
    for junk, tail in itertools.product((b"", b"\xa7", b"\xff\xff", b"\x07\xa1\xa7"), (b"", b"\xff\x07")):
        assert a02yyuw.distances(junk + frame + tail) == [1953]
    assert a02yyuw.distances(bytes([0xFF, 0x07, 0xA1, 0xA8])) == []
    assert a02yyuw.distances(bytes([0xFF, 0x00, 0x00, 0xFF])) == []


def test_three_days_of_readings_stay_within_the_stated_error(bench: Bench) -> None:
    chip = bench.chip("a02yyuw")
    sensor = a02yyuw.Sensor(Uart(bench, chip), bench.sleep_ms, **SETTINGS)
    for _ in range(3 * 144):
        chip.power(False)
        bench.wait(597)
        chip.power(True)
        values = bench.cycle(sensor)
        for code, quantity, series, per_unit in (
            (DISTANCE, "distance", "bin_distance_mm", 1),
            (FILL_LEVEL, "fill_level", "bin_fill_pct", 10),
        ):
            value, quality = values[code]
            low, high = bench.world.value_range(series, bench.time_us - 3_000_000, bench.time_us)
            assert quality == GOOD
            assert low - tolerance(quantity, low) <= value / per_unit <= high + tolerance(quantity, high)


def test_frames_come_at_their_times_however_they_are_read(still: Bench) -> None:
    chip = still.chip("a02yyuw")
    whole = chip.uart_read(2_000_000, 12_000_000)
    assert 100 < len(whole) < 400
    edges = [2_000_000 + n * 12_345 for n in range(900) if 2_000_000 + n * 12_345 < 12_000_000] + [12_000_000]
    pieces = [chip.uart_read(begin, end) for begin, end in itertools.pairwise(edges)]
    assert b"".join(pieces) == whole
    starts = [t for t in range(2_000_000, 6_000_000, 500) if chip.uart_read(t, t + 500)[:1] == b"\xff"]
    gaps = [later - now for now, later in itertools.pairwise(starts)]
    assert all(99_000 <= gap <= 301_000 for gap in gaps)


def test_few_none_and_damaged_frames_end_as_qualities(still: Bench) -> None:
    chip = still.chip("a02yyuw")
    sensor = a02yyuw.Sensor(Uart(still, chip), still.sleep_ms, **SETTINGS)
    sensor.start()
    still.wait(0.45)
    assert {quality for _, _, quality in sensor.read()} == {TOO_FEW_SAMPLES}
    for fault, quality in (("nack", ABSENT), ("wrong_crc", FAULT), ("warming_up", FAULT)):
        chip.faults = {fault}
        assert still.cycle(sensor) == {DISTANCE: (None, quality), FILL_LEVEL: (None, quality)}
    chip.faults = {"stuck"}
    first = still.cycle(sensor)
    still.world.values["bin_distance_mm"] = 300.0
    assert still.cycle(sensor) == first
    chip.faults = set()
    assert still.cycle(sensor)[DISTANCE][0] == pytest.approx(300, abs=8)


def test_one_outlier_does_not_move_the_median(still: Bench) -> None:
    class Line:
        def read(self) -> bytes:
            frames = [
                bytes([0xFF, d >> 8, d & 0xFF, (0xFF + (d >> 8) + (d & 0xFF)) & 0xFF]) for d in distances
            ]
            return b"".join(frames)

    distances = [900, 980, 4400, 981, 979, 982]
    sensor = a02yyuw.Sensor(Line(), still.sleep_ms)
    assert sensor.read() == ((DISTANCE, 981, GOOD),)


@pytest.mark.parametrize(
    ("distance", "fill", "quality"),
    [(1510.0, 0, GOOD), (1700.0, 0, CLAMPED), (200.0, 1000, GOOD), (120.0, 1000, CLAMPED)],
)
def test_fill_is_kept_within_0_and_100_percent(
    still: Bench, distance: float, fill: int, quality: int
) -> None:
    still.world.values["bin_distance_mm"] = distance
    sensor = a02yyuw.Sensor(Uart(still, still.chip("a02yyuw")), still.sleep_ms, **SETTINGS)
    value, got = still.cycle(sensor)[FILL_LEVEL]
    assert value == pytest.approx(fill, abs=8)
    assert got == quality


def test_without_geometry_there_is_no_fill_level(still: Bench) -> None:
    sensor = a02yyuw.Sensor(Uart(still, still.chip("a02yyuw")), still.sleep_ms)
    assert set(still.cycle(sensor)) == {DISTANCE}


def test_it_takes_no_commands(still: Bench) -> None:
    with pytest.raises(Violation):
        still.chip("a02yyuw").uart_write(b"\x01")


def test_a_dead_sensor_does_not_harm_the_other_one(still: Bench) -> None:
    dead = a02yyuw.Sensor(Uart(still, still.chip("a02yyuw", faults={"nack"})), still.sleep_ms, **SETTINGS)
    alive = lis3dh.Sensor(I2c(still, still.chip("lis3dh")), still.sleep_ms)
    assert still.cycle(dead)[DISTANCE] == (None, ABSENT)
    assert still.cycle(alive)[TILT][1] == GOOD
