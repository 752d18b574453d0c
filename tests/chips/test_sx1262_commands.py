# SPDX-License-Identifier: MIT
"""The SX1262 model by hand, and under a driver that is not ours."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
from communode.virtual.chips.chip import Violation
from communode.virtual.chips.sx1262 import Sx1262
from radio_bench import (
    BenchAir,
    Environment,
    Station,
    Time,
    payload_of,
    uplink,
)


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
