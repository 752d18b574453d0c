# SPDX-License-Identifier: MIT
# Which records the server has: what to send next, newest first, and what an acknowledgement settles. Pure.
#
# New records go once. The server answers a frame that asks for it with what it has (codec/downlink.py): what
# is missing there is sent again; what it has is settled. Losing this state costs repeats, never a record: the
# store knows a record by its id. Ids are those of the journal.
#
# Two allowances keep a node within fair use of a public network: airtime and answers, each a bucket that
# fills evenly over the day. (The law's duty cycle is the MAC's business, and stricter at any moment.)

import struct

from micropython import const

_FORMAT = "<IIIIBqiqi16s"
SIZE = const(57)
SPAN = const(128)  # records that one acknowledgement can speak of
ASK_AFTER = const(18)  # records after which a frame asks: eight a day at ten minutes, with room for lost ones

_DAY_MS = const(86400000)
AIRTIME_MS_A_DAY = const(30000)
ANSWERS_A_DAY = const(10)


class Delivery:
    """Settled, sent and missing records, and what may be spent on them."""

    def __init__(self, first_id: int, now_ms: int = 0) -> None:
        self.floor = first_id  # all below are settled
        self.sent = first_id  # all below were sent at least once
        self._answered = first_id  # next id when the last answer came
        self._deeper = False  # records below the window of the last answer are missing, too
        self._missing_from = first_id
        self._missing = bytearray(16)  # bit i: record _missing_from + i is known to be missing
        self._airtime_at_ms = now_ms
        self._airtime_ms = AIRTIME_MS_A_DAY
        self._answers_at_ms = now_ms
        self._answers = ANSWERS_A_DAY

    def to_bytes(self) -> bytes:
        """For RTC memory and the state log."""
        return struct.pack(
            _FORMAT,
            self.floor,
            self.sent,
            self._answered,
            self._deeper,
            self._missing_from,
            self._airtime_at_ms,
            self._airtime_ms,
            self._answers_at_ms,
            self._answers,
            bytes(self._missing),
        )

    def load(self, data: "bytes | None", now_ms: int) -> bool:
        """Take over what `to_bytes` gave; False where there is nothing to take.

        The node's time starts again at a power loss: a stamp that lies ahead is taken for now.
        """
        if data is None or len(data) != SIZE:
            return False
        (
            self.floor,
            self.sent,
            self._answered,
            deeper,
            self._missing_from,
            airtime_at_ms,
            self._airtime_ms,
            answers_at_ms,
            self._answers,
            missing,
        ) = struct.unpack(_FORMAT, data)
        self._missing = bytearray(missing)
        self._deeper = bool(deeper)
        self._airtime_at_ms = min(airtime_at_ms, now_ms)
        self._answers_at_ms = min(answers_at_ms, now_ms)
        return True

    # --- allowances ---

    def may_send(self, now_ms: int) -> bool:
        """Whether the day's airtime allows a frame now."""
        gained = (now_ms - self._airtime_at_ms) * AIRTIME_MS_A_DAY // _DAY_MS
        if gained > 0:
            self._airtime_at_ms += gained * _DAY_MS // AIRTIME_MS_A_DAY
            self._airtime_ms = min(AIRTIME_MS_A_DAY, self._airtime_ms + gained)
        return self._airtime_ms > 0

    def spend_airtime(self, airtime_us: int) -> None:
        """A frame was on the air for so long."""
        self._airtime_ms -= (airtime_us + 999) // 1000

    def may_ask(self, now_ms: int) -> bool:
        """Whether the day's downlinks allow asking for one."""
        step = _DAY_MS // ANSWERS_A_DAY
        gained = (now_ms - self._answers_at_ms) // step
        if gained > 0:
            self._answers_at_ms += gained * step
            self._answers = min(ANSWERS_A_DAY, self._answers + gained)
        return self._answers > 0

    def spend_answer(self) -> None:
        """A frame asked."""
        self._answers -= 1

    # --- records ---

    def wants_answer(self, next_id: int) -> bool:
        """Whether it is time to ask what the server has."""
        return next_id - self._answered >= ASK_AFTER or (self._deeper and not self.any_missing())

    def any_missing(self) -> bool:
        """Whether a record is known to be missing and not yet sent again."""
        return any(self._missing)

    def queue(self, next_id: int, limit: int) -> "list[int]":
        """At most `limit` ids to send now: new ones, then missing ones, each newest first."""
        ids: list[int] = []
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

    def mark_sent(self, ids: "list[int]") -> None:
        """These ids were on the air (or can never be): they wait for the next answer.

        New records go newest first: older new ones that did not fit stay unsettled below `sent`; the next
        answer names them.
        """
        for record_id in ids:
            index = record_id - self._missing_from
            if 0 <= index < SPAN:
                self._missing[index >> 3] &= ~(1 << (index & 7)) & 0xFF
            if record_id >= self.sent:
                self.sent = record_id + 1

    def settle(self, base: int, start: int, count: int, have: bytes, next_id: int) -> bool:
        """The server has all below `base` and all from `start + count`; bit i of `have`: it has `start + i`.

        False, and nothing changes, when that speaks of records that do not exist.
        """
        if base > next_id or start < base or start + count > next_id or count > SPAN:
            return False
        self.floor = max(self.floor, base)
        self._answered = next_id
        self._deeper = start > base
        self._missing_from = start
        self._missing = bytearray(16)
        for index in range(count):
            if start + index < self.sent and not have[index >> 3] & 1 << (index & 7):
                self._missing[index >> 3] |= 1 << (index & 7)
        return True

    def drop(self, record_id: int) -> None:
        """The journal no longer holds it: it can never be sent."""
        self.mark_sent([record_id])
        if record_id >= self.floor:
            # The ring drops the oldest first: nothing below is there either.
            self.floor = record_id + 1
