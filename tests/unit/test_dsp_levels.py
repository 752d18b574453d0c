# SPDX-License-Identifier: MIT
"""Energies become decibels, histograms become LN."""

from __future__ import annotations

from array import array

import pytest
from communode.node.dsp import levels, reference


def test_a_full_scale_sine_is_as_loud_as_the_sensitivity_says() -> None:
    peak = 1 << 21  # full scale behind the kernel's input shift
    energy = 1000 * peak * peak // 2
    assert levels.level_db(energy, 1000, -26.0, 0) == pytest.approx(120.0)
    assert levels.level_db(energy, 1000, -26.0, -1500) == pytest.approx(121.5)
    assert levels.level_db(energy, 1000, -29.0, 0) == pytest.approx(123.0)


def test_silence_is_zero_and_not_an_error() -> None:
    assert levels.level_db(0, 6000, -26.0, -1510) == 0.0
    assert levels.level_db(1, 6000, -26.0, -1510) == 0.0


def test_taking_the_energy_leaves_the_filter_alone() -> None:
    state = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert levels.take_energy(state) == ((10 << 16) + 9 << 16) + (8 << 16) + 7
    assert state == [1, 2, 3, 4, 5, 6, 0, 0, 0, 0]


def test_levels_exceeded_are_read_off_the_histogram() -> None:
    bins = array("H", [0] * 256)
    history = [400] * 50 + [500] * 40 + [700] * 10  # tenths of a decibel
    reference.histogram(0, bins, array("H", history), 100, 300, 2)
    counted = list(bins)
    assert levels.exceeded(counted, 10, 300, 2) == 702
    assert levels.exceeded(counted, 50, 300, 2) == 502
    assert levels.exceeded(counted, 90, 300, 2) == 402
    assert levels.exceeded([0] * 256, 50, 300, 2) is None
