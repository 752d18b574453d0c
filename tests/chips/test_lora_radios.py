# SPDX-License-Identifier: MIT
"""What holds for every radio model under our driver: two modems and the air between them."""

from __future__ import annotations

from typing import Any

import pytest
from communode.node.radio.modem import RadioError
from radio_bench import SYMBOL_US, BenchAir, Station, Time, downlink, exchange, payload_of, uplink


@pytest.fixture(params=["sx1262", "sx1276"])
def pair(request: pytest.FixtureRequest, time: Time, air: BenchAir) -> tuple[Station, Station]:
    return Station(time, air, "node", request.param), Station(time, air, "gateway", request.param)


@pytest.mark.parametrize("sf", range(7, 13))
def test_uplink_and_downlink_arrive_at_every_spreading_factor(pair: tuple[Station, Station], sf: int) -> None:
    node, gateway = pair
    assert payload_of(exchange(node, gateway, uplink(sf), uplink(sf))) == b"hello, world"
    assert payload_of(exchange(gateway, node, downlink(sf), downlink(sf), 8)) == b"hello, world"
    assert node.chip.notes == gateway.chip.notes == []


@pytest.mark.parametrize(("kind", "other"), [("sx1262", "sx1276"), ("sx1276", "sx1262")])
def test_both_chip_families_understand_each_other(time: Time, air: BenchAir, kind: str, other: str) -> None:
    node, gateway = Station(time, air, "node", kind), Station(time, air, "gateway", other)
    for sf in (7, 12):
        assert payload_of(exchange(node, gateway, uplink(sf), uplink(sf))) == b"hello, world"
        assert payload_of(exchange(gateway, node, downlink(sf), downlink(sf))) == b"hello, world"


@pytest.mark.parametrize("sf", [7, 10, 12])
def test_window_two_symbols_late_receives_and_four_symbols_late_misses(
    pair: tuple[Station, Station], sf: int
) -> None:
    symbol = SYMBOL_US[sf]
    on_time = exchange(*pair, uplink(sf), uplink(sf), 12, late_us=2 * symbol)
    late = exchange(*pair, uplink(sf), uplink(sf), 12, late_us=4 * symbol)
    assert (payload_of(on_time), late) == (b"hello, world", False)


@pytest.mark.parametrize(
    "changes",
    [
        {"invert_iq": True},
        {"frequency_hz": 868300000},
        {"spreading_factor": 8},
        {"bandwidth_hz": 250000},
        {"sync_word": 0x12},
    ],
)
def test_receiver_that_expects_something_else_stays_deaf(
    pair: tuple[Station, Station], changes: dict[str, Any], time: Time
) -> None:
    before = time.now
    assert exchange(*pair, uplink(), uplink(**changes), 12) is False
    assert time.now - before < 2_000_000  # bounded also where it locked onto another network's packet


def test_damaged_packet_with_crc_is_no_packet(pair: tuple[Station, Station], air: BenchAir) -> None:
    air.damaged = True
    assert exchange(*pair, uplink(), uplink()) is False
    air.damaged = False
    assert payload_of(exchange(*pair, uplink(), uplink())) == b"hello, world"


def test_inaudible_packet_leaves_the_window_empty(pair: tuple[Station, Station], air: BenchAir) -> None:
    air.silent = True
    assert exchange(*pair, uplink(), uplink()) is False


def test_tx_done_is_told_to_the_microsecond_even_by_a_late_poll(
    pair: tuple[Station, Station], air: BenchAir, time: Time
) -> None:
    node, _ = pair
    node.modem.prepare_tx(uplink(12), b"x" * 51, 14)
    node.modem.start_tx()
    time.now += 2_700_000
    assert abs(node.finish_tx() - air.sent[-1].end_us) < 30


def test_starts_and_a_second_window_need_few_transactions(pair: tuple[Station, Station]) -> None:
    node, _ = pair
    node.modem.prepare_rx(downlink(7), 8)
    before = node.bus.transactions
    node.modem.start_rx()
    assert node.bus.transactions == before + 1
    node.finish_rx()
    before = node.bus.transactions
    node.modem.prepare_rx(downlink(12, frequency_hz=869525000), 8)
    assert node.bus.transactions - before <= 4
    node.modem.prepare_tx(uplink(), b"x", 14)
    before = node.bus.transactions
    node.modem.start_tx()
    assert node.bus.transactions == before + 1


def test_transmission_that_never_ends_is_an_error_and_the_next_use_recovers(
    pair: tuple[Station, Station], time: Time
) -> None:
    node, _ = pair
    node.modem.prepare_tx(uplink(), b"x", 14)
    node.modem.start_tx()
    node.chip.power(False)
    with pytest.raises(RadioError) as raised:
        node.finish_tx()
    assert raised.value.code == "tx_timeout"
    node.chip.power(True)
    time.sleep_ms(20)
    assert payload_of(exchange(*pair, uplink(), uplink())) == b"hello, world"


def test_chip_that_never_comes_back_fails_in_bounded_time(pair: tuple[Station, Station], time: Time) -> None:
    node, _ = pair
    node.chip.power(False)
    start = time.now
    with pytest.raises(RadioError) as raised:
        node.modem.begin()
    assert raised.value.code == "not_found"
    assert time.now - start < 1_000_000


def test_standby_during_transmission_cuts_it_and_nobody_receives(
    pair: tuple[Station, Station], air: BenchAir, time: Time
) -> None:
    node, gateway = pair
    node.modem.prepare_tx(uplink(), b"cut", 14)
    gateway.modem.prepare_rx(uplink(), 12)
    node.modem.start_tx()
    gateway.modem.start_rx()
    time.sleep_ms(20)
    node.modem.standby()
    assert air.cuts[0] < air.sent[0].end_us
    assert gateway.finish_rx() is False


def test_power_cut_during_transmission_cuts_it(
    pair: tuple[Station, Station], air: BenchAir, time: Time
) -> None:
    node, _ = pair
    node.modem.prepare_tx(uplink(), b"cut", 14)
    node.modem.start_tx()
    time.sleep_ms(20)
    node.chip.power(False)
    assert 0 in air.cuts


def test_channel_activity_is_seen_only_while_somebody_sends(
    pair: tuple[Station, Station], time: Time
) -> None:
    node, gateway = pair
    assert gateway.modem.channel_activity(uplink(9)) is False
    node.modem.prepare_tx(uplink(9), b"x" * 40, 14)
    node.modem.start_tx()
    time.sleep_ms(60)
    assert gateway.modem.channel_activity(uplink(9)) is True
    node.finish_tx()
    assert gateway.modem.channel_activity(uplink(9)) is False


def test_strength_is_noise_until_somebody_sends(pair: tuple[Station, Station], time: Time) -> None:
    node, gateway = pair
    gateway.modem.prepare_rx(uplink(), 8)
    assert gateway.modem.rssi_dbm() == -117
    node.modem.prepare_tx(uplink(12), b"x", 14)
    node.modem.start_tx()
    time.sleep_ms(5)
    assert gateway.modem.rssi_dbm() == -80
    gateway.modem.standby()
