# SPDX-License-Identifier: MIT
"""Counts between two statuses: each told exactly once, whatever is lost, slept over or cut."""

from __future__ import annotations

import pytest
from communode.node.app.tally import Tally
from communode.node.codec.status import Status
from hypothesis import given, settings
from hypothesis import strategies as st

HOUR_MS = 3_600_000
CHARGE = [300, 100_000, 40, 4000, 800, 1700]


def prepared(tally: Tally, now_ms: int = 0, totals: list[int] | None = None) -> Status:
    status = Status()
    tally.prepare(status, now_ms, totals or [0] * 6)
    return status


def again(tally: Tally, now_ms: int = 0, slept: bool = True) -> Tally:
    other = Tally(0)
    data = tally.to_bytes()
    assert len(data) == 67
    assert other.load(data, now_ms, slept)
    return other


def test_everything_that_was_noted_is_in_the_status() -> None:
    tally = Tally(0)
    for cause in (1, 4, 4, 3, 5, 2, 3):
        tally.note_start(cause)
    for free in (50_000, 41_000, 60_000):
        tally.note_heap(free)
    for late_us in (200, 350, 100):
        tally.note_lateness(late_us)
    for _ in range(3):
        tally.note_airtime(61_696)
    status = prepared(again(tally), 7_200_000, CHARGE)
    assert (status.wakings, status.resets) == (7, (1, 1, 2, 1))
    assert (status.heap_low, status.lateness_us, status.airtime_ms) == (41_000, 350, 185)
    assert status.energy_mc == tuple(CHARGE)
    assert status.span_s == 7200


def test_what_was_told_is_taken_off_and_what_came_meanwhile_is_not() -> None:
    tally = Tally(0)
    tally.note_start(1)
    prepared(tally, 0, CHARGE)
    tally.note_airtime(50_000)
    tally.settle(1000)
    tally.note_start(4)
    status = prepared(again(tally), 3000, [charge + 5 for charge in CHARGE])
    assert (status.wakings, status.resets, status.airtime_ms, status.span_s) == (1, (0, 0, 0, 0), 50, 2)
    assert status.energy_mc == (5,) * 6
    assert (status.heap_low, status.lateness_us) == (None, 0)


def test_a_status_that_nobody_confirmed_is_told_again_whole() -> None:
    tally = Tally(0)
    tally.note_start(1)
    first = prepared(tally, HOUR_MS, CHARGE)
    assert not tally.due(7 * HOUR_MS - 1)
    assert tally.due(7 * HOUR_MS)
    second = prepared(again(tally), 7 * HOUR_MS, CHARGE)
    assert (second.wakings, second.energy_mc) == (first.wakings, first.energy_mc)


def test_the_first_is_due_after_an_hour_and_the_next_a_day_after_a_confirmed_one() -> None:
    tally = Tally(5)
    assert not tally.due(5 + HOUR_MS - 1)
    assert tally.due(5 + HOUR_MS)
    prepared(tally, 5 + HOUR_MS)
    tally.settle(6 + HOUR_MS)
    assert not tally.due(5 + 25 * HOUR_MS)
    assert again(tally).due(6 + 25 * HOUR_MS)


def test_settling_without_a_status_changes_nothing() -> None:
    tally = Tally(0)
    tally.note_start(1)
    before = tally.to_bytes()
    tally.settle(10)
    assert tally.to_bytes() == before


def test_after_a_power_loss_the_starts_count_on_and_no_old_clock_is_waited_for() -> None:
    tally = Tally(0)
    tally.note_start(1)
    prepared(tally, 10**12, CHARGE)
    tally.settle(10**12)
    tally.note_start(1)
    tally = again(tally, now_ms=7, slept=False)
    tally.note_start(1)
    assert tally.due(7 + HOUR_MS)
    status = prepared(tally, 7 + HOUR_MS, [1] * 6)
    assert status.resets == (2, 0, 0, 0)
    assert status.energy_mc == (1,) * 6  # the totals started anew
    assert status.span_s == 3600


@settings(deadline=None)  # the machine may be loaded
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 400_000), st.booleans()), max_size=60))
def test_what_is_confirmed_adds_up_to_what_happened(history: list[tuple[int, int, bool]]) -> None:
    tally = Tally(0)
    totals = [0] * 6
    heard_wakings = heard_airtime_ms = heard_resets = 0
    heard_charge = [0] * 6
    for number, (cause, airtime_us, confirmed) in enumerate(history):
        tally = again(tally)
        tally.note_start(cause)
        tally.note_airtime(airtime_us)
        totals = [total + cause for total in totals]
        status = prepared(tally, number, totals)
        if confirmed:
            tally.settle(number)
            heard_wakings += status.wakings
            heard_resets += sum(status.resets)
            heard_airtime_ms += status.airtime_ms
            heard_charge = [a + b for a, b in zip(heard_charge, status.energy_mc, strict=True)]
    left = prepared(tally, 0, totals)
    assert heard_wakings + left.wakings == len(history)
    assert heard_resets + sum(left.resets) == sum(cause != 4 for cause, _, _ in history)
    assert heard_airtime_ms + left.airtime_ms == sum(us for _, us, _ in history) // 1000
    assert [a + b for a, b in zip(heard_charge, left.energy_mc, strict=True)] == totals


@pytest.mark.parametrize("data", [None, b"", bytes(67), b"\x01" * 66, b"\x01" * 68])
def test_what_is_not_a_tally_is_refused_and_changes_nothing(data: bytes | None) -> None:
    tally = Tally(3)
    before = tally.to_bytes()
    assert not tally.load(data, 0, True)
    assert tally.to_bytes() == before
