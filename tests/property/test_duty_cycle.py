# SPDX-License-Identifier: MIT
"""No sub-band above its share in any hour, over random lives with reboots and power cuts; a seeded sample."""

from __future__ import annotations

import pytest
from communode.node.lorawan import airtime
from communode.node.lorawan.airtime import Ledger
from duty_schedules import HOUR_US, Life
from nightly import Nightly

EVENTS = 30


@pytest.mark.parametrize("share", range(4))
def test_no_sub_band_carries_more_than_its_share_in_any_hour(share: int) -> None:
    lives = [Life(seed).run(EVENTS) for seed in range(200 * share, 200 * share + 200)]
    assert [found for life in lives for found in life.violations()] == []
    # They do press against the limit, and are interrupted.
    assert sum(life.waits for life in lives) > 500
    assert sum(life.power_cuts for life in lives) > 500
    assert sum(life.reboots for life in lives) > 300


def test_the_judge_counts_the_part_of_a_frame_that_lies_in_the_hour() -> None:
    life = Life(1)  # EU868
    minute_us = 60_000_000
    life.on_air = [(2, 0, 30_000_000), (2, HOUR_US + 20_000_000, HOUR_US + 26_000_000)]
    assert life.violations() == []  # 4 s and 6 s
    life.on_air.append((2, HOUR_US + minute_us, HOUR_US + minute_us + 31_000_000))
    assert "868000000..868600000 Hz carried 37000000 us" in life.violations()[0]


def _broken(lives: int) -> int:
    return sum(bool(Life(seed).run(EVENTS).violations()) for seed in range(lives))


def test_an_hour_of_eleven_buckets_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airtime, "_COLUMNS", 11)
    assert _broken(150) > 0


def test_a_ledger_that_power_cuts_empty_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "load", lambda ledger, data: None)
    assert _broken(60) > 5


def test_a_ledger_that_is_not_charged_in_advance_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Ledger.to_bytes
    monkeypatch.setattr(Ledger, "to_bytes", lambda ledger, ahead: real(ledger, False))
    assert _broken(300) > 0


@pytest.mark.nightly
def test_no_sub_band_carries_more_than_its_share_in_a_hundred_thousand_lives(nightly: Nightly) -> None:
    lives = nightly.count(100_000)
    frames = power_cuts = reboots = 0
    found: list[str] = []
    for seed in range(10_000, 10_000 + lives):
        life = Life(seed).run(EVENTS)
        frames += len(life.on_air)
        power_cuts += life.power_cuts
        reboots += life.reboots
        found += life.violations()
    figures = {
        "name": "lorawan.duty_cycle",
        "schedules": lives,
        "transmissions": frames,
        "power_cuts": power_cuts,
        "reboots": reboots,
        "violations": len(found),
    }
    nightly.record("duty_cycle.json", "campaigns", figures)
    assert found == []
