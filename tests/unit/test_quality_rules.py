# SPDX-License-Identifier: MIT
"""A leaning bin, a sensor that repeats itself, sound in cold air, a plan that the node cannot keep."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from communode.calibrations import read_calibration
from communode.node.app.refusal import refusals
from communode.node.drivers.a02yyuw_air import A02yyuwAir
from communode.node.sampling.calibration import TWO_POINT, Calibration, apply
from communode.node.sampling.leaning import suppress
from communode.node.sampling.repetition import mark_stale
from communode.node.sampling.sound import at_temperature
from communode.node.schema.quantities import (
    ABSENT,
    AIR_TEMPERATURE,
    CLAMPED,
    DISTANCE,
    DISTANCE_COUNT,
    FAULT,
    FILL_LEVEL,
    GOOD,
    OUT_OF_CALIBRATION,
    PH,
    RAW,
    STALE,
    TILT,
    TOO_FEW_SAMPLES,
)
from communode.profiles import load_profile, profile_names
from hypothesis import given
from hypothesis import strategies as st

Readings = dict[int, tuple[int | None, int]]

# --- leaning -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tilt", [(299, GOOD), (None, ABSENT), (800, OUT_OF_CALIBRATION)])
def test_an_upright_or_unknown_bin_keeps_its_distance(tilt: tuple[int | None, int]) -> None:
    readings: Readings = {TILT: tilt, DISTANCE: (900, GOOD)}
    suppress(readings, 300)
    assert readings[DISTANCE] == (900, GOOD)


def test_a_leaning_bin_has_no_distance_and_no_level_and_its_raw_value_is_marked() -> None:
    readings: Readings = {
        TILT: (300, GOOD),
        DISTANCE: (900, GOOD),
        FILL_LEVEL: (300, GOOD),
        DISTANCE | RAW: (912, GOOD),
        DISTANCE_COUNT: (9, GOOD),
    }
    suppress(readings, 300)
    assert readings == {
        TILT: (300, GOOD),
        DISTANCE: (None, OUT_OF_CALIBRATION),
        FILL_LEVEL: (None, OUT_OF_CALIBRATION),
        DISTANCE | RAW: (912, OUT_OF_CALIBRATION),
        DISTANCE_COUNT: (9, GOOD),
    }


def test_what_is_broken_in_a_leaning_bin_stays_called_so() -> None:
    readings: Readings = {TILT: (900, GOOD), DISTANCE: (None, FAULT), DISTANCE | RAW: (None, FAULT)}
    suppress(readings, 300)
    assert readings[DISTANCE] == readings[DISTANCE | RAW] == (None, FAULT)


# --- repetition ----------------------------------------------------------------------------------------

ONE = ((3, (DISTANCE,), (DISTANCE, FILL_LEVEL)),)


def feed(values: list[int | None], sensors: Any = ONE, kept: bytes | None = None) -> tuple[list[int], bytes]:
    """The quality of each distance, and what is kept at the end."""
    found = []
    for value in values:
        readings: Readings = {DISTANCE: (value, FAULT if value is None else GOOD), FILL_LEVEL: (500, GOOD)}
        kept = mark_stale(readings, sensors, kept)
        assert readings[FILL_LEVEL][1] in (GOOD, readings[DISTANCE][1])
        found.append(readings[DISTANCE][1])
    assert kept is not None
    return found, kept


def test_a_repeated_value_is_stale_from_its_limit_on_and_another_one_is_not() -> None:
    assert feed([5, 5, 5, 5, 6, 6, 5])[0] == [GOOD, GOOD, STALE, STALE, GOOD, GOOD, GOOD]


def test_a_lost_reading_neither_counts_nor_clears() -> None:
    assert feed([5, 5, None, 5, None, 6])[0] == [GOOD, GOOD, FAULT, STALE, FAULT, GOOD]


def test_a_first_reading_of_zero_is_not_taken_for_the_second() -> None:
    assert feed([0, 0, 0])[0] == [GOOD, GOOD, STALE]


@pytest.mark.parametrize("kept", [None, b"", b"\1" * 4, b"\5" * 10])
def test_what_is_kept_of_another_plan_begins_anew(kept: bytes | None) -> None:
    assert feed([5, 5, 5], kept=kept)[0] == [GOOD, GOOD, STALE]


def test_a_count_that_is_full_stays_full() -> None:
    found, kept = feed([7] * 300, ((255, (DISTANCE,), (DISTANCE,)),))
    assert found == [GOOD] * 254 + [STALE] * 46
    assert kept[4] == 255


def test_the_raw_value_counts_and_one_of_several_that_moves_is_enough() -> None:
    sensors = ((2, (DISTANCE, TILT), (DISTANCE,)),)
    kept = None
    found = []
    for distance, raw, tilt in ((1, 9, 1), (2, 9, 1), (2, 8, 1), (2, 8, 2)):
        readings: Readings = {DISTANCE: (distance, GOOD), DISTANCE | RAW: (raw, GOOD), TILT: (tilt, GOOD)}
        kept = mark_stale(readings, sensors, kept)
        found.append(readings[DISTANCE][1])
    assert found == [GOOD, STALE, GOOD, GOOD]


def test_a_value_that_is_not_good_keeps_its_reason() -> None:
    kept = None
    for _ in range(4):
        readings: Readings = {DISTANCE: (5, CLAMPED)}
        kept = mark_stale(readings, ONE, kept)
    assert readings == {DISTANCE: (5, CLAMPED)}


@given(st.lists(st.integers(-(2**31), 2**31), min_size=1, max_size=8), st.integers(0, 7), st.integers(1, 9))
def test_a_step_in_any_value_is_seen(values: list[int], which: int, step: int) -> None:
    codes = tuple(range(1, len(values) + 1))
    kept = mark_stale({code: (value, GOOD) for code, value in zip(codes, values, strict=True)}, [], None)
    sensors = ((2, codes, codes),)
    kept = mark_stale({code: (value, GOOD) for code, value in zip(codes, values, strict=True)}, sensors, kept)
    values[which % len(values)] += step
    moved: Readings = {code: (value, GOOD) for code, value in zip(codes, values, strict=True)}
    mark_stale(moved, sensors, kept)
    assert {quality for _, quality in moved.values()} == {GOOD}


def test_shipped_profiles_compare_what_a_sensor_says_itself_and_mark_what_they_record() -> None:
    marked = {}
    for name in profile_names():
        profile = load_profile(name)
        for _, compared, codes in profile.as_dict().get("repetition", ()):
            assert compared
            assert not {FILL_LEVEL, DISTANCE | RAW, DISTANCE_COUNT} & set(compared)
            marked[name] = codes
    assert marked["bin"] == (DISTANCE, FILL_LEVEL)
    assert set(marked) >= {"air", "air_gases", "air_outdoor", "bin", "bin_laser", "bin_outdoor", "flood"}
    assert not {"noise", "water", "water_meter", "laboratory"} & set(marked)  # what may stand still


# --- sound ---------------------------------------------------------------------------------------------


def test_sound_is_compensated_within_a_millimetre_a_metre() -> None:
    for celsius in range(-30, 61, 5):
        for assumed in (0, 20, 25):
            root = math.sqrt((273.15 + celsius) / (273.15 + assumed))
            found = at_temperature(2000, celsius * 1000, assumed * 1000)
            assert found == pytest.approx(2000 * root, abs=1.6), celsius
    assert at_temperature(2000, 10_000, 20_000) == pytest.approx(1965, abs=2)
    assert all(at_temperature(mm, 20_000, 20_000) == mm for mm in range(0, 5000, 7))


class Frames:
    """A UART on which so many frames of one distance have come."""

    def __init__(self, distance: int, count: int = 8) -> None:
        data = bytes([0xFF, distance >> 8, distance & 0xFF])
        self._data = (data + bytes([sum(data) & 0xFF])) * count

    def read(self) -> bytes:
        return self._data


def air_reading(known: Readings, count: int = 8) -> Readings:
    sensor = A02yyuwAir(Frames(1000, count), lambda ms: None, 1500, 200)  # type: ignore[arg-type]
    sensor.use(known)
    return {code: (value, quality) for code, value, quality in sensor.read()}


def test_without_a_good_temperature_the_distance_is_out_of_calibration_and_the_raw_one_good() -> None:
    nothing: Readings = {}
    for known in (nothing, {AIR_TEMPERATURE: (None, ABSENT)}, {AIR_TEMPERATURE: (0, STALE)}):
        readings = air_reading(known)
        assert readings[DISTANCE] == (1000, OUT_OF_CALIBRATION)
        assert readings[FILL_LEVEL][1] == OUT_OF_CALIBRATION
        assert readings[DISTANCE | RAW] == (1000, GOOD)
    few = air_reading({AIR_TEMPERATURE: (-10_000, GOOD)}, 2)
    assert few[DISTANCE] == (947, TOO_FEW_SAMPLES)
    assert few[DISTANCE_COUNT] == (2, GOOD)


def test_a_calibration_on_top_leaves_what_the_sensor_said() -> None:
    readings = air_reading({AIR_TEMPERATURE: (-10_000, GOOD)})
    assert readings[DISTANCE] == (947, GOOD)
    apply([Calibration(DISTANCE, TWO_POINT, (0, 10, 4000, 4010), 9000, "x")], readings)
    assert readings[DISTANCE] == (957, GOOD)
    assert readings[DISTANCE | RAW] == (1000, GOOD)


# --- what cannot be kept -------------------------------------------------------------------------------


def plan(**changes: Any) -> dict[str, Any]:
    sensors = (
        {"driver": "ezo_ph", "bus": "i2c0", "quantities": (PH,)},
        {"driver": "battery", "bus": "adc", "quantities": (14,)},
    )
    return {"sensors": sensors, "floor_s": 60} | changes


def test_a_plan_that_can_be_kept_is_not_refused() -> None:
    assert refusals(plan(), {"i2c0": {}}, 60) == []
    for name in profile_names():
        profile = load_profile(name)
        assert refusals(profile.as_dict(), dict.fromkeys(profile.buses), profile.interval_s) == []


def test_each_part_that_cannot_be_kept_is_named() -> None:
    assert refusals(plan(), {"i2c1": {}}, 59) == [
        (PH, "no bus i2c0 for ezo_ph"),
        (0, "interval of 59 s below 60 s"),
    ]


def test_an_impossible_calibration_is_refused_however_it_is_broken() -> None:
    entry = {"quantity": "ph", "kind": "two_point", "points": [[4.12, 4.01], [6.95, 7.0]]}
    entry |= {"day": date(2026, 3, 2), "by": "J.M."}
    good = read_calibration(Path("p.toml"), "calibration[0]", entry, date(2026, 3, 3))
    buses: dict[str, Any] = {"i2c0": {}}
    flat = Calibration(PH, TWO_POINT, (4000, 4000, 4000, 7000), 1, "x").to_bytes()
    assert refusals(plan(calibrations=(good,)), buses, 60) == []
    assert refusals(plan(calibrations=(good, flat)), buses, 60) == [(PH, "calibration: points_close")]
    for cut in range(len(good)):
        ((_, reason),) = refusals(plan(calibrations=(good[:cut],)), buses, 60)
        assert reason.startswith("calibration: ")
