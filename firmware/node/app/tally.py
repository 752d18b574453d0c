# SPDX-License-Identifier: MIT
# What is counted from one confirmed status to the next, and when the next is due. Pure.
#
# Not here: the bytes on air (codec/status.py), events (storage/events.py), where the charge comes from
# (power/budget.py: totals since power-on, of which this keeps what was told already).
#
# A status is prepared, sent, and settled when the network has confirmed it: settling takes off what was told,
# so that what happens meanwhile is in the next one. Lives in RTC memory; commit it to flash too at a start
# that is no waking, or a power loss forgets the power losses before it.
#
# bytes (67): version u8, node time of the last confirmed status and of the next try (i64 ms), wakings u32,
# resets 4 x u16, least heap u32 (0 = not known), lateness u32 (us), airtime u32 (ms) and its rest u16 (us),
# told charge 6 x u32 (mC).

import struct

from micropython import const

TYPE_CHECKING = const(0)  # the compiler drops the block below; mypy takes the name for true

if TYPE_CHECKING:
    from ..codec.status import Status

_FORMAT = "<BqqI4HIIIH6I"
_VERSION = const(1)
_DAY_MS = const(86400000)
_HOUR_MS = const(3600000)
_RETRY_MS = const(21600000)  # asking for records costs an answer of the network, too
_TOP16 = const(0xFFFF)
_TOP32 = const(0xFFFFFFFF)
_PHASES = const(6)

# machine.reset_cause() of a start -> place in the status; deep sleep (4) is no reset.
_RESETS = {1: 0, 2: 1, 3: 2, 5: 3}


class Tally:
    """Counts since the last confirmed status."""

    def __init__(self, now_ms: int) -> None:
        self._since_ms = now_ms
        self._next_ms = now_ms + _HOUR_MS  # the first one soon: it says that the node is well
        self._wakings = 0
        self._resets = [0, 0, 0, 0]
        self._heap_low = 0
        self._lateness_us = 0
        self._airtime_ms = 0
        self._airtime_us = 0
        self._told_mc = [0] * _PHASES
        self._prepared: tuple[int, list[int], int, list[int]] | None = None

    # --- counting ---

    def note_start(self, reset_cause: int) -> None:
        """The node started, as machine.reset_cause() has it."""
        self._wakings = min(_TOP32, self._wakings + 1)
        if reset_cause in _RESETS:
            place = _RESETS[reset_cause]
            self._resets[place] = min(_TOP16, self._resets[place] + 1)

    def note_heap(self, free: int) -> None:
        """So many bytes are free at a moment when few are."""
        self._heap_low = min(self._heap_low or free, free)

    def note_lateness(self, late_us: int) -> None:
        """A receive window opened so late."""
        self._lateness_us = max(self._lateness_us, min(_TOP32, late_us))

    def note_airtime(self, airtime_us: int) -> None:
        """A frame was on the air for so long."""
        airtime_us += self._airtime_us
        self._airtime_ms = min(_TOP32, self._airtime_ms + airtime_us // 1000)
        self._airtime_us = airtime_us % 1000

    # --- telling ---

    def due(self, now_ms: int) -> bool:
        """Whether a status is to be sent now."""
        return now_ms >= self._next_ms

    def prepare(self, status: "Status", now_ms: int, totals_mc: "list[int]") -> None:
        """Fill in what is counted here; `totals_mc` is the charge by phase since power-on (mC)."""
        status.span_s = max(0, now_ms - self._since_ms) // 1000
        status.wakings = self._wakings
        status.resets = tuple(self._resets)
        status.heap_low = self._heap_low or None
        status.lateness_us = self._lateness_us
        status.airtime_ms = self._airtime_ms
        # Totals that went back started anew: all of them is news.
        anew = any([total < told for total, told in zip(totals_mc, self._told_mc)])  # noqa: B905, C419
        told_mc = [0] * _PHASES if anew else self._told_mc
        status.energy_mc = tuple([totals_mc[phase] - told_mc[phase] for phase in range(_PHASES)])
        self._prepared = (self._wakings, list(self._resets), self._airtime_ms, list(totals_mc))
        self._next_ms = now_ms + _RETRY_MS  # unless it is settled

    def settle(self, now_ms: int) -> None:
        """The network confirmed the prepared status: the next is due in a day."""
        if self._prepared is None:
            return
        wakings, resets, airtime_ms, self._told_mc = self._prepared
        self._prepared = None
        self._wakings -= wakings
        self._resets = [self._resets[place] - resets[place] for place in range(len(resets))]
        self._airtime_ms -= airtime_ms
        self._heap_low = 0
        self._lateness_us = 0
        self._since_ms = now_ms
        self._next_ms = now_ms + _DAY_MS

    # --- remembering ---

    def to_bytes(self) -> bytes:
        """For RTC memory and the state log."""
        return struct.pack(
            _FORMAT,
            _VERSION,
            self._since_ms,
            self._next_ms,
            self._wakings,
            *self._resets,
            min(_TOP32, self._heap_low),
            self._lateness_us,
            self._airtime_ms,
            self._airtime_us,
            *[min(_TOP32, told) for told in self._told_mc],
        )

    def load(self, data: "bytes | None", now_ms: int, slept: bool) -> bool:
        """Take over what `to_bytes` gave; False, and nothing changes, where there is nothing to take.

        `slept`: node time went on since. Otherwise it started again (power loss): old times mean nothing.
        """
        if data is None or len(data) != struct.calcsize(_FORMAT) or data[0] != _VERSION:
            return False
        fields = struct.unpack(_FORMAT, data)
        if slept:
            self._since_ms, self._next_ms = fields[1:3]
        else:
            self._since_ms, self._next_ms = now_ms, now_ms + _HOUR_MS
        self._wakings = fields[3]
        self._resets = list(fields[4:8])
        self._heap_low, self._lateness_us, self._airtime_ms, self._airtime_us = fields[8:12]
        self._told_mc = list(fields[12:])
        return True
