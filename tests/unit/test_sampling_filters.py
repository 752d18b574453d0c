# SPDX-License-Identifier: MIT
"""Medians, spreads and outliers against the standard library and by hand."""

from __future__ import annotations

import random
import statistics

import pytest
from communode.node.sampling import filters
from hypothesis import given
from hypothesis import strategies as st

samples = st.lists(st.integers(-100_000, 100_000), min_size=1, max_size=60)


@given(samples)
def test_the_median_is_the_standard_librarys_rounded_down(values: list[int]) -> None:
    assert filters.median(values) == statistics.median(values) // 1


@given(samples)
def test_filtering_keeps_most_and_never_all_is_lost(values: list[int]) -> None:
    centre, spread, count = filters.summarise(values)
    assert min(values) <= centre <= max(values)
    assert spread >= 0
    assert len(values) / 2 <= count <= len(values)


def test_the_spread_of_normal_noise_is_its_standard_deviation() -> None:
    rng = random.Random(4)
    values = [round(rng.gauss(5000, 100)) for _ in range(4000)]
    assert filters.spread(values, filters.median(values)) == pytest.approx(100, rel=0.06)


def test_wild_echoes_go_and_true_ones_stay() -> None:
    values = [981, 979, 980, 982, 4400, 978, 30, 981]
    assert filters.without_outliers(values) == [981, 979, 980, 982, 978, 981]
    assert filters.summarise(values) == (980, 1, 6)


def test_a_sensor_that_repeats_itself_does_not_lose_its_neighbours() -> None:
    assert filters.without_outliers([500] * 9 + [502, 504]) == [500] * 9 + [502]


def test_oversampling_resolves_below_a_step() -> None:
    rng = random.Random(5)
    step = 125
    for true in (10_000, 10_031, 10_062, 10_100):
        values = [round((true + rng.gauss(0, step)) / step) * step for _ in range(4**5)]
        mean, spread, count = filters.average(values, step)
        assert mean == pytest.approx(true, abs=step / 8)
        assert spread == pytest.approx(step, rel=0.5)
        assert 1000 <= count <= 1024
    assert filters.average([20_000, 10_000, 10_125, 10_000, 10_125], step) == (10_063, 92, 4)


@given(samples)
def test_an_average_is_the_mean_of_what_was_kept(values: list[int]) -> None:
    kept = filters.without_outliers(values)
    mean, _, count = filters.average(values)
    assert count == len(kept)
    assert abs(mean - statistics.fmean(kept)) <= 0.5 + 1e-9
