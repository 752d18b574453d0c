# SPDX-License-Identifier: MIT
"""The SX1276 model under our driver, by hand, and under a driver that is not ours (see also test_lora_radios.py)."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from communode.node.radio.modem import RxPacket
from communode.virtual.chips import sx1276_power as power
from communode.virtual.chips.chip import Violation
from communode.virtual.chips.sx1276 import Sx1276
from radio_bench import (
    SYMBOL_US,
    BenchAir,
    Environment,
    Station,
    Time,
    downlink,
    exchange,
    payload_of,
    uplink,
)


@pytest.fixture
def pair(time: Time, air: BenchAir) -> tuple[Station, Station]:
    return Station(time, air, "node", "sx1276"), Station(time, air, "gateway", "sx1276")


# Two modems


@pytest.mark.parametrize("bandwidth", [62500, 250000, 500000])
@pytest.mark.parametrize("frequency", [433175000, 915000000])
def test_errata_are_cured_at_every_bandwidth_and_band(
    pair: tuple[Station, Station], bandwidth: int, frequency: int
) -> None:
    settings = uplink(8, bandwidth_hz=bandwidth, frequency_hz=frequency)
    for _ in range(2):
        assert payload_of(exchange(*pair, settings, settings)) == b"hello, world"
        assert payload_of(exchange(*pair, uplink(), uplink())) == b"hello, world"
    assert [station.chip.notes for station in pair] == [[], []]


@pytest.mark.parametrize(("rssi", "snr"), [(-80.0, 9.25), (-117.0, -7.25), (-60.0, 0.0)])
def test_signal_figures_are_those_of_the_air(
    pair: tuple[Station, Station], air: BenchAir, rssi: float, snr: float
) -> None:
    air.rssi_dbm, air.snr_db = rssi, snr
    got = exchange(*pair, uplink(), uplink())
    assert isinstance(got, RxPacket)
    assert abs(got.rssi_dbm - rssi) <= 1
    assert got.snr_quarter_db == round(4 * snr)


def test_window_ends_after_its_symbols_when_nobody_sends(pair: tuple[Station, Station], time: Time) -> None:
    _, gateway = pair
    gateway.modem.prepare_rx(downlink(9), 300)
    opened = gateway.modem.start_rx()
    assert gateway.finish_rx() is False
    length_us = time.now - time.world_us(opened)
    assert 300 * SYMBOL_US[9] < length_us < 300 * SYMBOL_US[9] + 3000


# Life


def test_sleep_keeps_registers_and_the_next_use_wakes(pair: tuple[Station, Station], time: Time) -> None:
    node, _ = pair
    exchange(*pair, uplink(), uplink())
    node.modem.sleep()
    time.sleep_ms(1000)
    assert node.chip.current_ua() == pytest.approx(0.2)
    assert payload_of(exchange(*pair, uplink(), uplink())) == b"hello, world"


# Power


@pytest.mark.parametrize("asked", [2, 10, 14, 17, 18, 20])
def test_conducted_power_on_pa_boost_is_what_was_asked_for(time: Time, air: BenchAir, asked: int) -> None:
    node = Station(time, air, "node", "sx1276", antenna_gain_dbi=2.0)
    node.modem.prepare_tx(uplink(), b"x", asked)
    node.modem.start_tx()
    node.finish_tx()
    assert air.sent[-1].power_dbm == pytest.approx(asked + 2)
    assert node.chip.notes == []


@pytest.mark.parametrize("asked", [-4, 0, 14])
def test_conducted_power_on_rfo_is_what_was_asked_for(time: Time, air: BenchAir, asked: int) -> None:
    node = Station(time, air, "node", "sx1276", pa_boost=False, driver={"pa_boost": 0})
    node.modem.prepare_tx(uplink(), b"x", asked)
    node.modem.start_tx()
    node.finish_tx()
    assert air.sent[-1].power_dbm == pytest.approx(asked, abs=0.3)


def test_antenna_on_the_other_pin_hears_nothing(time: Time, air: BenchAir) -> None:
    node = Station(time, air, "node", "sx1276", pa_boost=True, driver={"pa_boost": 0})
    node.modem.prepare_tx(uplink(), b"x", 14)
    node.modem.start_tx()
    node.finish_tx()
    assert air.sent == []


def test_twenty_dbm_needs_the_raised_over_current_limit() -> None:
    assert power.output(0xFF, 0x87, 0x31) == (20.0, pytest.approx(120_000), False)
    limited = power.output(0xFF, 0x87, 0x2B)  # 100 mA, the reset value
    assert limited.limited
    assert limited.conducted_dbm < 19


# Strictness, by hand


class Bare:
    """The model alone, past its boot, with registers as the only language."""

    def __init__(self, time: Time, air: BenchAir) -> None:
        self.time = time
        self.chip = Sx1276(Environment(time), air=air, name="bare")
        time.now += 10_000

    def write(self, address: int, *values: int) -> None:
        self.chip.select()
        self.chip.transfer(bytes((address | 0x80, *values)))
        self.chip.deselect()
        self.time.now += 10

    def read(self, address: int, count: int = 1) -> bytes:
        self.chip.select()
        answer = self.chip.transfer(bytes((address,)) + bytes(count))
        self.chip.deselect()
        return answer[1:]


@pytest.fixture
def bare(time: Time, air: BenchAir) -> Bare:
    return Bare(time, air)


def test_registers_hold_their_reset_values(bare: Bare) -> None:
    assert bare.read(0x42) == b"\x12"
    assert bare.read(0x1D, 3) == b"\x72\x70\x64"
    assert (bare.read(0x33), bare.read(0x3B), bare.read(0x39)) == (b"\x27", b"\x1d", b"\x12")


def test_lora_mode_is_taken_in_sleep_only(bare: Bare) -> None:
    bare.write(0x01, 0x81)
    assert bare.read(0x01) == b"\x01"
    bare.write(0x01, 0x00)
    bare.write(0x01, 0x80)
    assert bare.read(0x01) == b"\x80"


@pytest.mark.parametrize("mode", [0x02, 0x03, 0x05])
def test_fsk_beyond_standby_stops_the_board(bare: Bare, mode: int) -> None:
    with pytest.raises(Violation, match="FSK"):
        bare.write(0x01, mode)


def test_fifo_in_sleep_stops_the_board(bare: Bare) -> None:
    bare.write(0x01, 0x00)
    with pytest.raises(Violation, match="FIFO"):
        bare.write(0x00, 1)


def test_clocking_before_the_boot_is_over_stops_the_board(time: Time, air: BenchAir) -> None:
    chip = Sx1276(Environment(time), air=air, name="bare")
    chip.select()
    with pytest.raises(Violation, match="reset"):
        chip.transfer(b"\x42\x00")


@pytest.mark.parametrize("address", [0x13, 0x1A, 0x42])
def test_writing_a_read_only_register_stops_the_board(bare: Bare, address: int) -> None:
    bare.write(0x01, 0x00)
    bare.write(0x01, 0x80)
    with pytest.raises(Violation, match="read-only"):
        bare.write(address, 1)


def test_window_below_four_symbols_stops_the_board(bare: Bare) -> None:
    for mode in (0x00, 0x80, 0x81):
        bare.write(0x01, mode)
    bare.write(0x1F, 3)
    with pytest.raises(Violation, match="SymbTimeout"):
        bare.write(0x01, 0x86)


def test_flags_are_cleared_by_ones_and_masked_flags_never_show(bare: Bare, time: Time) -> None:
    for mode in (0x00, 0x80, 0x81):
        bare.write(0x01, mode)
    bare.write(0x01, 0x86)
    time.sleep_ms(200)
    assert bare.read(0x12) == b"\x80"
    assert bare.chip.pin("DIO1") == 1
    bare.write(0x12, 0x40)
    assert bare.read(0x12) == b"\x80"
    bare.write(0x12, 0x80)
    assert bare.read(0x12) == b"\x00"
    bare.write(0x11, 0x80)
    bare.write(0x01, 0x86)
    time.sleep_ms(200)
    assert bare.read(0x12) == b"\x00"
    assert bare.read(0x01) == b"\x81"  # back in standby all the same


def test_second_iq_register_that_was_not_set_makes_the_receiver_deaf(
    pair: tuple[Station, Station], time: Time
) -> None:
    gateway, node = pair
    node.modem.prepare_rx(downlink(), 12)
    node.chip._registers[0x3B] = 0x1D
    gateway.modem.prepare_tx(downlink(), b"x", 14)
    gateway.modem.start_tx()
    node.modem.start_rx()
    assert node.finish_rx() is False


# A driver that is not ours: adafruit-circuitpython-rfm9x (MIT)


class ForeignSpi:
    """busio.SPI over the model."""

    def __init__(self, time: Time, chip: Sx1276) -> None:
        self.time, self.chip = time, chip

    def try_lock(self) -> bool:
        return True

    def unlock(self) -> None:
        pass

    def configure(self, *, polarity: int, phase: int, **others: Any) -> None:
        assert (polarity, phase) == (0, 0)

    def write(self, buffer: bytes, start: int = 0, end: int | None = None) -> None:
        self.time.now += 4
        self.chip.transfer(bytes(buffer[start:end]))

    def readinto(self, buffer: bytearray, start: int = 0, end: int | None = None) -> None:
        self.time.now += 4
        buffer[start:end] = self.chip.transfer(bytes(len(buffer[start:end])))


class ForeignPin:
    """digitalio.DigitalInOut that drives a line."""

    def __init__(self, drive: Any) -> None:
        self._drive = drive

    def switch_to_output(self, value: bool = False, **others: Any) -> None:
        self.value = value

    @property
    def value(self) -> bool:
        raise AssertionError("write only")

    @value.setter
    def value(self, level: bool) -> None:
        self._drive(int(level))


@pytest.fixture
def foreign(time: Time, air: BenchAir, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Its RFM9x class on a bare model, in bench time."""
    module = pytest.importorskip("adafruit_rfm9x")
    stand_in = type(sys)("time")
    vars(stand_in).update(
        sleep=lambda seconds: time.sleep_us(round(seconds * 1e6)),
        monotonic=lambda: time.ticks_us() and time.now / 1e6,
    )
    monkeypatch.setattr(module, "time", stand_in)
    chip = Sx1276(Environment(time), air=air, name="foreign")
    time.now += 10_000
    cs = ForeignPin(lambda level: (chip.deselect if level else chip.select)())
    reset = ForeignPin(lambda level: chip.set_pin("NRESET", level))
    driver = module.RFM9x(ForeignSpi(time, chip), cs, reset, 868.1)
    driver.chip = chip
    return driver


def test_a_foreign_driver_sends_to_ours(foreign: Any, time: Time, air: BenchAir) -> None:
    ours = Station(time, air, "ours", "sx1276")
    ours.modem.prepare_rx(uplink(sync_word=0x12), 800)
    ours.modem.start_rx()
    assert foreign.send(b"from elsewhere")
    assert payload_of(ours.finish_rx()) == b"\xff\xff\x00\x00from elsewhere"  # RadioHead's header
    # 13 dBm asked: this driver counts PA_BOOST from 5 dBm, the datasheet from 2.
    assert air.sent[-1].power_dbm == pytest.approx(10)


def test_a_foreign_driver_receives_ours(foreign: Any, time: Time, air: BenchAir) -> None:
    ours = Station(time, air, "ours", "sx1262")
    ours.modem.prepare_tx(uplink(sync_word=0x12), b"\xff\xff\x00\x00to elsewhere", 14)
    foreign.listen()
    ours.modem.start_tx()
    assert foreign.receive(timeout=1.0) == b"to elsewhere"
    assert (foreign.last_rssi, foreign.last_snr) == (-80, 9.25)


def test_a_foreign_driver_sees_a_crc_error(foreign: Any, time: Time, air: BenchAir) -> None:
    ours = Station(time, air, "ours", "sx1276")
    air.damaged = True
    ours.modem.prepare_tx(uplink(sync_word=0x12), b"\xff\xff\x00\x00to elsewhere", 14)
    foreign.listen()
    ours.modem.start_tx()
    assert foreign.receive(timeout=1.0) is None
    assert foreign.crc_error_count == 1


def test_a_foreign_driver_times_out_on_silence(foreign: Any, time: Time) -> None:
    before = time.now
    assert foreign.receive(timeout=0.5) is None
    assert 500_000 <= time.now - before < 600_000
