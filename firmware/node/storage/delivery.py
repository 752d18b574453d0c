# SPDX-License-Identifier: MIT
# Which records the server has: what to send next, newest first, and what an acknowledgement settles. Pure.
#
# New records go once. The server answers a frame that asks for it with what it lacks (codec/downlink.py):
# that is sent again, the rest is settled. Losing this state costs repeats, never a record: the store knows a
# record by its id. Ids are those of the journal.
#
# Two allowances keep a node within fair use of a public network, 30 s of airtime and 10 answers in any 24
# hours: buckets that fill evenly and hold little, so that a quiet week is not followed by a loud day. What fills
# in and what is held are below that together, and nothing goes that is not held, alarms apart. At slow data rates
# more must be held, so less fills in, until a day after. (The law's duty cycle is the MAC's business, and stricter
# at any moment.)

import struct

from micropython import const

TYPE_CHECKING = const(0)  # the compiler drops the block below; mypy takes the name for true

if TYPE_CHECKING:
    Runs = list[tuple[int, int]]  # (newest id, how many, going down), newest first

_FORMAT = "<IIIBqqiqi"
_RUN = "<IH"
_HEAD = const(45)
_RUN_SIZE = const(6)
MAX_PAIRS = const(15)  # runs that one acknowledgement can name
_TOGETHER = const(2)  # new records that go in one frame while there is a backlog
_FAR = const(
    108
)  # ids, 18 hours at ten minutes: what is older does not fit behind a new record (codec/uplink.py)
ASK_AFTER = const(18)  # records after which a frame asks: eight times a day at ten minutes

_DAY_MS = const(86400000)
AIRTIME_MS_A_DAY = const(28800)
AIRTIME_HELD_MS = const(1000)  # two of the longest frames at EU868's DR5, and a usual one
SLOW_AIRTIME_MS_A_DAY = const(26000)
SLOW_AIRTIME_HELD_MS = const(3000)  # the longest frame takes 2.8 s (EU868, DR0)
ANSWERS_A_DAY = const(8)
ANSWERS_HELD = const(2)


class Delivery:
    """Settled, sent and missing records, and what may be spent on them."""

    def __init__(self, first_id: int, now_ms: int = 0) -> None:
        self.floor = first_id  # all below are settled
        self.sent = first_id  # all below were sent at least once
        self._answered = first_id  # next id when the last answer came
        self._deeper = False  # records older than those that the last answer named are missing, too
        self._runs: Runs = []  # known to be missing and not yet sent again
        self.frame_ms = 0  # time on air of the longest frame at the present data rate
        self._airtime_at_ms = now_ms
        self._airtime_ms = SLOW_AIRTIME_HELD_MS
        self._slow_until_ms = now_ms
        self._answers_at_ms = now_ms
        self._answers = ANSWERS_HELD

    def to_bytes(self) -> bytes:
        """For RTC memory and the state log."""
        head = struct.pack(
            _FORMAT,
            self.floor,
            self.sent,
            self._answered,
            self._deeper,
            self._slow_until_ms,
            self._airtime_at_ms,
            self._airtime_ms,
            self._answers_at_ms,
            self._answers,
        )
        return head + b"".join([struct.pack(_RUN, newest, count) for newest, count in self._runs])

    def load(self, data: "bytes | None", now_ms: int) -> bool:
        """Take over what `to_bytes` gave; False where there is nothing to take.

        The node's time starts again at a power loss: a stamp that lies ahead is taken for now.
        """
        if data is None or len(data) < _HEAD or (len(data) - _HEAD) % _RUN_SIZE:
            return False
        (
            self.floor,
            self.sent,
            self._answered,
            deeper,
            slow_until_ms,
            airtime_at_ms,
            self._airtime_ms,
            answers_at_ms,
            self._answers,
        ) = struct.unpack_from(_FORMAT, data)
        self._runs = [struct.unpack_from(_RUN, data, at) for at in range(_HEAD, len(data), _RUN_SIZE)]
        self._deeper = bool(deeper)
        self._slow_until_ms = min(slow_until_ms, now_ms + _DAY_MS)
        self._airtime_at_ms = min(airtime_at_ms, now_ms)
        self._answers_at_ms = min(answers_at_ms, now_ms)
        return True

    # --- allowances ---

    def may_send(self, now_ms: int, *, backlog: bool = False) -> bool:
        """Whether the day's airtime allows a frame now; one for `backlog` alone leaves enough for another."""
        fills = AIRTIME_MS_A_DAY if self._slow_until_ms <= self._airtime_at_ms else SLOW_AIRTIME_MS_A_DAY
        held = AIRTIME_HELD_MS
        if 2 * self.frame_ms > held:
            held = SLOW_AIRTIME_HELD_MS
            self._slow_until_ms = now_ms + _DAY_MS
        gained = max(0, now_ms - self._airtime_at_ms) * fills // _DAY_MS
        self._airtime_at_ms += gained * _DAY_MS // fills
        self._airtime_ms = min(held, self._airtime_ms + gained)
        return self._airtime_ms >= (2 * self.frame_ms if backlog else self.frame_ms)

    def spend_airtime(self, airtime_us: int) -> None:
        """A frame was on the air for so long."""
        self._airtime_ms -= (airtime_us + 999) // 1000

    def may_ask(self, now_ms: int) -> bool:
        """Whether the day's downlinks allow asking for one."""
        step = _DAY_MS // ANSWERS_A_DAY
        gained = (now_ms - self._answers_at_ms) // step
        if gained > 0:
            self._answers_at_ms += gained * step
            self._answers = min(ANSWERS_HELD, self._answers + gained)
        return self._answers > 0

    def spend_answer(self) -> None:
        """A frame asked."""
        self._answers -= 1

    # --- records ---

    def wants_answer(self, next_id: int) -> bool:
        """Whether it is time to ask what the server has."""
        return next_id - self._answered >= ASK_AFTER or (self._deeper and not self._runs)

    def any_missing(self) -> bool:
        """Whether a record is known to be missing and not yet sent again."""
        return bool(self._runs)

    def holds(self, next_id: int) -> bool:
        """Whether new records wait for the next ones, so that the airtime of their frames goes to the backlog."""
        return bool(self._runs) and next_id - self._runs[0][0] > _FAR and next_id - self.sent < _TOGETHER

    def queue(self, next_id: int, limit: int, holds: bool = False) -> "list[int]":
        """At most `limit` ids to send now: new ones unless `holds`, then missing ones, each newest first."""
        ids = [] if holds else list(range(next_id - 1, max(self.sent - 1, next_id - 1 - limit), -1))
        for newest, count in self._runs:
            ids += range(newest, newest - min(count, limit - len(ids)), -1)
        return ids

    def mark_sent(self, ids: "list[int]") -> None:
        """These ids, in the order of `queue`, were on the air: they wait for the next answer.

        So do those that were passed over: newer ones than these among the missing, and older ones than these
        among the new, which are below `sent` now.
        """
        for record_id in ids:
            while self._runs and record_id <= self._runs[0][0]:
                newest, count = self._runs.pop(0)
                left = record_id - (newest - count) - 1
                if left >= 0:
                    if left:
                        self._runs.insert(0, (record_id - 1, left))
                    break
            self.sent = max(self.sent, record_id + 1)

    def settle(self, base: int, top: int, runs: "Runs", next_id: int) -> bool:
        """The server has all below `base` and lacks `runs`, the newest of which begins at `top`.

        False, and nothing changes, when that speaks of records that do not exist.
        """
        if base > next_id or top >= next_id:
            return False
        self.floor = max(self.floor, base)
        self._answered = next_id
        self._runs = runs[:MAX_PAIRS]
        lowest = runs[-1][0] - runs[-1][1] + 1 if runs else top + 1
        self._deeper = lowest > base
        return True

    def request(self, newest_id: int, count: int) -> None:
        """Somebody wants these records once more, whether they were settled or not."""
        if count > 0:
            wanted = [(newest_id, min(count, 0xFFFF))]
            self._runs = (wanted + self._runs)[:MAX_PAIRS]

    def drop_below(self, oldest_id: int) -> None:
        """The ring holds nothing before `oldest_id`: what is missing there can never be sent."""
        self.floor = max(self.floor, oldest_id)
        kept = [(newest, min(count, newest - oldest_id + 1)) for newest, count in self._runs]
        self._runs = [run for run in kept if run[1] > 0]
