# SPDX-License-Identifier: MIT
"""A clock, a modem, a store and an air in virtual time, for tests of the LoRaWAN runner.

The modem is strict: a downlink is received only when the window really covers enough of its preamble, on
the right frequency, rate and polarity. No chip model (tests/chips) and no network: a test says what is sent.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from communode.node.radio.airtime import symbol_time_us, time_on_air_us
from communode.node.radio.modem import LoraParameters, RadioError, RxPacket
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

DETECT_SYMBOLS = 5  # of 8 preamble symbols the receiver must hear this many


class Block:
    """One AES key, as the firmware wants it, over a library."""

    def __init__(self, key: bytes) -> None:
        self._cipher = Cipher(algorithms.AES(key), modes.ECB())

    def encrypt(self, block: bytes) -> bytes:
        return self._cipher.encryptor().update(bytes(block))

    def decrypt(self, block: bytes) -> bytes:
        return self._cipher.decryptor().update(bytes(block))


class VirtualClock:
    """Time in us that only moves when somebody sleeps; sleeps may come back late."""

    def __init__(self, start_us: int = 0) -> None:
        self.time_us = start_us
        self.boot_us = start_us
        self.jitter_us: Callable[[], int] = lambda: 0
        self.rate_ppm = 0  # how much the node's ticks run fast

    def _tick(self) -> int:
        return self.time_us + self.time_us * self.rate_ppm // 1_000_000

    def ticks_us(self) -> int:
        self.time_us += 15  # a call is not free: a loop that waits for nothing ends
        return self._tick() & 0x3FFFFFFF

    def ticks_diff(self, end: int, start: int) -> int:
        return ((end - start + 0x20000000) & 0x3FFFFFFF) - 0x20000000

    def ticks_add(self, ticks: int, delta_us: int) -> int:
        return (ticks + delta_us) & 0x3FFFFFFF

    def sleep_us(self, duration_us: int) -> None:
        assert duration_us >= 0
        self.time_us += duration_us - duration_us * self.rate_ppm // 1_000_000

    def sleep_ms(self, duration_ms: int) -> None:
        self.sleep_us(1000 * duration_ms)
        self.time_us += self.jitter_us()

    def now_ms(self) -> int:
        return (self._tick() - self.boot_us) // 1000


@dataclass
class OnAir:
    """One packet: ``start_us`` of its preamble."""

    start_us: int
    parameters: LoraParameters
    payload: bytes
    power_dbm: int = 0

    @property
    def end_us(self) -> int:
        return self.start_us + time_on_air_us(self.parameters, len(self.payload))


@dataclass
class Air:
    """What was sent, and what the test sends back: ``answer(uplink)`` gives downlinks."""

    answer: Callable[[OnAir], list[OnAir]] = lambda uplink: []
    uplinks: list[OnAir] = field(default_factory=list)
    downlinks: list[OnAir] = field(default_factory=list)
    windows: list[tuple[int, int, LoraParameters]] = field(default_factory=list)


class FakeModem:
    """The modem contract over an Air."""

    min_power_dbm = -9
    max_power_dbm = 22
    rx_latency_us = 100

    def __init__(self, clock: VirtualClock, air: Air) -> None:
        self.clock = clock
        self.air = air
        self.asleep = False
        self.fail: dict[str, str] = {}  # method: code of the RadioError it raises
        self.busy = False  # between start_tx and the end of the last window: no flash write may happen
        self._prepared: tuple[LoraParameters, bytes, int] | None = None
        self._window: tuple[LoraParameters, int] | None = None
        self._sending: OnAir | None = None
        self._opened_us = 0
        self._opened = 0  # windows since the transmission

    def _check(self, method: str) -> None:
        if method in self.fail:
            raise RadioError(self.fail[method])

    def prepare_tx(self, parameters: LoraParameters, payload: bytes, power_dbm: int) -> None:
        self._check("prepare_tx")
        self.asleep = False
        self._prepared = (parameters, payload, power_dbm)
        self.clock.time_us += 1500

    def start_tx(self) -> int:
        self._check("start_tx")
        assert self._prepared is not None
        parameters, payload, power_dbm = self._prepared
        self.busy = True
        self._opened = 0
        self._sending = OnAir(self.clock.time_us + 120, parameters, payload, power_dbm)
        self.air.uplinks.append(self._sending)
        self.air.downlinks = self.air.answer(self._sending)
        return self.clock.ticks_us()

    def poll_tx(self) -> int | None:
        self._check("poll_tx")
        assert self._sending is not None
        if self.clock.time_us < self._sending.end_us:
            return None
        late = self.clock.time_us - self._sending.end_us
        return self.clock.ticks_add(self.clock.ticks_us(), -late - 15)

    def prepare_rx(self, parameters: LoraParameters, symbols: int) -> None:
        self._check("prepare_rx")
        self._window = (parameters, symbols)
        self.clock.time_us += 2000

    def start_rx(self) -> int:
        assert self._window is not None
        self.clock.time_us += self.rx_latency_us
        self._opened_us = self.clock.time_us
        self._opened += 1
        self.air.windows.append((self._opened_us, self._window[1], self._window[0]))
        return self.clock.ticks_us()

    def _heard(self) -> OnAir | None:
        assert self._window is not None
        want, symbols = self._window
        symbol_us = symbol_time_us(want.spreading_factor, want.bandwidth_hz)
        for packet in self.air.downlinks:
            have = packet.parameters
            alike = (have.frequency_hz, have.spreading_factor, have.bandwidth_hz, have.invert_iq) == (
                want.frequency_hz,
                want.spreading_factor,
                want.bandwidth_hz,
                want.invert_iq,
            )
            first = max(self._opened_us, packet.start_us)
            last = min(self._opened_us + symbols * symbol_us, packet.start_us + 8 * symbol_us)
            if alike and last - first >= DETECT_SYMBOLS * symbol_us:
                return packet
        return None

    def poll_rx(self) -> RxPacket | bool | None:
        self._check("poll_rx")
        assert self._window is not None
        want, symbols = self._window
        packet = self._heard()
        symbol_us = symbol_time_us(want.spreading_factor, want.bandwidth_hz)
        if packet is None:
            if self.clock.time_us < self._opened_us + symbols * symbol_us:
                return None
            self.busy = self._opened < 2
            return False
        if self.clock.time_us < packet.end_us:
            return None
        self.busy = False
        return RxPacket(packet.payload, -80, 30, self.clock.ticks_us())

    def standby(self) -> None:
        pass

    def sleep(self) -> None:
        self._check("sleep")
        self.asleep = True


class PowerCut(Exception):
    """The power went away: everything but flash is lost."""


class MemoryStore:
    """Flash and RTC RAM in memory; refuses to write while the radio is at work."""

    def __init__(self, modem: FakeModem | None = None) -> None:
        self.flash: bytes | None = None
        self.cache: bytes | None = None
        self.commits = 0
        self.modem = modem
        self.cut_before: int | None = None  # at this commit, before it is written
        self.cut_after: int | None = None

    def load(self) -> bytes | None:
        return self.flash

    def commit(self, record: bytes) -> None:
        assert self.modem is None or not self.modem.busy, "flash written between SetTx and the end of RX2"
        assert len(record) <= 512
        self.commits += 1
        if self.commits == self.cut_before:
            raise PowerCut
        self.flash = record
        if self.commits == self.cut_after:
            raise PowerCut

    def cache_load(self) -> bytes | None:
        return self.cache

    def cache_save(self, record: bytes) -> None:
        assert len(record) <= 512
        self.cache = record


class FlashOnly:
    """A store without a cache."""

    def __init__(self, store: MemoryStore) -> None:
        self.load = store.load
        self.commit = store.commit


def downlink(parameters: LoraParameters, start_us: int, payload: bytes) -> OnAir:
    """A downlink packet as a gateway sends it: inverted, without CRC."""
    inverted = LoraParameters(
        parameters.frequency_hz,
        parameters.spreading_factor,
        parameters.bandwidth_hz,
        invert_iq=True,
        crc=False,
    )
    return OnAir(start_us, inverted, payload)


def entropy(seed: int) -> Callable[[int], bytes]:
    """A repeatable source of entropy."""
    return random.Random(seed).randbytes
