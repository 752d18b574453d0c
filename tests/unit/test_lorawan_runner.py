# SPDX-License-Identifier: MIT
"""The runner and the MAC together, in virtual time, against a network of another author (pamoja-lorawan)."""

from __future__ import annotations

import random

import pytest
from lorawan_air import (
    PowerCut,
)
from runner_bench import Network, Node


@pytest.fixture(autouse=True)
def collections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Garbage collection of CPython takes 20 ms with all of pytest loaded: counted instead."""
    counted: list[str] = []
    monkeypatch.setattr("communode.node.lorawan.runner.gc.collect", lambda: counted.append("gc"))
    return counted


def test_a_fresh_node_joins_and_its_first_uplink_arrives_within_fifteen_seconds() -> None:
    node = Node().joined()
    outcome = node.runner.send(2, b"hello")
    assert outcome.code == "sent"
    assert node.network.received[0].payload == b"hello"
    assert node.network.received[0].fport == 2
    assert node.air.uplinks[-1].end_us < 15_000_000
    assert node.modem.asleep


def test_the_join_accept_is_also_taken_in_rx2() -> None:
    network = Network()
    network.window = 2
    node = Node(network)
    outcome = node.runner.join()
    assert (outcome.code, outcome.window) == ("joined", 2)


def test_the_join_accept_sets_delay_rates_and_channels() -> None:
    node = Node(Network(rx_delay_s=5, dl_settings=0x13)).joined()
    session = node.mac.session
    assert (session.rx_delay, session.rx1_dr_offset, session.rx2_data_rate) == (5, 1, 3)
    assert session.frequencies[3:8] == [867100000, 867300000, 867500000, 867700000, 867900000]
    assert session.mask == 0xFF


def test_uplinks_use_every_channel_equally() -> None:
    node = Node().joined()
    for _ in range(40):
        node.runner.send(1, b"x")
        node.sleep(60_000)
    used = [uplink.parameters.frequency_hz for uplink in node.air.uplinks[1:]]
    assert {used.count(frequency) for frequency in set(used)} == {5}
    assert len(set(used)) == 8


def test_the_power_is_the_eirp_limit_less_the_antenna_gain() -> None:
    node = Node().joined()
    node.runner.send(1, b"x")
    assert node.air.uplinks[-1].power_dbm == 14


@pytest.mark.parametrize("window", [1, 2])
def test_a_confirmed_uplink_is_acknowledged_and_the_downlink_delivered(window: int) -> None:
    network = Network()
    node = Node(network).joined()
    network.window = window
    network.reply = lambda data: {"fport": 10, "payload": b"\xaa\x55", "ack": data.confirmed}
    outcome = node.runner.send(2, b"x", confirmed=True)
    assert outcome.acked
    assert outcome.downlinks == [(10, b"\xaa\x55")]
    assert outcome.window == window


def test_the_heap_is_collected_before_each_window(collections: list[str]) -> None:
    node = Node().joined()
    node.runner.send(1, b"x")
    assert len(collections) == len(node.air.windows) == 3


def test_rx2_is_not_opened_after_a_downlink_in_rx1() -> None:
    node = Node().joined()
    node.network.reply = lambda data: {"fport": 1, "payload": b"x"}
    before = len(node.air.windows)
    node.runner.send(1, b"x")
    assert len(node.air.windows) == before + 1


def test_a_confirmed_downlink_is_acknowledged_by_the_next_uplink_only() -> None:
    node = Node().joined()
    node.network.reply = lambda data: {"fport": 1, "payload": b"x", "confirmed": True}
    node.runner.send(1, b"1")
    node.network.reply = lambda data: None
    node.runner.send(1, b"2")
    node.runner.send(1, b"3")
    assert [data.ack for data in node.network.received] == [False, True, False]


def test_nb_trans_repeats_the_same_frame_on_other_channels_until_it_is_answered() -> None:
    node = Node().joined()
    node.mac.session.nb_trans = 3
    outcome = node.runner.send(1, b"x")
    frames = node.air.uplinks[1:]
    assert outcome.transmissions == 3
    assert len({uplink.payload for uplink in frames}) == 1
    assert len({uplink.parameters.frequency_hz for uplink in frames}) == 3
    node.network.reply = lambda data: {}
    assert node.runner.send(1, b"y").transmissions == 1


def test_an_unanswered_confirmed_uplink_waits_before_the_next_one() -> None:
    node = Node().joined()
    node.mac.session.nb_trans = 2
    node.runner.send(1, b"x", confirmed=True)
    first, second = node.air.uplinks[1:3]
    # RECEIVE_DELAY2 (2 s) and RETRANSMIT_TIMEOUT (1 s to 3 s)
    assert 3_000_000 <= second.start_us - first.end_us <= 5_300_000


def test_deep_sleep_keeps_counters_exactly_and_a_power_cut_skips_to_the_ceiling() -> None:
    node = Node().joined()
    for number in range(5):
        node.runner.send(1, bytes((number,)))
        node.sleep(900_000)
        node.boot()
    assert [data.fcnt for data in node.network.received] == [0, 1, 2, 3, 4]
    node.cut_power()
    node.runner.send(1, b"x")
    assert node.network.received[-1].fcnt == 32
    assert node.store.commits < 6


def test_a_reset_while_listening_keeps_the_counter_used() -> None:
    node = Node().joined()
    node.runner.send(1, b"1")

    def reset() -> None:
        raise PowerCut

    node.modem.poll_rx = reset  # type: ignore[assignment, method-assign]
    with pytest.raises(PowerCut):
        node.runner.send(1, b"2")
    del node.modem.poll_rx  # type: ignore[method-assign]
    node.modem.busy = False
    node.boot()  # a watchdog reset: RTC memory is still there
    node.runner.send(1, b"3")
    assert [data.fcnt for data in node.network.received] == [0, 1, 2]


def test_a_power_cut_starts_the_join_back_off_anew() -> None:
    node = Node()
    node.network.drop_accepts = True
    for _ in range(200):
        node.sleep(node.runner.join().wait_ms)
    node.sleep(3_600_000)
    assert node.mac.session.join_period
    node.cut_power()
    assert node.runner.join().code == "no_accept"
    assert node.mac.session.join_period == 0
    assert node.mac.session.join_attempts == 1


def test_without_a_cache_every_counter_is_written_first_and_none_is_skipped() -> None:
    node = Node()
    node.cacheless = True
    node.boot()
    node.joined()
    for number in range(5):
        node.runner.send(1, bytes((number,)))
        node.boot()
    assert [data.fcnt for data in node.network.received] == [0, 1, 2, 3, 4]


def test_a_data_rate_set_after_an_uplink_outlives_deep_sleep_once_it_is_kept() -> None:
    node = Node().joined()
    node.mac.set_adr(True, 0)
    node.runner.send(1, b"1")
    for kept, expected in ((False, 0), (True, 5)):
        node.mac.set_adr(True, 5)
        if kept:
            node.runner.keep()
        node.boot()
        assert node.mac.session.data_rate == expected


def test_a_cache_of_another_write_is_not_used() -> None:
    node = Node().joined()
    node.runner.send(1, b"1")
    stale = node.store.cache
    for _ in range(40):  # over the ceiling: flash was written again
        node.runner.send(1, b"2")
        node.sleep(60_000)
    node.store.cache = stale
    node.boot()
    assert node.mac.session.fcnt_up >= 41


@pytest.mark.parametrize("cut", range(1, 9))
@pytest.mark.parametrize("moment", ["cut_before", "cut_after"])
def test_no_counter_is_used_twice_whatever_write_the_power_is_cut_at(cut: int, moment: str) -> None:
    node = Node()
    node.network.reply = lambda data: {"fport": 3, "payload": b"x"} if data.fcnt % 3 == 0 else None
    setattr(node.store, moment, cut)
    cuts = 0
    for _ in range(30):
        try:
            if not node.mac.session.joined:
                node.runner.join()
            else:
                node.runner.send(1, b"payload")
        except PowerCut:
            cuts += 1
            node.cut_power()
        node.sleep(120_000)
    assert cuts == 1
    assert len(set(node.network.dev_nonces)) == len(node.network.dev_nonces)
    frames = [uplink.payload for uplink in node.air.uplinks]
    assert len(set(frames)) == len(frames)


def test_a_downlink_is_in_flash_before_it_is_returned_so_its_replay_is_refused() -> None:
    node = Node().joined()
    node.network.reply = lambda data: {"fport": 3, "payload": b"open"}
    assert node.runner.send(1, b"x").downlinks
    node.network.fcnt_down = 0  # the same frame again
    node.cut_power()
    assert node.runner.send(1, b"x").downlinks == []
    assert node.mac.rejection == "mic"


def test_a_replayed_join_accept_is_refused_after_a_power_cut() -> None:
    node = Node().joined()
    node.network.join_nonce = 0
    node.cut_power()
    outcome = node.runner.join()
    assert outcome.code == "no_accept"
    assert node.mac.rejection == "join_nonce"
    assert node.mac.session.joined


def test_a_failed_flash_write_holds_back_the_next_transmission() -> None:
    node = Node().joined()
    node.store.cut_before = node.store.commits + 1
    sent = len(node.air.uplinks)
    with pytest.raises(PowerCut):
        node.runner.send(1, b"x")
    assert len(node.air.uplinks) == sent
    commits = node.store.commits
    node.store.cut_before = None
    node.runner.send(1, b"y")
    assert node.store.commits == commits + 1


@pytest.mark.parametrize("spreading", range(7, 13))
@pytest.mark.parametrize("offset_us", [-20, 0, 20])
def test_ten_milliseconds_of_jitter_lose_no_downlink(spreading: int, offset_us: int) -> None:
    network = Network(rx_delay_s=1)
    node = Node(network).joined()
    network.offset_us = offset_us
    network.reply = lambda data: {"fport": 1, "payload": b"x"}
    jitter = random.Random(spreading)
    node.clock.jitter_us = lambda: jitter.randrange(10_000)
    for window in (1, 2) * 8:
        network.window = window
        node.mac.session.data_rate = 12 - spreading
        outcome = node.runner.send(1, b"x")
        assert outcome.code == "sent"
        assert outcome.downlinks, (window, node.runner.late_max_us)
        node.sleep(600_000)
    assert 0 <= node.runner.late_min_us <= node.runner.late_max_us < 11_000


@pytest.mark.parametrize("ppm", [-5000, 5000])
@pytest.mark.parametrize("delay_s", [1, 5, 15])
@pytest.mark.parametrize("data_rate", [0, 5])
def test_a_clock_that_is_half_a_percent_off_loses_no_downlink(ppm: int, delay_s: int, data_rate: int) -> None:
    network = Network(rx_delay_s=delay_s)
    node = Node(network).joined()
    node.clock_ppm = 5000
    node.boot()
    node.clock.rate_ppm = ppm
    network.reply = lambda data: {"fport": 1, "payload": b"x"}
    for window in (1, 2) * 3:
        network.window = window
        node.mac.session.data_rate = data_rate
        assert node.runner.send(1, b"x").downlinks
        node.sleep(300_000)


def test_a_late_rx1_misses_the_downlink_and_widens_the_windows() -> None:
    node = Node().joined()
    node.network.reply = lambda data: {"fport": 1, "payload": b"x"}
    node.clock.jitter_us = lambda: 40_000
    assert node.runner.send(1, b"x").downlinks == []
    assert node.runner.late_max_us > 20_000
    assert node.runner.lead_us > 40_000
    node.sleep(60_000)
    assert node.runner.send(1, b"x").downlinks
    node.boot()  # and it is remembered
    assert node.runner.lead_us > 40_000


def test_radio_failures_are_codes_and_never_lose_the_state() -> None:
    node = Node().joined()
    node.modem.fail = {"prepare_tx": "busy_timeout"}
    outcome = node.runner.send(1, b"x")
    assert (outcome.code, outcome.sent) == ("busy_timeout", False)
    node.modem.fail = {"prepare_rx": "busy_timeout"}
    outcome = node.runner.send(1, b"x")
    assert (outcome.code, outcome.sent) == ("busy_timeout", True)
    node.modem.fail = {"poll_tx": "tx_timeout"}
    assert node.runner.send(1, b"x").code == "tx_timeout"
    node.modem.busy = False
    node.modem.fail = {}
    assert node.runner.send(1, b"y").code == "sent"
    assert node.network.received[-1].fcnt == 3


def test_a_node_that_nobody_answers_keeps_asking_and_never_breaks_the_back_off() -> None:
    node = Node()
    node.network.drop_accepts = True
    for _ in range(400):
        outcome = node.runner.join()
        assert outcome.code in ("no_accept", "wait")
        assert outcome.wait_ms > 0
        node.sleep(outcome.wait_ms)
        node.boot()
    sent = [(uplink.start_us, uplink.end_us - uplink.start_us) for uplink in node.air.uplinks]
    hour = 3_600_000_000
    first = sum(length for start, length in sent if start < hour)
    next_ten = sum(length for start, length in sent if hour <= start < 11 * hour)
    day = sum(length for start, length in sent if 11 * hour <= start < 35 * hour)
    assert 0 < first <= 36_000_000
    assert 0 < next_ten <= 36_000_000
    assert 0 < day <= 8_700_000
    assert node.network.dev_nonces == list(range(len(node.network.dev_nonces)))


def test_a_hundred_nodes_that_get_power_together_do_not_join_together() -> None:
    starts = []
    for seed in range(100):
        node = Node(seed=seed)
        node.runner.join()
        starts.append(node.air.uplinks[0].start_us)
    assert max(starts) < 4_100_000
    busiest = max(sum(1 for other in starts if abs(other - start) < 62_000) for start in starts)
    assert busiest < 12  # on three channels; all at once would be 100


def test_the_restore_after_deep_sleep_is_quick() -> None:
    import time

    node = Node().joined()
    node.runner.send(1, b"x")
    begin = time.perf_counter()
    for _ in range(100):
        node.boot()
    assert (time.perf_counter() - begin) / 100 < 0.005
    assert node.mac.session.joined
