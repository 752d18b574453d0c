# SPDX-License-Identifier: MIT
# What the application remembers over deep sleep: time, sampling plan, hints into flash. Pure.

import struct

from micropython import const

_FORMAT = "<qqiIqqIiHIIbB"
_VERSION = const(3)


class Memory:
    """A cache in RTC memory; after a power loss it starts anew and nothing is lost but convenience."""

    def __init__(self, data: "bytes | None") -> None:
        self.offset_ms = 0  # time since 2000 minus node time; 0 = never synchronised
        self.synced_ms = 0  # node time of the last synchronisation
        self.drift_ppm = 0  # of node time, from the last two; 0 = not known
        self.first_id = 0  # first record taken since power-on
        self.due_ms = 0  # next sampling
        self.retry_ms = 0  # no join before
        self.wakings = 0
        self.state_hint = -1
        self.rate = -1  # best data rate at which the network was heard; below 0: see sender.py
        self.journal: tuple[int, int, int] | None = None  # generation, next id, next slot
        if data is None or len(data) != struct.calcsize(_FORMAT) or data[-1] != _VERSION:
            return
        (
            self.offset_ms,
            self.synced_ms,
            self.drift_ppm,
            self.first_id,
            self.due_ms,
            self.retry_ms,
            self.wakings,
            self.state_hint,
            generation,
            next_id,
            slot,
            self.rate,
            _,
        ) = struct.unpack(_FORMAT, data)
        self.journal = (generation, next_id, slot)

    def to_bytes(self) -> bytes:
        """For the RTC memory."""
        generation, next_id, slot = self.journal or (0, 0, 0)
        return struct.pack(
            _FORMAT,
            self.offset_ms,
            self.synced_ms,
            self.drift_ppm,
            self.first_id,
            self.due_ms,
            self.retry_ms,
            self.wakings,
            self.state_hint,
            generation,
            next_id,
            slot,
            self.rate,
            _VERSION,
        )
