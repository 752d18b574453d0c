# SPDX-License-Identifier: MIT
"""A leaning bin, a sensor that repeats itself, sound in cold air."""

from __future__ import annotations

import math

import pytest
from communode.node.sampling import plausibility
from communode.node.schema.quantities import ABSENT, DISTANCE, FILL_LEVEL, GOOD, OUT_OF_CALIBRATION, TILT


@pytest.mark.parametrize("tilt", [(299, GOOD), (None, ABSENT), (800, OUT_OF_CALIBRATION)])
def test_an_upright_or_unknown_bin_keeps_its_distance(tilt: tuple[int | None, int]) -> None:
    readings = {TILT: tilt, DISTANCE: (900, GOOD)}
    plausibility.suppress_tilted(readings)
    assert readings[DISTANCE] == (900, GOOD)


def test_a_leaning_bin_has_no_distance_and_no_level() -> None:
    readings = {TILT: (450, GOOD), DISTANCE: (900, GOOD), FILL_LEVEL: (300, GOOD)}
    plausibility.suppress_tilted(readings)
    assert readings == {
        TILT: (450, GOOD),
        DISTANCE: (None, OUT_OF_CALIBRATION),
        FILL_LEVEL: (None, OUT_OF_CALIBRATION),
    }


def test_a_repeated_value_is_stale_at_its_limit_and_a_new_one_is_not() -> None:
    watch = plausibility.RepetitionWatch(3)
    assert [watch.feed(value) for value in (5, 5, 5, 5, 6, 6, 5)] == [
        *(False, False, True, True),
        *(False, False, False),
    ]


def test_sound_is_compensated_within_a_millimetre_a_metre() -> None:
    for celsius in range(-20, 51, 5):
        root = math.sqrt((273.15 + celsius) / 293.15)
        assert plausibility.compensate_sound(2000, celsius * 1000) == pytest.approx(2000 * root, abs=3)
    cold_morning = plausibility.compensate_sound(2000, 10_000)
    assert cold_morning == pytest.approx(1965, abs=2)
