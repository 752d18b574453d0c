# SPDX-License-Identifier: MIT
"""All power cuts: every campaign over many lives, with its figures in ``build/nightly/powercut.json``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from campaigns import JournalWork, StateWork, Tally
from campaigns import explore as explore_storage
from lorawan_campaign import explore as explore_lorawan
from nightly import Nightly

SEEDS = 50


def _state(seed: int, tally: Tally, limit: int) -> None:
    explore_storage(StateWork, 5, 200, seed, tally, limit)


def _journal(seed: int, tally: Tally, limit: int) -> None:
    explore_storage(JournalWork, 6, 200, seed, tally, limit)


def _lorawan(seed: int, tally: Tally, limit: int) -> None:
    """Half of the points within the first steps of a life, half over a long one."""
    middle = (tally.cut_points + limit) // 2
    explore_lorawan(seed, tally, middle)
    explore_lorawan(seed, tally, limit, lambda rng: rng.random() < 0.03)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "life", "points"),
    [
        ("storage.state", _state, 75_000),
        ("storage.journal", _journal, 75_000),
        ("lorawan.session", _lorawan, 100_000),
    ],
)
def test_nothing_is_lost_wherever_the_power_is_cut(
    nightly: Nightly, name: str, life: Callable[[int, Tally, int], None], points: int
) -> None:
    tally = Tally()
    wanted = nightly.count(points)
    for seed in range(SEEDS):
        life(1000 + seed, tally, wanted * (seed + 1) // SEEDS)
    figures = {
        "name": name,
        "cut_points": tally.cut_points,
        "torn": tally.cut_points,  # each lies within a write or an erase
        "nested": tally.nested,
        "contexts_lost": tally.contexts_lost,
        "acknowledged_records_lost": tally.acknowledged_records_lost,
        "counters_reused": tally.counters_reused,
    }
    nightly.record("powercut.json", "campaigns", figures)
    assert tally.cut_points >= wanted
    assert (tally.contexts_lost, tally.acknowledged_records_lost, tally.counters_reused) == (0, 0, 0)
