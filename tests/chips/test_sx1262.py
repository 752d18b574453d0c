# SPDX-License-Identifier: MIT
"""The SX1262 model under our driver: what is its own (see also test_lora_radios.py)."""

from __future__ import annotations

from typing import Any

import pytest
from communode.node.radio.modem import RadioError, RxPacket
from communode.virtual.air import Air
from communode.virtual.chips import sx1262_power as power
from radio_bench import (
    SYMBOL_US,
    BenchAir,
    Station,
    Time,
    downlink,
    exchange,
    payload_of,
    uplink,
)


@pytest.fixture
def pair(time: Time, air: BenchAir) -> tuple[Station, Station]:
    return Station(time, air, "node", "sx1262"), Station(time, air, "gateway", "sx1262")


# Two modems


def test_signal_figures_are_those_of_the_air(pair: tuple[Station, Station], air: BenchAir) -> None:
    air.rssi_dbm, air.snr_db = -117.0, -7.25
    got = exchange(*pair, uplink(), uplink())
    assert isinstance(got, RxPacket)
    assert (got.rssi_dbm, got.snr_quarter_db) == (-117, -29)


def test_window_that_closes_before_five_symbols_misses(pair: tuple[Station, Station]) -> None:
    symbol = SYMBOL_US[9]
    assert payload_of(exchange(*pair, uplink(9), uplink(9), 20, late_us=-14 * symbol)) == b"hello, world"
    assert exchange(*pair, uplink(9), uplink(9), 20, late_us=-16 * symbol) is False


def test_window_ends_after_its_symbols_when_nobody_sends(pair: tuple[Station, Station], time: Time) -> None:
    _, gateway = pair
    gateway.modem.prepare_rx(downlink(12), 8)
    opened = gateway.modem.start_rx()
    assert gateway.finish_rx() is False
    length_us = time.now - time.world_us(opened)
    assert 8 * SYMBOL_US[12] < length_us < 8 * SYMBOL_US[12] + 2000


def test_timer_window_outlasts_the_symbol_counter_and_stops_on_preamble(
    pair: tuple[Station, Station],
) -> None:
    symbol = SYMBOL_US[7]
    # The packet starts 494 symbols into a window of 500 and ends long after it.
    assert exchange(*pair, uplink(), uplink(), 500, late_us=-494 * symbol) is not False
    assert exchange(*pair, uplink(), uplink(), 500, late_us=-496 * symbol) is False


def test_frequency_offset_within_a_quarter_of_the_bandwidth_is_heard(pair: tuple[Station, Station]) -> None:
    near, far = uplink(frequency_hz=868128000), uplink(frequency_hz=868135000)
    assert exchange(*pair, uplink(), near) is not False
    assert exchange(*pair, uplink(), far) is False


def test_damaged_packet_without_crc_comes_with_wrong_bytes(
    pair: tuple[Station, Station], air: BenchAir
) -> None:
    air.damaged = True
    got = payload_of(exchange(*pair, downlink(), downlink()))
    assert isinstance(got, bytes)
    assert len(got) == 12
    assert got != b"hello, world"


# Life


def test_stuck_busy_is_cured_by_reset_and_reconfiguration(pair: tuple[Station, Station]) -> None:
    node, _ = pair
    node.chip.stick_busy()
    assert payload_of(exchange(*pair, uplink(), uplink())) == b"hello, world"


def test_busy_stuck_during_a_start_is_an_error_and_the_next_use_recovers(
    pair: tuple[Station, Station],
) -> None:
    node, _ = pair
    node.modem.prepare_tx(uplink(), b"x", 14)
    node.chip.stick_busy()
    with pytest.raises(RadioError) as raised:
        node.modem.start_tx()
    assert raised.value.code == "busy_timeout"
    assert payload_of(exchange(*pair, uplink(), uplink())) == b"hello, world"


@pytest.mark.parametrize("tcxo_mv", [0, 1800])
def test_sleep_keeps_the_configuration_and_waking_restores_the_rest(
    time: Time, air: BenchAir, tcxo_mv: int
) -> None:
    driver = {"tcxo_mv": tcxo_mv, "rx_boost": 1}
    node = Station(time, air, "node", "sx1262", tcxo_mv=tcxo_mv, driver=driver)
    gateway = Station(time, air, "gateway", "sx1262")
    early = (20, -node.modem.rx_latency_us - 1000)
    assert payload_of(exchange(gateway, node, downlink(), downlink(), *early)) == b"hello, world"
    node.modem.sleep()
    time.sleep_ms(1000)
    assert node.chip.current_ua() == pytest.approx(0.6)
    assert payload_of(exchange(gateway, node, downlink(), downlink(), *early)) == b"hello, world"
    node.modem.sleep()
    assert payload_of(exchange(node, gateway, uplink(), uplink())) == b"hello, world"
    assert node.chip.notes == []


@pytest.mark.parametrize("tcxo_mv", [0, 1800])
def test_window_opens_as_late_as_the_driver_says(time: Time, air: BenchAir, tcxo_mv: int) -> None:
    node = Station(time, air, "node", "sx1262", tcxo_mv=tcxo_mv, driver={"tcxo_mv": tcxo_mv})
    node.modem.prepare_rx(downlink(), 8)
    assert node.chip.current_ua() == 600  # nothing runs while the window is far
    opened = time.world_us(node.modem.start_rx()) + node.modem.rx_latency_us
    assert abs(node.chip._receiver.window.open_us - opened) < 10


def test_packet_with_an_unreadable_header_ends_the_window_in_standby(pair: tuple[Station, Station]) -> None:
    _, gateway = pair
    assert exchange(*pair, uplink(implicit=True), uplink()) is False
    assert gateway.chip.mode == "standby_rc"


def test_sleeping_twice_and_waking_at_once_is_allowed(pair: tuple[Station, Station]) -> None:
    node, _ = pair
    node.modem.sleep()
    node.modem.sleep()
    assert payload_of(exchange(*pair, uplink(), uplink())) == b"hello, world"


def test_iq_register_that_was_not_cured_makes_the_receiver_deaf(
    pair: tuple[Station, Station], air: BenchAir, time: Time
) -> None:
    gateway, node = pair
    node.modem.prepare_rx(downlink(), 12)
    node.chip._registers[0x0736] = 0x0D  # as SetPacketParams leaves it
    gateway.modem.prepare_tx(downlink(), b"x", 14)
    gateway.modem.start_tx()
    node.modem.start_rx()
    assert node.finish_rx() is False


def test_next_change_tells_when_a_line_will_move(
    pair: tuple[Station, Station], air: BenchAir, time: Time
) -> None:
    node, _ = pair
    node.modem.prepare_tx(uplink(), b"x", 14)
    node.modem.start_tx()
    time.now = node.chip.next_change_us()  # the switch to sending
    assert node.chip.next_change_us() == air.sent[-1].end_us
    time.now = air.sent[-1].end_us - 1
    assert node.chip.pin("DIO1") == 0
    time.now += 1
    assert node.chip.pin("DIO1") == 1


# The air that the virtual boards share


def test_on_the_shared_air_two_at_once_collide_and_one_alone_arrives(time: Time) -> None:
    air: Any = Air(1, path_loss_db=100.0)
    node, other, gateway = (Station(time, air, name, "sx1262") for name in ("node", "other", "gateway"))
    for senders, expected in (((node,), b"alone"), ((node, other), False)):
        for sender in senders:
            sender.modem.prepare_tx(uplink(9), b"alone", 14)
        gateway.modem.prepare_rx(uplink(9), 20)
        gateway.modem.start_rx()
        for sender in senders:
            sender.modem.start_tx()
        assert payload_of(gateway.finish_rx()) == expected
        for sender in senders:
            sender.finish_tx()


# Board and power


def test_tcxo_that_nobody_supplies_is_an_oscillator_error(time: Time, air: BenchAir) -> None:
    station = Station(time, air, "node", "sx1262", tcxo_mv=1800, driver={"tcxo_mv": 1800})
    station.chip.settings["tcxo_startup_us"] = 9000  # slower than the delay that the driver gives
    with pytest.raises(RadioError) as raised:
        station.modem.begin()
    assert raised.value.code == "oscillator"


def test_switch_on_dio2_that_is_not_enabled_radiates_nothing(time: Time, air: BenchAir) -> None:
    station = Station(time, air, "node", "sx1262", dio2_rf_switch=True)
    station.modem.prepare_tx(uplink(), b"x", 14)
    station.modem.start_tx()
    station.finish_tx()
    assert air.sent == []
    assert station.chip.notes == ["transmitted into an antenna switch that is not set to transmit"]


def test_switch_on_pins_of_the_board_is_set_for_both_directions(time: Time, air: BenchAir) -> None:
    gateway = Station(time, air, "gateway", "sx1262")
    node = Station(time, air, "node", "sx1262", tx_enable=True, rx_enable=True)
    assert exchange(gateway, node, downlink(), downlink()) is False  # the driver was not told
    node.modem._tx_enable, node.modem._rx_enable = node.output("TXEN"), node.output("RXEN")  # type: ignore[attr-defined]
    assert payload_of(exchange(gateway, node, downlink(), downlink())) == b"hello, world"
    assert payload_of(exchange(node, gateway, uplink(), uplink())) == b"hello, world"


@pytest.mark.parametrize("asked", [-9, 0, 10, 14, 15, 17, 19, 20, 21, 22])
def test_conducted_power_is_what_was_asked_for(time: Time, air: BenchAir, asked: int) -> None:
    node = Station(time, air, "node", "sx1262", antenna_gain_dbi=2.5, feeder_loss_db=1.0)
    node.modem.prepare_tx(uplink(), b"x", asked)
    node.modem.start_tx()
    node.finish_tx()
    assert air.sent[-1].power_dbm == pytest.approx(asked + 1.5)
    assert node.chip.notes == []


@pytest.mark.parametrize("asked", [-17, 0, 10, 14, 15])
def test_conducted_power_of_an_sx1261_is_what_was_asked_for(time: Time, air: BenchAir, asked: int) -> None:
    node = Station(time, air, "node", "sx1262", chip="sx1261", driver={"chip": "sx1261"})
    node.modem.prepare_tx(uplink(), b"x", asked)
    node.modem.start_tx()
    node.finish_tx()
    assert air.sent[-1].power_dbm == pytest.approx(asked)
    assert node.chip.notes == []


def test_over_current_limit_lowers_the_power() -> None:
    full = power.output("sx1262", 4, 7, 22, 0x38)
    limited = power.output("sx1262", 4, 7, 22, 0x18)
    assert (full.conducted_dbm, full.current_ua, full.limited) == (22.0, 118_000, False)
    assert limited.limited
    assert limited.conducted_dbm < 17
    assert limited.current_ua == 60_000


def test_charge_of_an_uplink_is_current_times_time(time: Time, air: BenchAir) -> None:
    node = Station(time, air, "node", "sx1262")
    node.modem.prepare_tx(uplink(7), b"x" * 64, 22)
    before = node.chip.charge_uc()
    node.modem.start_tx()
    node.finish_tx()
    # 118.016 ms at 118 mA, and 0.1 to 0.4 ms of less around it.
    assert node.chip.charge_uc() - before == pytest.approx(0.118016 * 118_000, rel=0.001)
