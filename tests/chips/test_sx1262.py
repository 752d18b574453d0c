# SPDX-License-Identifier: MIT
"""The SX1262 model under our driver, by hand, and under a driver that is not ours."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
from communode.node.radio.modem import RadioError, RxPacket
from communode.virtual.air import Air
from communode.virtual.chips import sx1262_power as power
from communode.virtual.chips.chip import Violation
from communode.virtual.chips.sx1262 import Sx1262
from radio_bench import BenchAir, Environment, Station, Time, downlink, exchange, uplink

SYMBOL_US = {sf: (1 << sf) * 8 for sf in range(7, 13)}


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def air() -> BenchAir:
    return BenchAir()


@pytest.fixture
def pair(time: Time, air: BenchAir) -> tuple[Station, Station]:
    return Station(time, air, "node", "sx1262"), Station(time, air, "gateway", "sx1262")


def payload_of(got: RxPacket | bool) -> bytes | bool:
    return got.payload if isinstance(got, RxPacket) else got


# Two modems


@pytest.mark.parametrize("sf", range(7, 13))
def test_uplink_and_downlink_arrive_at_every_spreading_factor(pair: tuple[Station, Station], sf: int) -> None:
    node, gateway = pair
    assert payload_of(exchange(node, gateway, uplink(sf), uplink(sf))) == b"hello, world"
    assert payload_of(exchange(gateway, node, downlink(sf), downlink(sf), 8)) == b"hello, world"
    assert node.chip.notes == gateway.chip.notes == []


def test_signal_figures_are_those_of_the_air(pair: tuple[Station, Station], air: BenchAir) -> None:
    air.rssi_dbm, air.snr_db = -117.0, -7.25
    got = exchange(*pair, uplink(), uplink())
    assert isinstance(got, RxPacket)
    assert (got.rssi_dbm, got.snr_quarter_db) == (-117, -29)


@pytest.mark.parametrize("sf", [7, 10, 12])
def test_window_two_symbols_late_receives_and_four_symbols_late_misses(
    pair: tuple[Station, Station], sf: int
) -> None:
    symbol = SYMBOL_US[sf]
    on_time = exchange(*pair, uplink(sf), uplink(sf), 12, late_us=2 * symbol)
    late = exchange(*pair, uplink(sf), uplink(sf), 12, late_us=4 * symbol)
    assert (payload_of(on_time), late) == (b"hello, world", False)


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


def test_frequency_offset_within_a_quarter_of_the_bandwidth_is_heard(pair: tuple[Station, Station]) -> None:
    near, far = uplink(frequency_hz=868128000), uplink(frequency_hz=868135000)
    assert exchange(*pair, uplink(), near) is not False
    assert exchange(*pair, uplink(), far) is False


def test_damaged_packet_with_crc_is_no_packet(pair: tuple[Station, Station], air: BenchAir) -> None:
    air.damaged = True
    assert exchange(*pair, uplink(), uplink()) is False


def test_damaged_packet_without_crc_comes_with_wrong_bytes(
    pair: tuple[Station, Station], air: BenchAir
) -> None:
    air.damaged = True
    got = payload_of(exchange(*pair, downlink(), downlink()))
    assert isinstance(got, bytes)
    assert len(got) == 12
    assert got != b"hello, world"


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


def test_start_is_one_transaction_for_sending_and_one_for_listening(pair: tuple[Station, Station]) -> None:
    node, _ = pair
    node.modem.prepare_tx(uplink(), b"x", 14)
    before = node.bus.transactions
    node.modem.start_tx()
    assert node.bus.transactions == before + 1
    node.finish_tx()
    node.modem.prepare_rx(downlink(), 8)
    before = node.bus.transactions
    node.modem.start_rx()
    assert node.bus.transactions == before + 1


def test_second_window_needs_few_transactions(pair: tuple[Station, Station]) -> None:
    node, _ = pair
    node.modem.prepare_rx(downlink(7), 8)
    node.modem.start_rx()
    node.finish_rx()
    before = node.bus.transactions
    node.modem.prepare_rx(downlink(12, frequency_hz=869525000), 8)
    assert node.bus.transactions - before <= 4  # frequency, modulation, and its register read and written


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


def test_transmission_that_never_ends_is_an_error_and_the_next_use_recovers(
    pair: tuple[Station, Station],
) -> None:
    node, _ = pair
    node.modem.prepare_tx(uplink(), b"x", 14)
    node.modem.start_tx()
    node.chip.power(False)
    with pytest.raises(RadioError) as raised:
        node.finish_tx()
    assert raised.value.code == "tx_timeout"
    node.chip.power(True)
    assert payload_of(exchange(*pair, uplink(), uplink())) == b"hello, world"


def test_chip_that_never_comes_back_fails_in_bounded_time(pair: tuple[Station, Station], time: Time) -> None:
    node, _ = pair
    node.chip.power(False)
    start = time.now
    with pytest.raises(RadioError) as raised:
        node.modem.begin()
    assert raised.value.code == "not_found"
    assert time.now - start < 1_000_000


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


# Strictness, by hand


class Bare:
    """The model alone, ready, with bytes as the only language."""

    def __init__(self, time: Time, air: BenchAir, **settings: Any) -> None:
        self.time = time
        self.chip = Sx1262(Environment(time), air=air, name="bare", **settings)
        time.now += 4000

    def send(self, text: str, wait_us: int = 10_000) -> bytes:
        self.chip.select()
        answer = self.chip.transfer(bytes.fromhex(text))
        self.chip.deselect()
        self.time.now += wait_us
        return answer

    def configure(self) -> None:
        for command in ("8a01", "86364199 9a", "8b07040100", "8c000800ff0100", "080243024300000000"):
            self.send(command)
        self.send("0d07360d")


@pytest.fixture
def bare(time: Time, air: BenchAir) -> Bare:
    return Bare(time, air)


@pytest.mark.parametrize(
    "command",
    [
        "ab00",  # unknown opcode
        "d1",  # continuous wave: not modelled
        "8000 00",  # a parameter too many
        "82 00",  # parameters missing
        "8a00",  # FSK
        "8b07040100",  # before SetPacketType
        "82 000000",  # not configured
        "95 05070001",  # PA beyond the safe limits
        "95 04070101",  # PA of the other chip
        "8e1704",  # power code out of range
        "0d123400",  # undocumented register
        "86 00000001",  # frequency out of range
        "98 dbd7",  # frequencies the wrong way round
    ],
)
def test_what_the_datasheet_forbids_stops_the_board(bare: Bare, command: str) -> None:
    with pytest.raises(Violation):
        bare.send(command)


def test_clocking_while_busy_stops_the_board(bare: Bare) -> None:
    bare.send("897f", wait_us=100)
    assert bare.chip.pin("BUSY") == 1
    with pytest.raises(Violation, match="BUSY"):
        bare.send("8000")


@pytest.mark.parametrize(
    ("command", "busy_us"), [("8001", 31), ("897f", 3500), ("98d7db", 3500), ("c1", 50), ("82000000", 83)]
)
def test_busy_lasts_as_long_as_the_datasheet_says(bare: Bare, command: str, busy_us: int) -> None:
    bare.configure()
    bare.send(command, wait_us=busy_us - 1)
    assert bare.chip.pin("BUSY") == 1
    bare.time.now += 1
    assert bare.chip.pin("BUSY") == 0


def test_calibration_outside_standby_rc_stops_the_board(bare: Bare) -> None:
    bare.send("8001")
    with pytest.raises(Violation, match="calibrate in mode standby_xosc"):
        bare.send("897f")


def test_configuration_while_receiving_stops_the_board(bare: Bare) -> None:
    bare.configure()
    bare.send("82ffffff")
    with pytest.raises(Violation, match="set_frequency in mode rx"):
        bare.send("863641999a")


def test_sending_without_power_settings_stops_the_board(bare: Bare) -> None:
    bare.configure()
    with pytest.raises(Violation, match="SetPaConfig"):
        bare.send("83000000")


def test_uncalibrated_tcxo_chip_may_not_receive(time: Time, air: BenchAir) -> None:
    bare = Bare(time, air, tcxo_mv=1800)
    assert bare.send("17000000")[2:] == b"\x00\x20"
    bare.send("9702000140")
    bare.configure()
    with pytest.raises(Violation, match="not calibrated"):
        bare.send("82000000")


def test_tcxo_below_its_voltage_does_not_start(time: Time, air: BenchAir) -> None:
    bare = Bare(time, air, tcxo_mv=1800)
    bare.send("9700000140")
    bare.send("070000")
    bare.send("8001")
    assert bare.send("17000000")[2:] == b"\x00\x20"
    assert bare.send("c000")[0] >> 4 & 7 == 2  # still STDBY_RC


def test_short_reset_pulse_stops_the_board(bare: Bare) -> None:
    bare.chip.set_pin("NRESET", 0)
    bare.time.now += 50
    with pytest.raises(Violation, match="100 us"):
        bare.chip.set_pin("NRESET", 1)


def test_nss_within_500_us_of_sleep_stops_the_board(bare: Bare) -> None:
    bare.send("8404", wait_us=300)
    with pytest.raises(Violation, match="500 us"):
        bare.chip.select()


def test_warm_sleep_forgets_gain_modulation_and_polarity_registers_unless_listed(bare: Bare) -> None:
    bare.send("0d08ac96")
    bare.send("0d088905")
    bare.send("0d029f0108ac")
    bare.send("8404")
    bare.chip.select()
    bare.chip.deselect()
    assert bare.chip.pin("BUSY") == 1
    bare.time.now += 340
    assert bare.chip.pin("BUSY") == 0
    assert bare.send("1d08ac0000")[4] == 0x96
    assert bare.send("1d08890000")[4] == 0x01


def test_cold_sleep_forgets_everything_and_wakes_slowly(bare: Bare) -> None:
    bare.configure()
    bare.send("0d07403444")
    bare.send("8400")
    bare.chip.select()
    bare.chip.deselect()
    bare.time.now += 3499
    assert bare.chip.pin("BUSY") == 1
    bare.time.now += 1
    assert bare.send("1d0740000000")[4:] == b"\x14\x24"
    with pytest.raises(Violation):
        bare.send("82000000")


def test_flags_that_the_mask_excludes_never_show(bare: Bare, air: BenchAir) -> None:
    bare.configure()
    bare.send("08000000000000 0000")
    bare.send("a004")
    bare.send("82000000", wait_us=100_000)
    assert bare.send("12000000")[2:] == b"\x00\x00"
    bare.send("080200000000000000")  # in the register, not on DIO1
    bare.send("82000000", wait_us=100_000)
    assert bare.send("12000000")[2:] == b"\x02\x00"
    assert bare.chip.pin("DIO1") == 0


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


def test_implicit_timer_runs_on_unless_it_is_stopped(bare: Bare, time: Time, air: BenchAir) -> None:
    sender = Station(time, air, "sender", "sx1262")
    bare.configure()
    bare.send("0d07403444")
    bare.send("8c000801020100")  # implicit, two bytes, CRC
    bare.send("0d07360d")
    sender.modem.prepare_tx(uplink(implicit=True), b"ab", 14)
    sender.modem.start_tx()
    bare.send("8203e800", wait_us=100_000)  # 4 s
    assert bare.send("12000000")[2:] == b"\x00\x02"
    bare.send("0203ff")
    time.sleep_ms(4000)
    assert bare.send("12000000")[2:] == b"\x02\x00"  # DS 15.3: a timeout out of nothing


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


# A driver that is not ours: jetson-sx126x (a port of micropySX126X, itself of RadioLib; MIT)


@pytest.fixture
def foreign(time: Time, air: BenchAir, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Its SX1262 class on a bare model: Jetson's GPIO and Linux' spidev are stood in for."""
    # It has the polarity bit of DS 15.4 the wrong way round, which silicon forgives to short packets.
    chip = Sx1262(Environment(time), air=air, name="foreign", dio2_rf_switch=True, iq_register_ignored=True)
    lines = {"busy": "BUSY", "irq": "DIO1"}

    def output(pin: str, level: int) -> None:
        time.now += 1
        if pin == "cs":
            (chip.deselect if level else chip.select)()
        else:
            chip.set_pin("NRESET", level)

    def read(pin: str) -> int:
        time.now += 1
        return chip.pin(lines[pin]) if pin in lines else 0

    gpio = types.ModuleType("Jetson.GPIO")
    for name in ("IN", "OUT", "HIGH", "LOW", "RISING", "FALLING", "BOTH", "BOARD"):
        setattr(gpio, name, int(name in ("OUT", "HIGH")))
    vars(gpio).update(setup=lambda *args, **named: None, setmode=lambda mode: None, output=output, input=read)
    vars(gpio).update(add_event_detect=lambda *args, **named: None, remove_event_detect=lambda pin: None)
    jetson = types.ModuleType("Jetson")
    vars(jetson)["GPIO"] = gpio

    class Spidev:
        def __init__(self, device: str, mode: int, baudrate: int) -> None:
            assert mode == 0

        def transfer(self, data: bytes) -> bytes:
            time.now += len(data)
            return chip.transfer(data)

    periphery = types.ModuleType("periphery")
    vars(periphery)["SPI"] = Spidev
    for name, module in (("Jetson", jetson), ("Jetson.GPIO", gpio), ("periphery", periphery)):
        monkeypatch.setitem(sys.modules, name, module)
    package = pytest.importorskip("jetson_sx126x")
    clock = sys.modules["jetson_sx126x._sx126x"]
    monkeypatch.setattr(clock, "sleep", lambda seconds: time.sleep_us(round(seconds * 1e6)))
    monkeypatch.setattr(clock, "monotonic", lambda: time.now / 1e6)
    driver = package.SX1262("cs", "irq", "rst", "busy")
    driver.begin(freq=868.1, bw=125.0, sf=9, cr=5, syncWord=0x34, power=14, currentLimit=140.0, tcxoVoltage=0)
    driver.chip = chip
    yield driver
    for module in [name for name in sys.modules if name.startswith("jetson_sx126x")]:
        del sys.modules[module]


def test_a_foreign_driver_sends_to_ours(foreign: Any, time: Time, air: BenchAir) -> None:
    ours = Station(time, air, "ours", "sx1262")
    ours.modem.prepare_rx(uplink(9), 200)
    ours.modem.start_rx()
    length, state = foreign.send(b"from elsewhere")
    assert (length, state) == (14, 0)
    assert payload_of(ours.finish_rx()) == b"from elsewhere"
    assert air.sent[-1].power_dbm == pytest.approx(14)


def test_a_foreign_driver_receives_ours(foreign: Any, time: Time, air: BenchAir) -> None:
    ours = Station(time, air, "ours", "sx1262")
    ours.modem.prepare_tx(uplink(9), b"to elsewhere", 14)
    ours.modem.start_tx()
    assert foreign.recv(timeout_en=True, timeout_ms=1000) == (b"to elsewhere", 0)
    assert (foreign.getRSSI(), foreign.getSNR()) == (-80.0, 9.25)


def test_a_foreign_driver_sees_a_crc_error(foreign: Any, time: Time, air: BenchAir) -> None:
    ours = Station(time, air, "ours", "sx1262")
    air.damaged = True
    ours.modem.prepare_tx(uplink(9), b"to elsewhere", 14)
    ours.modem.start_tx()
    data, state = foreign.recv(timeout_en=True, timeout_ms=1000)
    assert state == -7  # ERR_CRC_MISMATCH
    assert data != b"to elsewhere"


def test_a_foreign_driver_times_out_on_silence(foreign: Any) -> None:
    assert foreign.recv(timeout_en=True, timeout_ms=200) == (b"", -6)  # ERR_RX_TIMEOUT


def test_a_foreign_driver_knows_the_time_on_air(foreign: Any, air: BenchAir) -> None:
    foreign.send(b"x" * 23)
    assert foreign.getTimeOnAir(23) == air.sent[-1].end_us - air.sent[-1].start_us
