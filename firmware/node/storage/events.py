# SPDX-License-Identifier: MIT
# Security and fault events: how often since the last daily status, and when last. Pure.
#
# Not a log: one entry for each code and detail; when all are taken the one seen longest ago gives way, and
# the order alone says which that is, so that no clock is needed. Counts saturate. A status that was delivered
# takes off exactly what it reported: what happened meanwhile is in the next one.
#
# bytes: version u8, entries u8, entries that gave way u16, then each, seen longest ago first:
# code u8, detail u8, count u16, time u32 (s since 2000, 0 = the node did not know).

import struct

from micropython import const

_HEAD = "<BBH"
_ENTRY = "<BBHI"
_HEAD_SIZE = const(4)
_ENTRY_SIZE = const(8)
_VERSION = const(1)
_TOP = const(0xFFFF)
CAPACITY = const(24)
MAX_SIZE = const(196)


class Events:
    """Entries [code, detail, count, time_s], seen longest ago first."""

    def __init__(self) -> None:
        self.entries: list[list[int]] = []
        self.dropped = 0  # entries that gave way with a count nobody was told, at most 65535

    def note(self, code: int, detail: int = 0, time_s: int = 0) -> None:
        """It happened once more, at `time_s` (s since 2000; 0 where the node does not know)."""
        self.add(code, detail, 1, time_s)

    def add(self, code: int, detail: int, times: int, time_s: int = 0) -> None:
        """It happened `times` times, last at `time_s`: for those who count by themselves."""
        count = times
        for index in range(len(self.entries)):
            if self.entries[index][0] == code and self.entries[index][1] == detail:
                count += self.entries.pop(index)[2]
                break
        if len(self.entries) >= CAPACITY and self.entries.pop(0)[2]:
            self.dropped = min(_TOP, self.dropped + 1)
        self.entries.append([code, detail, min(_TOP, count), time_s])

    def counts(self) -> "list[tuple[int, int, int]]":
        """(code, detail, count) of what nobody was told yet, newest first."""
        return [(entry[0], entry[1], entry[2]) for entry in reversed(self.entries) if entry[2]]

    def settle(self, told: "list[tuple[int, int, int]]") -> None:
        """These counts arrived: take them off. An entry stays, with its time, until its place is needed."""
        for code, detail, count in told:
            for entry in self.entries:
                if entry[0] == code and entry[1] == detail:
                    entry[2] = max(0, entry[2] - count)

    def to_bytes(self) -> bytes:
        """For RTC memory and the state log: at most 196 bytes."""
        parts = [struct.pack(_HEAD, _VERSION, len(self.entries), self.dropped)]
        for code, detail, count, time_s in self.entries:
            parts.append(struct.pack(_ENTRY, code, detail, count, time_s))
        return b"".join(parts)

    def load(self, data: "bytes | None") -> bool:
        """Take over what `to_bytes` gave; False, and nothing changes, where there is nothing to take."""
        if data is None or not _HEAD_SIZE <= len(data) <= MAX_SIZE or data[0] != _VERSION:
            return False
        _, count, dropped = struct.unpack_from(_HEAD, data)
        if len(data) != _HEAD_SIZE + count * _ENTRY_SIZE:
            return False
        self.dropped = dropped
        self.entries = [
            list(struct.unpack_from(_ENTRY, data, _HEAD_SIZE + index * _ENTRY_SIZE)) for index in range(count)
        ]
        return True
