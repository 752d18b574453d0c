# SPDX-License-Identifier: MIT
"""A LoRa receiver that locks or does not, and the times of a packet on air.

Not here: the chips around it (``lora_radio``), propagation and collisions (``virtual/air.py``).
Nothing here imports the firmware: the models judge it, also its time on air.

Sources: Semtech AN1200.22 and SX1261/2 Rev 2.1 6.1 (packet structure, time on air). That a receiver needs
about five of eight preamble symbols is what LoRaMac-node and LoRa Basics Modem build their windows on
(minimum of 6 symbols); M. Bor et al., MSWiM 2016, measured the last five as the critical ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from communode.virtual.medium import Medium, Reception, Transmission

LOCK_SYMBOLS = 5
"""Preamble symbols that must fall into the open window."""

FREQUENCY_TOLERANCE = 0.25
"""Share of the bandwidth that two ends may be apart (SX1276 Rev 7, 4.1.1.5)."""


def symbol_us(spreading_factor: int, bandwidth_hz: int) -> float:
    """Length of one symbol."""
    return (1 << spreading_factor) * 1e6 / bandwidth_hz


def sync_symbols(spreading_factor: int) -> float:
    """Symbols between the programmed preamble and the header."""
    return 6.25 if spreading_factor < 7 else 4.25


def header_us(packet: Transmission) -> float:
    """When the header of ``packet`` has been received: the eight symbols after the sync word."""
    symbols = packet.preamble_symbols + sync_symbols(packet.spreading_factor) + 8
    return packet.start_us + symbols * packet.symbol_us


def time_on_air_us(packet: Transmission, low_data_rate: bool) -> int:
    """Length of ``packet`` on air by the datasheet's formula; ``end_us`` is not looked at."""
    sf = packet.spreading_factor
    bits = 8 * len(packet.payload) + 16 * packet.crc - 4 * sf + (0 if packet.implicit else 20)
    bits += 8 if sf >= 7 else 0
    blocks = math.ceil(max(bits, 0) / (4 * (sf - 2 * low_data_rate)))
    symbols = packet.preamble_symbols + sync_symbols(sf) + 8 + blocks * packet.coding_rate
    return round(symbols * packet.symbol_us)


@dataclass(frozen=True)
class Window:
    """What a receiver listens for, and for how long.

    ``symbols`` ends the search unless a preamble was found by then; ``timer_us`` (world time) ends it unless
    a header (or, with ``stop_on_preamble``, a preamble) was. Neither: until something comes.
    """

    open_us: int
    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    invert_iq: bool
    sync_word: int
    implicit: bool
    continuous: bool = False
    symbols: int = 0
    timer_us: int | None = None
    stop_on_preamble: bool = False

    def matches(self, packet: Transmission) -> bool:
        """Whether the demodulator could see the preamble of ``packet`` at all."""
        return (
            packet.spreading_factor == self.spreading_factor
            and packet.bandwidth_hz == self.bandwidth_hz
            and packet.invert_iq == self.invert_iq
            and abs(packet.frequency_hz - self.frequency_hz) <= FREQUENCY_TOLERANCE * self.bandwidth_hz
        )


@dataclass(frozen=True)
class Event:
    """What happened in a receiver: preamble, header, header_error, done or timeout."""

    time_us: int
    kind: str
    packet: Transmission | None = None
    reception: Reception | None = None


class Receiver:
    """One open window, brought up to date by `advance`; ``name`` is who listens."""

    def __init__(self, air: Medium, name: str, window: Window) -> None:
        self.air = air
        self.name = name
        self.window = window
        self.finished = False
        self.deaf = False  # nothing reaches the demodulator; time passes all the same
        self._search_us = float(window.open_us)
        self._limits = [float(window.timer_us)] if window.timer_us is not None else []
        if window.symbols:
            length_us = window.symbols * symbol_us(window.spreading_factor, window.bandwidth_hz)
            self._limits.append(window.open_us + length_us)
        self._packet: Transmission | None = None
        self._header_seen = False

    def advance(self, now_us: int) -> list[Event]:
        """All that happened until ``now_us``, in order."""
        events: list[Event] = []
        while not self.finished:
            step = self._search(now_us) if self._packet is None else self._follow(self._packet, now_us)
            if step is None:
                break
            events += step
        return events

    def next_us(self) -> int | None:
        """When something happens if nobody sends anything more; None for never."""
        if self.finished:
            return None
        packet = self._packet
        if packet is None:
            return round(min(self._limits)) if self._limits else None
        moments = [float(packet.end_us)] if self._header_seen else [header_us(packet), *self._limits]
        return round(min(moments))

    def _search(self, now_us: int) -> list[Event] | None:
        limit = min([*self._limits, math.inf])
        found: list[tuple[float, float, Transmission]] = []
        here = (int(self._search_us), now_us + 1, self.window.frequency_hz)
        for packet in [] if self.deaf else self.air.transmissions(*here):
            if packet.source == self.name or not self.window.matches(packet):
                continue
            lock_us = max(packet.start_us, self._search_us) + LOCK_SYMBOLS * packet.symbol_us
            last_us = packet.start_us + packet.preamble_symbols * packet.symbol_us
            if lock_us > last_us + 0.5 or lock_us > min(now_us, limit):
                continue
            reception = self.air.reception(packet, self.name)
            if reception is not None:
                found.append((lock_us, -reception.rssi_dbm, packet))
        if found:
            lock_us, _, self._packet = min(found, key=lambda item: item[:2])
            self._header_seen = False
            # The symbol counter is satisfied; the timer stops now only when it was told to.
            timer = self.window.timer_us
            self._limits = [] if timer is None or self.window.stop_on_preamble else [float(timer)]
            return [Event(round(lock_us), "preamble", self._packet)]
        if limit <= now_us:
            self.finished = True
            return [Event(math.ceil(limit), "timeout")]
        return None

    def _follow(self, packet: Transmission, now_us: int) -> list[Event] | None:
        if self._header_seen:
            return self._complete(packet) if packet.end_us <= now_us else None
        limit = min([*self._limits, math.inf])
        sync_us = header_us(packet) - 8 * packet.symbol_us
        told_us = sync_us if self.window.implicit else header_us(packet)
        if limit <= now_us and limit < told_us:
            self.finished = True
            return [Event(math.ceil(limit), "timeout")]
        if packet.sync_word != self.window.sync_word:
            if sync_us > now_us:
                return None
            self._packet = None  # another network's: search on, and the symbol counter does not count again
            self._search_us = sync_us
            return []
        if told_us > now_us:
            return None
        self._header_seen = True
        self._limits = []
        if packet.implicit != self.window.implicit:
            self._give_up(told_us)
            return [Event(round(told_us), "header_error", packet)]
        return [] if self.window.implicit else [Event(round(told_us), "header", packet)]

    def _complete(self, packet: Transmission) -> list[Event]:
        self._give_up(packet.end_us)
        self.finished = not self.window.continuous
        return [Event(packet.end_us, "done", packet, self.air.reception(packet, self.name))]

    def _give_up(self, time_us: float) -> None:
        self._packet = None
        self._header_seen = False
        self._search_us = time_us
