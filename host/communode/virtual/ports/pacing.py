# SPDX-License-Identifier: MIT
"""How long bytes take on a serial line behind a USB bridge, for benchmarks.

Bytes travel one after another at the line rate (10 bits each). Towards the computer the bridge holds
them back until a USB packet is full or its latency timer ends; towards the board it does not.
Pure: time comes in as seconds of any clock.

Source: FTDI AN232B-04 "Data Throughput, Latency and Handshaking" (62 bytes a packet, timer 16 ms by default).
"""

from __future__ import annotations

from dataclasses import dataclass

_BITS_PER_BYTE = 10
_PACKET = 62
_GRAIN_S = 0.001  # pieces of a long transfer are looked at no more often than this


@dataclass(frozen=True)
class Pacing:
    """A line of ``baud`` (None: whatever the computer sets its port to) with a latency timer in ms."""

    baud: int | None = None
    latency_ms: float = 1


class PacedLine:
    """One direction of the line: `push` bytes at one end, `pop` those that have arrived at the other."""

    def __init__(self, latency_s: float = 0.0) -> None:
        self._latency_s = latency_s
        self._sending = bytearray()
        self._next_start = 0.0  # when the first byte of _sending starts on the line
        self._byte_s = 0.0
        self._held = bytearray()  # arrived at the bridge, not yet sent on
        self._held_since = 0.0

    def __len__(self) -> int:
        return len(self._sending) + len(self._held)

    def clear(self) -> None:
        """Forget what is under way."""
        self._sending.clear()
        self._held.clear()

    def push(self, data: bytes, baud: int, now_s: float) -> None:
        """Queue bytes for the line."""
        if not self._sending:
            self._next_start = max(now_s, self._next_start)
        self._byte_s = _BITS_PER_BYTE / baud
        self._sending += data

    def pop(self, now_s: float) -> bytes:
        """The bytes that have arrived by now."""
        done = 0
        if self._sending:
            done = min(len(self._sending), int((now_s - self._next_start) / self._byte_s + 1e-9))
        if done > 0:
            self._next_start += done * self._byte_s
            if not self._held:
                self._held_since = self._next_start - (done - 1) * self._byte_s
            self._held += self._sending[:done]
            del self._sending[:done]
        if not self._held:
            return b""
        if now_s >= self._held_since + self._latency_s:
            count = len(self._held)
        else:
            count = len(self._held) - len(self._held) % _PACKET
        if count == 0:
            return b""
        arrived = bytes(self._held[:count])
        del self._held[:count]
        self._held_since = now_s
        return arrived

    def due(self) -> float | None:
        """When `pop` gives more; None when nothing is under way."""
        times = []
        if self._sending:
            piece = min(len(self._sending), max(1, int(_GRAIN_S / self._byte_s)))
            times.append(self._next_start + piece * self._byte_s)
        if self._held:
            times.append(self._held_since + self._latency_s)
        return min(times, default=None)
