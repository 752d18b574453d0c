# SPDX-License-Identifier: MIT
"""The LoRaWAN runner over our drivers over the chip models: real windows, real overlap, a foreign network."""

from __future__ import annotations

import random
from typing import Any

import pytest
from communode.node.lorawan.mac import Mac
from communode.node.lorawan.region.us915 import REGION as US915
from communode.node.lorawan.runner import Runner
from lorawan_bench import APP_KEY, DEV_EUI, JOIN_EUI, TCXO, Aes, Bench, Store

RADIOS = [("sx1262", {}), ("sx1262", TCXO), ("sx1276", {})]


@pytest.mark.parametrize(("kind", "settings"), RADIOS, ids=["sx1262", "sx1262-tcxo", "sx1276"])
def test_join_send_and_receive_on_the_chip(kind: str, settings: dict[str, Any]) -> None:
    bench = Bench(kind, **settings)
    assert bench.runner.join().code == "joined"
    outcome = bench.runner.send(2, b"reading", confirmed=True)
    assert (outcome.code, outcome.acked, outcome.downlinks) == ("sent", True, [(7, b"down")])
    assert bench.air.uplinks[0].payload == b"reading"
    assert bench.station.chip.notes == []


@pytest.mark.parametrize(("kind", "settings"), RADIOS, ids=["sx1262", "sx1262-tcxo", "sx1276"])
@pytest.mark.parametrize("window", [1, 2])
def test_the_join_accept_arrives_in_either_window(kind: str, settings: dict[str, Any], window: int) -> None:
    bench = Bench(kind, **settings)
    bench.air.window = window
    outcome = bench.runner.join()
    assert (outcome.code, outcome.window) == ("joined", window)


@pytest.mark.parametrize(("kind", "settings"), RADIOS, ids=["sx1262", "sx1262-tcxo", "sx1276"])
@pytest.mark.parametrize("spreading", range(7, 13))
def test_no_downlink_is_lost_with_ten_milliseconds_of_jitter(
    kind: str, settings: dict[str, Any], spreading: int
) -> None:
    bench = Bench(kind, **settings)
    assert bench.runner.join().code == "joined"
    bench.time.jitter_us = 10_000
    for offset_us in (-20, 20):
        for window in (1, 2):
            bench.pause()
            bench.air.window, bench.air.offset_us = window, offset_us
            bench.mac.session.data_rate = 12 - spreading
            outcome = bench.runner.send(1, b"x")
            assert outcome.downlinks == [(7, b"down")], (window, offset_us, bench.runner.late_max_us)
            assert outcome.window == window
    assert bench.runner.late_max_us < 11_000
    assert bench.station.chip.notes == []


@pytest.mark.parametrize(("kind", "settings"), RADIOS, ids=["sx1262", "sx1262-tcxo", "sx1276"])
@pytest.mark.parametrize("sleep_ppm", [5000, -5000])
def test_no_downlink_is_lost_asleep_by_a_clock_that_is_wrong(
    kind: str, settings: dict[str, Any], sleep_ppm: int
) -> None:
    bench = Bench(kind, clock_ppm=5000, **settings)
    assert bench.runner.join().code == "joined"
    bench.time.sleep_ppm = sleep_ppm
    for delay_s in range(1, 16):
        for window in (1, 2):
            bench.pause()
            bench.air.window = window
            bench.air.delay_s = bench.mac.session.rx_delay = delay_s
            bench.mac.session.data_rate = delay_s % 6
            assert bench.runner.send(1, b"x").downlinks == [(7, b"down")], (delay_s, window)


def test_a_clock_worse_than_the_runner_was_told_loses_late_windows() -> None:
    bench = Bench("sx1262", clock_ppm=100)
    assert bench.runner.join().code == "joined"
    bench.time.sleep_ppm = 5000
    bench.pause()
    bench.air.delay_s = bench.mac.session.rx_delay = 15
    bench.mac.session.data_rate = 5
    assert bench.runner.send(1, b"x").downlinks == []


def test_between_uplinks_the_radio_sleeps() -> None:
    bench = Bench("sx1262")
    bench.runner.join()
    assert bench.station.chip.mode == "sleep"
    bench.pause()
    assert bench.runner.send(1, b"x").downlinks
    assert bench.station.chip.mode == "sleep"


def test_a_radio_in_another_region_is_given_its_parameters() -> None:
    bench = Bench("sx1262")
    bench.mac = Mac(US915, Aes, DEV_EUI, JOIN_EUI, APP_KEY)
    bench.air.transmit = bench.air.sent.append  # type: ignore[method-assign]
    runner = Runner(bench.mac, bench.station.modem, bench.time, Store(), random.Random(3).randbytes)  # type: ignore[arg-type]
    assert runner.join().code == "no_accept"
    sent = bench.air.sent[0]
    assert 902_300_000 <= sent.frequency_hz <= 914_900_000
    assert (sent.spreading_factor, sent.bandwidth_hz) == (10, 125000)
