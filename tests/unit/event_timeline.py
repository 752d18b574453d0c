# SPDX-License-Identifier: MIT
"""A timeline for tests: events in order, time jumps from one to the next."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from communode.virtual.medium import Transmission


class EventTimeline:
    """`communode.virtual.timeline.Timeline` without boards."""

    def __init__(self) -> None:
        self.time_us = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def now_us(self) -> int:
        return self.time_us

    def call_at(self, time_us: int, function: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time_us, next(self._order), function))

    def run_until(self, time_us: int) -> None:
        while self._events and self._events[0][0] <= time_us:
            due, _, function = heapq.heappop(self._events)
            self.time_us = max(self.time_us, due)
            function()
        self.time_us = max(self.time_us, time_us)


def packet(source: str = "node", start_us: int = 1_000_000, **changes: object) -> Transmission:
    """An uplink of 23 bytes at SF7 (61.696 ms), changed as asked; ``end_us`` follows ``start_us``."""
    fields: dict[str, object] = {
        "source": source,
        "start_us": start_us,
        "end_us": start_us + 61_696,
        "frequency_hz": 868_100_000,
        "spreading_factor": 7,
        "bandwidth_hz": 125_000,
        "coding_rate": 5,
        "preamble_symbols": 8,
        "invert_iq": False,
        "sync_word": 0x34,
        "crc": True,
        "implicit": False,
        "payload": bytes(23),
        "power_dbm": 14.0,
    }
    return Transmission(**(fields | changes))  # type: ignore[arg-type]
