# SPDX-License-Identifier: MIT
# Which records the server has: what to send next, newest first, and what an acknowledgement settles. Pure.
#
# New records go once. The server answers a frame that asks for it with all it has (codec/downlink): what is
# missing there is sent again; what it has is settled. Losing this state costs repeats, never a record: the
# store knows a record by its id. Ids are those of the journal.

import struct

from micropython import const

ASK_AFTER = const(15)  # unsettled records after which a frame asks: ten downlinks a day at ten minutes
_FORMAT = "<IIII16s"
SIZE = const(32)
SPAN = const(128)  # records that one acknowledgement can speak of


class Delivery:
    """Settled, sent and missing records."""

    def __init__(self, first_id: int) -> None:
        self.floor = first_id  # all below are settled
        self.sent = first_id  # all below were sent at least once
        self.asked = 0  # frames that asked since the last answer
        self._missing_from = first_id
        self._missing = bytearray(16)  # bit i: record _missing_from + i is known to be missing

    def to_bytes(self) -> bytes:
        """For RTC memory and the state log."""
        return struct.pack(_FORMAT, self.floor, self.sent, self.asked, self._missing_from, bytes(self._missing))

    def load(self, data: "bytes | None") -> bool:
        """Take over what `to_bytes` gave; False where there is nothing to take."""
        if data is None or len(data) != SIZE:
            return False
        self.floor, self.sent, self.asked, self._missing_from, missing = struct.unpack(_FORMAT, data)
        self._missing = bytearray(missing)
        return True

    def wants_answer(self, next_id: int) -> bool:
        """Whether the next frame should ask what the server has."""
        return next_id - self.floor >= ASK_AFTER or self.any_missing()

    def any_missing(self) -> bool:
        """Whether a record is known to be missing."""
        return any(self._missing)

    def queue(self, next_id: int, limit: int) -> list:
        """At most `limit` ids to send now: new ones, then missing ones, each newest first."""
        ids = []
        record_id = next_id - 1
        while record_id >= self.sent and len(ids) < limit:
            ids.append(record_id)
            record_id -= 1
        for index in range(SPAN - 1, -1, -1):
            if len(ids) >= limit:
                break
            if self._missing[index >> 3] & 1 << (index & 7):
                ids.append(self._missing_from + index)
        return ids

    def mark_sent(self, ids: list) -> None:
        """These ids were on the air (or the journal has dropped them): they wait for the next answer."""
        for record_id in ids:
            index = record_id - self._missing_from
            if 0 <= index < SPAN:
                self._missing[index >> 3] &= ~(1 << (index & 7)) & 0xFF
        fresh = [record_id for record_id in ids if record_id >= self.sent]
        if fresh:
            # New records go newest first: what was left behind counts as missing, not as sent.
            for record_id in range(self.sent, max(fresh)):
                if record_id not in fresh:
                    self._note_missing(record_id)
            self.sent = max(fresh) + 1

    def _note_missing(self, record_id: int) -> None:
        index = record_id - self._missing_from
        if index >= SPAN and not self.any_missing():
            self._missing_from = record_id
            index = 0
        if 0 <= index < SPAN:
            self._missing[index >> 3] |= 1 << (index & 7)

    def settle(self, base: int, count: int, have: bytes, next_id: int) -> None:
        """The server has all below `base`, and of the `count` ids from `base` those whose bit is set in `have`."""
        if base > next_id or base + count > next_id + SPAN:
            return  # speaks of records that do not exist
        self.asked = 0
        self.floor = max(self.floor, base)
        self._missing_from = base
        self._missing = bytearray(16)
        for index in range(min(count, SPAN)):
            record_id = base + index
            if record_id < self.sent and not have[index >> 3] & 1 << (index & 7):
                self._missing[index >> 3] |= 1 << (index & 7)

    def drop(self, record_id: int) -> None:
        """The journal no longer holds it: it can never be sent."""
        self.mark_sent([record_id])
        if record_id == self.floor:
            self.floor += 1
