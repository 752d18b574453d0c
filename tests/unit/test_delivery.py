# SPDX-License-Identifier: MIT
"""Delivery: what is sent next, what an answer settles, what a day allows; whole backlogs over a bad air."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from communode.node.lorawan.mac import Mac
from communode.node.lorawan.region.eu868 import REGION
from communode.node.storage.delivery import ASK_AFTER, MAX_PAIRS, Delivery
from delivery_bench import DAY_MS, EVERY_MS, NODE, DeliveryBench, most_in_a_day
from hypothesis import given
from hypothesis import strategies as st
from lorawan_air import Block


def settled(base: int, runs: list[tuple[int, int]], next_id: int = 1000) -> Delivery:
    """A delivery that sent everything and got this answer."""
    delivery = Delivery(0)
    delivery.mark_sent([next_id - 1])
    assert delivery.settle(base, runs[0][0] if runs else base - 1, runs, next_id)
    return delivery


Plug = Callable[..., DeliveryBench]


@pytest.fixture
def plug(tmp_path: Path) -> Iterator[Plug]:
    """Makes a bench; its store is closed in the end."""
    with ExitStack() as plugged:

        def make(**settings: Any) -> DeliveryBench:
            bench = DeliveryBench(tmp_path, **settings)
            plugged.callback(bench.store.close)
            return bench

        yield make


# What is sent


def test_new_records_go_newest_first() -> None:
    delivery = Delivery(5)
    assert delivery.queue(10, 16) == [9, 8, 7, 6, 5]
    assert delivery.queue(10, 3) == [9, 8, 7]
    assert delivery.queue(5, 16) == []


def test_new_records_go_before_missing_ones() -> None:
    delivery = settled(20, [(90, 2), (23, 4)], 100)
    assert delivery.queue(102, 16) == [101, 100, 90, 89, 23, 22, 21, 20]
    assert delivery.queue(102, 4) == [101, 100, 90, 89]
    assert delivery.queue(102, 1) == [101]


def test_what_was_sent_is_not_sent_again_until_an_answer_says_so() -> None:
    delivery = settled(20, [(90, 2), (23, 4)], 100)
    delivery.mark_sent([100, 90, 89, 23])
    assert delivery.queue(101, 16) == [22, 21, 20]
    delivery.mark_sent([22, 21, 20])
    assert delivery.queue(101, 16) == []
    assert not delivery.any_missing()


def test_new_records_that_did_not_fit_wait_for_the_next_answer() -> None:
    delivery = Delivery(0)
    delivery.mark_sent([9, 8, 7])
    assert delivery.queue(10, 16) == []
    assert delivery.settle(0, 6, [(6, 7)], 10)
    assert delivery.queue(10, 16) == [6, 5, 4, 3, 2, 1, 0]


@given(st.sets(st.integers(0, 200), min_size=1), st.data())
def test_marking_takes_off_the_queue_what_was_sent_and_what_was_passed_over(
    missing: set[int], data: st.DataObject
) -> None:
    runs: list[tuple[int, int]] = []
    for record_id in sorted(missing, reverse=True):
        if runs and runs[-1][0] - runs[-1][1] == record_id:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((record_id, 1))
    runs = runs[:MAX_PAIRS]
    delivery = settled(min(missing), runs)
    named = delivery.queue(1000, 300)
    sent = sorted(data.draw(st.sets(st.sampled_from(named))), reverse=True)
    delivery.mark_sent(sent)
    assert delivery.queue(1000, 300) == [record_id for record_id in named if not sent or record_id < sent[-1]]


# What an answer settles


def test_an_answer_without_missing_records_settles_all() -> None:
    delivery = settled(100, [], 100)
    assert delivery.floor == 100
    assert not delivery.wants_answer(100)
    assert not delivery.any_missing()


@pytest.mark.parametrize(("base", "top"), [(101, 99), (50, 100), (0, 5000)])
def test_an_answer_about_records_that_do_not_exist_changes_nothing(base: int, top: int) -> None:
    delivery = settled(20, [(90, 2)], 100)
    before = delivery.to_bytes()
    assert not delivery.settle(base, top, [], 100)
    assert delivery.to_bytes() == before


def test_an_answer_that_comes_late_does_not_lower_the_floor() -> None:
    delivery = settled(50, [], 50)
    assert delivery.settle(30, 40, [(40, 11)], 60)
    assert delivery.floor == 50


def test_a_frame_asks_after_eighteen_records() -> None:
    delivery = settled(100, [], 100)
    assert [delivery.wants_answer(100 + taken) for taken in (0, ASK_AFTER - 1, ASK_AFTER)] == [
        False,
        False,
        True,
    ]


def test_when_an_answer_could_not_name_all_the_next_frame_asks_after_the_named_were_sent() -> None:
    delivery = settled(10, [(90, 5), (60, 1)], 100)
    assert not delivery.wants_answer(100)
    delivery.mark_sent([90, 89, 88, 87, 86, 60])
    assert delivery.wants_answer(100)


def test_what_the_ring_lost_is_not_sent() -> None:
    delivery = settled(10, [(90, 5), (60, 30)], 100)
    delivery.drop_below(50)
    assert delivery.queue(100, 99) == [90, 89, 88, 87, 86, *range(60, 49, -1)]
    assert delivery.floor == 50


# What survives


def test_the_state_comes_back() -> None:
    delivery = settled(20, [(90, 2), (23, 4)], 100)
    delivery.spend_answer()
    delivery.spend_airtime(1_234_567)
    again = Delivery(0)
    assert again.load(delivery.to_bytes(), 0)
    assert again.to_bytes() == delivery.to_bytes()
    assert again.queue(100, 16) == [90, 89, 23, 22, 21, 20]


@pytest.mark.parametrize("data", [None, b"", bytes(44), bytes(46), bytes(50)])
def test_what_is_no_state_is_not_taken(data: bytes | None) -> None:
    delivery = Delivery(7)
    before = delivery.to_bytes()
    assert not delivery.load(data, 0)
    assert delivery.to_bytes() == before


# What a day allows


def test_allowances_fill_evenly_and_hold_little() -> None:
    delivery = Delivery(0)
    delivery.frame_ms = 400
    for _ in range(2):
        assert delivery.may_ask(0)
        delivery.spend_answer()
    assert not delivery.may_ask(3 * 3_600_000 - 1)
    assert delivery.may_ask(3 * 3_600_000)
    assert delivery.may_send(0, backlog=True)
    delivery.spend_airtime(600_000)
    assert delivery.may_send(0)
    assert not delivery.may_send(0, backlog=True)  # which leaves room for what is new
    delivery.spend_airtime(1)  # any part of a millisecond counts as one
    assert not delivery.may_send(2999)
    assert delivery.may_send(3000)  # 28.8 s a day is a millisecond in 3 s


def test_slow_frames_need_more_held_and_less_fills_in_for_a_day() -> None:
    delivery = Delivery(0)
    delivery.frame_ms = 2800
    assert delivery.may_send(0)
    delivery.spend_airtime(2_800_000)
    delivery.frame_ms = 400
    delivery.may_send(0)
    assert not delivery.may_send(664_615)
    assert delivery.may_send(664_616)  # 26 s a day: 200 ms more
    delivery.spend_airtime(400_000)
    later_ms = DAY_MS + 60_000
    assert delivery.may_send(DAY_MS)
    assert delivery.may_send(later_ms)
    delivery.spend_airtime(1_000_000)  # all that is held at this rate
    assert not delivery.may_send(later_ms + 1_190_000)
    assert delivery.may_send(later_ms + 1_200_000)


@pytest.mark.parametrize("seed", range(3))
def test_no_day_has_more_than_thirty_seconds_and_ten_answers_whatever_is_wanted(seed: int) -> None:
    rng = random.Random(seed)
    delivery = Delivery(0)
    airtime: deque[tuple[int, int]] = deque()
    answers: deque[tuple[int, int]] = deque()
    now_ms, booted_ms, quiet_until_ms = 0, 0, 0
    longest_us = 2_800_000  # a full frame at SF12
    for _ in range(20_000):
        now_ms += rng.randrange(120_000)
        if rng.random() < 0.001:  # a power loss: the node's time starts again
            again = Delivery(0, 0)
            assert again.load(delivery.to_bytes(), 0)
            delivery, booted_ms = again, now_ms
        if now_ms < quiet_until_ms:
            continue
        if rng.random() < 0.0005:
            quiet_until_ms = now_ms + 3 * DAY_MS
        if rng.random() < 0.002:
            longest_us = rng.choice((360_000, 1_200_000, 2_800_000))
        air_us = rng.randrange(50_000, longest_us)
        delivery.frame_ms = longest_us // 1000 + rng.randrange(1, 100)
        if delivery.may_send(now_ms - booted_ms):
            delivery.spend_airtime(air_us)
            airtime.append((now_ms, air_us))
        if delivery.may_ask(now_ms - booted_ms):
            delivery.spend_answer()
            answers.append((now_ms, 1))
    assert 24_000_000 < most_in_a_day(airtime) <= 30_000_000
    assert 8 <= most_in_a_day(answers) <= 10


def test_power_losses_do_not_refill_what_was_spent() -> None:
    delivery = Delivery(0, 50_000_000)
    delivery.spend_airtime(5_000_000)
    for _ in range(100):
        again = Delivery(0, 0)
        assert again.load(delivery.to_bytes(), 0)
        assert not again.may_send(1000)
        delivery = again


# The first rate


@pytest.mark.parametrize(
    ("joined_at", "window", "snr_db", "begins_at"),
    [(0, 1, 31, 5), (0, 1, 5, 4), (0, 1, -4, 0), (2, 1, 0, 2), (2, 1, 2.5, 3), (0, 2, 31, 0), (5, 1, 31, 5)],
)
def test_after_a_join_the_rate_is_what_the_accept_was_heard_with(
    plug: Plug, joined_at: int, window: int, snr_db: float, begins_at: int
) -> None:
    mac = Mac(REGION, Block, bytes(8), bytes(8), bytes(16))
    kept = []

    def join() -> SimpleNamespace:
        mac.personalize(1, bytes(16), bytes(16))
        mac.session.data_rate = joined_at
        given = {"window": window, "snr_quarter_db": int(4 * snr_db), "rssi_dbm": -100}
        return SimpleNamespace(code="joined", reason="", wait_ms=0, heard=True, **given)

    sender = plug().sender
    sender.runner = SimpleNamespace(
        mac=mac, join=join, keep=lambda: kept.append(mac.session.data_rate), late_min_us=0, late_max_us=0
    )
    sender.keeper.memory.retry_ms = 0
    assert sender.join(0)
    assert mac.session.data_rate == begins_at
    assert kept == [begins_at] * (window == 1)


# Backlogs


def test_on_a_perfect_air_every_record_goes_once_and_at_once(plug: Plug) -> None:
    bench = plug()
    for number in range(200):
        bench.wake()
        assert bench.frames[-1] == [number]
    assert len(bench.frames) == 200
    assert len(bench.stored()) == 200


@pytest.mark.parametrize("seed", [1, 2])
def test_a_week_without_gateway_clears_in_a_week_at_thirty_percent_loss(plug: Plug, seed: int) -> None:
    bench = plug(loss=0.3, seed=seed)
    bench.gateway = False
    for _ in range(7 * 144):
        bench.wake()
    backlog = set(range(bench.journal.next_id))
    bench.gateway = True
    for _ in range(7 * 144):
        bench.wake()
    stored = bench.stored()
    assert backlog <= stored
    assert set(range(bench.journal.next_id - 288)) <= stored
    assert bench.repeated < 200  # what lies between two losses that are named as one
    assert most_in_a_day(bench.airtime) <= 30_000_000
    assert most_in_a_day(deque((at_ms, 1) for at_ms in bench.asked)) <= 10
    for frame in bench.frames:
        assert frame == sorted(frame, reverse=True)


def test_new_records_wait_half_an_hour_at_most_while_a_backlog_is_sent(plug: Plug) -> None:
    bench = plug()
    bench.gateway = False
    for _ in range(800):
        bench.wake()
    bench.gateway = True
    sent_at: dict[int, int] = {}
    for _ in range(288):
        begun = len(bench.frames)
        bench.wake()
        for frame in bench.frames[begun:]:
            for number in frame:
                sent_at.setdefault(number, bench.now_ms)
    assert len(bench.stored()) > 1000  # the backlog was on its way
    waits = [sent_at[number] - (number + 1) * EVERY_MS for number in range(800, bench.journal.next_id - 3)]
    assert max(waits) <= 3 * EVERY_MS
    assert sum(wait == 0 for wait in waits) > len(waits) // 2


def test_a_lost_delivery_state_costs_repeats_and_no_record(plug: Plug) -> None:
    bench = plug(loss=0.2)
    for _ in range(100):
        bench.wake()
    bench.power_loss()
    for _ in range(3 * 144):
        bench.wake()
    assert bench.repeated > 0
    assert set(range(bench.journal.next_id - 100)) <= bench.stored()


def test_an_unreadable_record_takes_no_older_one_with_it(plug: Plug) -> None:
    bench = plug()
    bench.gateway = False
    for _ in range(100):
        bench.wake()
    bench.flash.cells[60 * 32 + 9] ^= 1  # as a power cut leaves a record of several parts
    assert bench.journal.read(60) is None
    bench.gateway = True
    for _ in range(144):
        bench.wake()
    rows = {row[0] & 0xFFFFFF: row for row in bench.store.rows(NODE)}
    assert set(range(100)) <= set(rows)
    _, time_utc, _, value, _, quality, _ = rows[60]
    assert (time_utc, value, quality) == (None, None, "absent")


def test_what_the_ring_has_lost_is_given_up_and_the_rest_arrives(plug: Plug) -> None:
    bench = plug(sectors=3)  # 256 to 384 records
    bench.gateway = False
    for _ in range(600):
        bench.wake()
    oldest = bench.journal.oldest_id
    assert oldest > 0
    bench.gateway = True
    for _ in range(3 * 144):
        bench.wake()
    stored = bench.stored()
    assert min(stored) >= oldest
    assert set(range(bench.journal.next_id - 30)) - stored <= set(range(600))
    assert bench.delivery.floor > 600
    assert bench.store.missing(NODE, 7, bench.delivery.floor, bench.journal.next_id - 30)[1] == []
