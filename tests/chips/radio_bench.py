# SPDX-License-Identifier: MIT
"""A bench for radios: our drivers on the chip models, MicroPython's objects between them, one clock for all.

Time moves when somebody sleeps, and by what the bus and a slow runtime take: a pin 2 us, a byte 1 us.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from communode.node.radio.modem import LoraParameters, Modem, RxPacket
from communode.node.radio.sx126x import Sx126x
from communode.node.radio.sx127x import Sx127x
from communode.virtual.chips.lora_radio import LoraRadio
from communode.virtual.chips.sx1262 import Sx1262
from communode.virtual.chips.sx1276 import Sx1276
from communode.virtual.medium import Reception, Transmission

PIN_US, BYTE_US = 2, 1
PATIENCE_US = 30_000_000
TICKS_PERIOD = 1 << 30  # as on the ESP32
SYMBOL_US = {sf: (1 << sf) * 8 for sf in range(7, 13)}  # at 125 kHz


class Time:
    """World time, and the clock that MicroPython would be; starts shortly before ticks wrap."""

    def __init__(self) -> None:
        self.now = 0
        self._offset = TICKS_PERIOD - 3_000_000

    def now_us(self) -> int:
        return self.now

    def ticks_us(self) -> int:
        self.now += 1
        return (self.now + self._offset) % TICKS_PERIOD

    def ticks_diff(self, end: int, start: int) -> int:
        half = TICKS_PERIOD >> 1
        return (end - start + half) % TICKS_PERIOD - half

    def ticks_add(self, ticks: int, delta: int) -> int:
        return (ticks + delta) % TICKS_PERIOD

    def sleep_us(self, duration: int) -> None:
        self.now += duration

    def sleep_ms(self, duration: int) -> None:
        self.now += 1000 * duration

    def world_us(self, ticks: int) -> int:
        """World time of recent ``ticks``."""
        return self.now + self.ticks_diff(ticks, (self.now + self._offset) % TICKS_PERIOD)


class BenchAir:
    """Everybody hears everybody at -80 dBm, but for what a test says."""

    def __init__(self) -> None:
        self.sent: list[Transmission] = []
        self.cuts: dict[int, int] = {}
        self.damaged = False
        self.silent = False
        self.rssi_dbm, self.snr_db = -80.0, 9.25

    def transmit(self, transmission: Transmission) -> None:
        self.sent.append(transmission)

    def cut(self, transmission: Transmission, end_us: int) -> None:
        self.cuts[self.sent.index(transmission)] = end_us

    def transmissions(self, since_us: int, until_us: int, frequency_hz: int) -> list[Transmission]:
        return [
            sent
            for sent in self.sent
            if sent.start_us < until_us
            and sent.end_us > since_us
            and abs(sent.frequency_hz - frequency_hz) < 5e5
        ]

    def reception(self, transmission: Transmission, receiver: str) -> Reception | None:
        intact = self.sent.index(transmission) not in self.cuts and not self.damaged
        return None if self.silent else Reception(self.rssi_dbm, self.snr_db, intact)

    def noise_dbm(self, receiver: str, frequency_hz: int, time_us: int) -> float:
        return -117.0


class Nothing:
    """A world that radios do not ask."""

    def value(self, name: str, time_us: int) -> float:
        raise AssertionError("a radio measures nothing")


class Environment:
    """What a chip sees of the bench."""

    def __init__(self, time: Time) -> None:
        self.world = Nothing()
        self.rng = random.Random(7)
        self.now_us = time.now_us

    def call_at(self, time_us: int, function: Callable[[], None]) -> None:
        raise AssertionError("the radio models are lazy")


class Bus:
    """``machine.SPI`` and the NSS pin over a chip; counts transactions."""

    def __init__(self, time: Time, chip: LoraRadio) -> None:
        self.time, self.chip = time, chip
        self.transactions = 0
        self.log: list[bytes] = []
        self._frame = b""

    def nss(self, level: int) -> None:
        self.time.now += PIN_US
        if level:
            self.chip.deselect()
            if self._frame:
                self.log.append(self._frame)
        else:
            self.transactions += 1
            self._frame = b""
            self.chip.select()

    def write(self, data: bytes) -> None:
        self.write_readinto(data, bytearray(len(data)))

    def write_readinto(self, out: bytes, into: bytearray) -> None:
        self.time.now += BYTE_US * len(out)
        self._frame += bytes(out)
        into[:] = self.chip.transfer(bytes(out))


class Station:
    """A driver, its chip, and the wires between."""

    def __init__(self, time: Time, air: BenchAir, name: str, kind: str, **settings: Any) -> None:
        """``kind`` is sx1262 or sx1276; settings for the chip, and ``driver`` for the driver."""
        driver = settings.pop("driver", {})
        make: type[LoraRadio] = Sx1262 if kind == "sx1262" else Sx1276
        self.time = time
        self.chip: Any = make(Environment(time), air=air, name=name, **settings)  # type: ignore[arg-type]
        self.bus = Bus(time, self.chip)
        self.modem: Modem
        reset = self.output("NRESET")
        if kind == "sx1262":
            wires = (self.bus, self.bus.nss, reset, self.input("BUSY"), self.input("DIO1"), time)
            self.modem = Sx126x(*wires, **driver)  # type: ignore[arg-type]
        else:
            self.modem = Sx127x(self.bus, self.bus.nss, reset, self.input("DIO0"), time, **driver)  # type: ignore[arg-type]
        self.modem.begin()

    def output(self, name: str) -> Callable[[int], None]:
        def drive(level: int) -> None:
            self.time.now += PIN_US
            self.chip.set_pin(name, level)

        return drive

    def input(self, name: str) -> Callable[[], int]:
        def read() -> int:
            self.time.now += PIN_US
            return int(self.chip.pin(name))

        return read

    def finish_tx(self) -> int:
        """World time of TxDone as the driver tells it."""
        limit = self.time.now + PATIENCE_US
        while self.time.now < limit:
            done = self.modem.poll_tx()
            if done is not None:
                return self.time.world_us(done)
            self.time.now += 200
        raise AssertionError("the transmission never ended")

    def finish_rx(self) -> RxPacket | bool:
        """What the window brought."""
        limit = self.time.now + PATIENCE_US
        while self.time.now < limit:
            got = self.modem.poll_rx()
            if got is not None:
                return got
            self.time.now += 200
        raise AssertionError("the window never ended")


def uplink(sf: int = 7, **changes: Any) -> LoraParameters:
    """Parameters of a LoRaWAN uplink, with changes."""
    values: dict[str, Any] = {"frequency_hz": 868100000, "spreading_factor": sf, "bandwidth_hz": 125000}
    return LoraParameters(**{**values, **changes})


def downlink(sf: int = 7, **changes: Any) -> LoraParameters:
    """Parameters of a LoRaWAN downlink: inverted, without CRC."""
    return uplink(sf, **{"invert_iq": True, "crc": False, **changes})


def exchange(
    sender: Station,
    receiver: Station,
    sent: LoraParameters,
    expected: LoraParameters,
    symbols: int = 12,
    late_us: int = 0,
    payload: bytes = b"hello, world",
) -> RxPacket | bool:
    """One packet: the window opens ``late_us`` after the sender's start command (negative: before)."""
    time = sender.time
    sender.modem.prepare_tx(sent, payload, 14)
    receiver.modem.prepare_rx(expected, symbols)
    if late_us < 0:
        receiver.modem.start_rx()
        time.now += -late_us
        sender.modem.start_tx()
    else:
        sender.modem.start_tx()
        time.now += late_us
        receiver.modem.start_rx()
    got = receiver.finish_rx()
    sender.finish_tx()
    return got


def payload_of(got: RxPacket | bool) -> bytes | bool:
    """What a window brought, without the figures of the link."""
    return got.payload if isinstance(got, RxPacket) else got
