# SPDX-License-Identifier: MIT
# The alarms of a node: raised, held, told until somebody answers, and remembered over a power loss. Pure.
#
#   idle -> pending -> active -> acknowledged -> idle       acknowledged while it lasted
#                        active -> latched ----> idle       over before it was acknowledged
#
# Hysteresis: between the threshold and where the alarm ends nothing changes. Hold-off: a condition must be
# seen so long before the alarm is raised, and be gone for as long before it is over. A reading that says
# nothing (fault, absent, warming up) changes nothing: it stops no timer, and no timer acts by itself. A rate
# is measured over at least its hold-off, and counts at once.
#
# A raise takes the node's next occurrence number, so that whoever is missing one knows it. Every change is
# told until the network confirms it, raises at once; what nobody acknowledged is told again every six hours.
# Not here: the rules for leak, flood and fire (sampling/rules.py; what they find is handed in), sending.
#
# bytes (at most 126): version << 4 | alarms u8, time of saving u32 (s of node time), next telling u16 (s from
# then), tries u8, last occurrence u16; each alarm: kind << 4 | state << 1 | untold u8, quantity | urgent << 7
# u8, occurrence u16, age of the change u24 (s, all ones = unknown), age of the timer u16 (s, all ones = not
# running), value i32; each rate, in the order of the alarms: age of the reference u16 (s, all ones = none),
# value i32.

import struct

from micropython import const

from ..schema.alarms import (
    ABOVE,
    ACKNOWLEDGED,
    ACTIVE,
    BELOW,
    FALL,
    FOUND,
    IDLE,
    LATCHED,
    MAX_ALARMS,
    PENDING,
    RISE,
    SENSOR_FAULT,
    TIPPED,
)
from ..schema.quantities import ABSENT, CLAMPED, FAULT, GOOD, OUT_OF_CALIBRATION, STALE

TYPE_CHECKING = const(0)  # the compiler drops the block below; mypy takes the name for true

if TYPE_CHECKING:
    from collections.abc import Mapping

    Row = tuple[int, int, int, int, int]
    Report = tuple[int, int, int, int, int, int]

_VERSION = const(1)
_HEAD = "<BIHBH"
_HEAD_SIZE = const(10)
_ALARM = "<BBHHBHi"
_ALARM_SIZE = const(13)
_RATE = "<Hi"
_RATE_SIZE = const(6)
MAX_SIZE = const(126)

_NEVER = const(0xFFFF)
_AGE_TOP = const(0xFFFFFE)  # 194 days
NO_AGE = const(0xFFFFFF)
NO_VALUE = const(-0x80000000)
_URGENT_TRIES = const(3)
_RETRY_S = const(60)
_RETRY_TOP_S = const(3600)
_REMIND_S = const(21600)

USABLE = (GOOD, CLAMPED, OUT_OF_CALIBRATION)
BROKEN = (FAULT, ABSENT, STALE)
STANDING = (ACTIVE, ACKNOWLEDGED)
OPEN = (ACTIVE, LATCHED)  # nobody has acknowledged it


class Alarm:
    """One row of the configuration, and where it stands. Times are seconds of node time."""

    def __init__(self, row: "Row") -> None:
        self.quantity, self.kind, self.threshold, self.hysteresis, self.hold_off_s = row
        self.state = IDLE
        self.occurrence = 0
        self.value = NO_VALUE  # at the last change
        self.untold = False
        self.urgent = False
        self.changed_s: int | None = None  # None: not known, the clock started again since
        self.timer_s: int | None = None  # since when readings speak against the state
        self.reference: tuple[int, int] | None = None  # of a rate: time, value

    def report(self, now_s: int) -> "Report":
        """What is told of it: kind, quantity, state, occurrence, value, age of the last change in s."""
        age_s = NO_AGE if self.changed_s is None else min(_AGE_TOP, max(0, now_s - self.changed_s))
        state = IDLE if self.state == PENDING else self.state
        return self.kind, self.quantity, state, self.occurrence, self.value, age_s

    def _judge(self, value: int) -> "bool | None":
        # Whether `value` is beyond the threshold; None between the threshold and where the alarm ends.
        over = self.threshold - value if self.kind == BELOW else value - self.threshold
        if over >= 0:
            return True
        return None if over > -self.hysteresis else False

    def look(self, reading: "tuple[int | None, int]", now_s: int) -> "tuple[bool | None, int]":
        """(seen, value): what a reading (value, quality) says; seen is None where it says nothing."""
        value, quality = reading
        if self.kind == SENSOR_FAULT:
            if quality in BROKEN:
                return True, quality
            return (False, quality) if quality in USABLE else (None, quality)
        if value is None or quality not in USABLE:
            return None, NO_VALUE
        if self.kind in (RISE, FALL):
            return self._look_at_rate(value, now_s)
        if self.kind not in (ABOVE, BELOW, TIPPED):
            return None, NO_VALUE  # a rule that was not handed in says nothing
        return self._judge(value), value

    def _look_at_rate(self, value: int, now_s: int) -> "tuple[bool | None, int]":
        if self.reference is None or now_s < self.reference[0]:
            self.reference = (now_s, value)
            return None, NO_VALUE
        elapsed_s = now_s - self.reference[0]
        if elapsed_s < self.hold_off_s:
            return None, NO_VALUE
        change = value - self.reference[1]
        self.reference = (now_s, value)
        # Toward zero, so that a rate is never said to be more than it was.
        rate = min(0x7FFFFFFF, abs(change) * 3600 // elapsed_s)
        rate = rate if change >= 0 else -rate
        return self._judge(-rate if self.kind == FALL else rate), rate

    def step(self, seen: "bool | None", now_ms: int) -> "bool | None":
        """Move on: True to be raised now, False over now, None for neither."""
        if seen is None:
            return None
        if seen == (self.state in STANDING):
            self.timer_s = None
            if self.state == PENDING:
                self.state = IDLE
            return None
        if self.timer_s is None:
            self.timer_s = -(-now_ms // 1000)  # rounded up, and below down: never too early
            if seen and self.state == IDLE:
                self.state = PENDING
        wait_s = 0 if self.kind in (RISE, FALL) else self.hold_off_s
        if wait_s and now_ms // 1000 - self.timer_s < wait_s:
            return None
        self.timer_s = None
        return seen


class Alarms:
    """All alarms of a node."""

    def __init__(self, rows: "tuple[Row, ...]") -> None:
        """`rows` as `schema.alarms.rows_fault` finds them right."""
        self.alarms = [Alarm(row) for row in rows]
        self.last = 0  # the last occurrence number given
        self._tell_s = 0  # nothing is told again before
        self._tries = 0

    def _find(self, kind: int, quantity: int) -> "Alarm | None":
        for alarm in self.alarms:
            if alarm.kind == kind and alarm.quantity == quantity:
                return alarm
        return None

    # --- judging ---

    def evaluate(
        self,
        readings: "Mapping[int, tuple[int | None, int]]",
        now_ms: int,
        findings: "Mapping[int, tuple[bool | None, int | None]] | None" = None,
    ) -> "list[Alarm]":
        """Judge a sampling {quantity: (value, quality)}; the alarms that were raised or are over.

        `findings` says what the rules for LEAK, FLOOD, FIRE and the TAMPER contact found: {kind: (seen,
        value)}, seen None where a rule cannot tell. What is returned is to be committed before it is told.
        """
        changed = []
        for alarm in self.alarms:
            if alarm.kind in FOUND:
                seen, value = (findings or {}).get(alarm.kind, (None, None))
            else:
                seen, value = alarm.look(readings.get(alarm.quantity, (None, ABSENT)), now_ms // 1000)
            moved = alarm.step(seen, now_ms)
            if moved is None:
                continue
            if moved:
                # Where the last raise still waits for somebody, people know: the new one is told in turn.
                alarm.urgent = alarm.state != LATCHED
                alarm.state = ACTIVE
                self.last = self.last % 0xFFFF + 1
                alarm.occurrence = self.last
            else:
                alarm.urgent = False
                alarm.state = LATCHED if alarm.state == ACTIVE else IDLE
            alarm.value = NO_VALUE if value is None else value
            self._change(alarm, now_ms)
            changed.append(alarm)
        return changed

    def _change(self, alarm: Alarm, now_ms: int) -> None:
        alarm.changed_s = now_ms // 1000
        alarm.untold = True
        self._tries = 0
        self._tell_s = 0

    def acknowledge(self, kind: int, quantity: int, occurrence: int, now_ms: int) -> bool:
        """Somebody knows of this occurrence; False, and nothing changes, when it is not the alarm's last.

        Repeated it changes nothing, but the state is told once more: who repeats it has not heard of it.
        To be committed to flash when True.
        """
        alarm = self._find(kind, quantity)
        if alarm is None or not occurrence or alarm.occurrence != occurrence:
            return False
        if alarm.state in OPEN:
            alarm.state = ACKNOWLEDGED if alarm.state == ACTIVE else IDLE
            if alarm.state == IDLE and alarm.timer_s is not None:
                alarm.state = PENDING
            alarm.urgent = False
            self._change(alarm, now_ms)
        else:
            alarm.untold = True
            self._tell_s = 0
        return True

    # --- telling ---

    def urgent(self) -> bool:
        """Whether what `due` gave is to be told with the day's airtime used up, too: a raise, three times."""
        return self._tries <= _URGENT_TRIES and any(alarm.untold and alarm.urgent for alarm in self.alarms)

    def due(self, now_ms: int) -> "list[Report]":
        """What is to be told now, in confirmed uplinks, urgent first: reports for codec/alarm.py.

        Asking counts as a try, whatever hinders the sending: until `told` hears that the network confirmed
        it, the next is due after 1, 2, 4 ... 60 minutes.
        """
        now_s = now_ms // 1000
        if now_s < self._tell_s:
            return []
        telling = [alarm for alarm in self.alarms if alarm.untold]
        if not telling:  # a reminder
            telling = [alarm for alarm in self.alarms if alarm.state in OPEN]
            for alarm in telling:
                alarm.untold = True
        if telling:
            self._tell_s = now_s + min(_RETRY_TOP_S, _RETRY_S << min(6, self._tries))
            self._tries = min(255, self._tries + 1)
        telling.sort(key=_rank)
        return [alarm.report(now_s) for alarm in telling]

    def told(self, reports: "list[Report]", now_ms: int, acked: bool) -> None:
        """The uplink with these reports was sent; `acked`: the network confirmed it."""
        if not acked:
            return
        now_s = now_ms // 1000
        self._tries = 0
        for report in reports:
            alarm = self._find(report[0], report[1])
            if alarm is not None and alarm.report(now_s)[2:4] == report[2:4]:
                alarm.untold = False
                alarm.urgent = False
        self._tell_s = 0 if any(alarm.untold for alarm in self.alarms) else now_s + _REMIND_S

    def wants_reading(self, now_ms: int) -> bool:
        """Whether a hold-off has passed, so that a sampling now would raise what it still finds."""
        return any(now_ms >= end_ms for end_ms in self._hold_off_ends())

    def _hold_off_ends(self) -> "list[int]":
        return [
            (alarm.timer_s + alarm.hold_off_s) * 1000
            for alarm in self.alarms
            if alarm.timer_s is not None and alarm.state not in STANDING
        ]

    def next_ms(self, now_ms: int) -> "int | None":
        """Node time ahead when waking is worth it for the alarms alone; None = the next sampling will do.

        What is due already is no reason to wake again at once: this waking had its chance, and where there is
        no network or no reading the next will have no better one.
        """
        times = self._hold_off_ends()
        if any(alarm.untold or alarm.state in OPEN for alarm in self.alarms):
            times.append(self._tell_s * 1000)
        ahead = [time_ms for time_ms in times if time_ms > now_ms]
        return min(ahead) if ahead else None

    # --- remembering ---

    def to_bytes(self, now_ms: int) -> bytes:
        """For RTC memory and the state log, saved at `now_ms`; at most 126 bytes."""
        base_s = -(-now_ms // 1000)
        parts = [
            struct.pack(
                _HEAD,
                _VERSION << 4 | len(self.alarms),
                base_s & 0xFFFFFFFF,
                min(_NEVER, max(0, self._tell_s - base_s)),
                self._tries,
                self.last,
            )
        ]
        rates = []
        for alarm in self.alarms:
            age_s = alarm.report(base_s)[5]
            timer_s = _NEVER  # its age may saturate: every hold-off is shorter
            if alarm.timer_s is not None:
                timer_s = min(_NEVER - 1, max(0, base_s - alarm.timer_s))
            parts.append(
                struct.pack(
                    _ALARM,
                    alarm.kind << 4 | alarm.state << 1 | (1 if alarm.untold else 0),
                    alarm.quantity | (0x80 if alarm.urgent else 0),
                    alarm.occurrence,
                    age_s & 0xFFFF,
                    age_s >> 16,
                    timer_s,
                    alarm.value,
                )
            )
            if alarm.kind in (RISE, FALL):
                taken_s, value = alarm.reference or (0, 0)
                old = alarm.reference is None or base_s - taken_s >= _NEVER
                rates.append(struct.pack(_RATE, _NEVER if old else base_s - taken_s, value))
        return b"".join(parts + rates)

    def load(self, data: "bytes | None", now_ms: int, slept: bool) -> bool:
        """Take over what `to_bytes` gave; False, and nothing changes, where there is nothing to take.

        `slept`: node time went on since. Otherwise it started again (power loss): hold-offs begin anew, and
        when something changed is not known any more. Alarms that are no longer configured are dropped.
        """
        if data is None or len(data) < _HEAD_SIZE or data[0] >> 4 != _VERSION:
            return False
        first, base_s, tell_s, tries, last = struct.unpack_from(_HEAD, data)
        count = first & 0x0F
        kinds = [data[_HEAD_SIZE + index * _ALARM_SIZE] >> 4 for index in range(count) if _fits(data, index)]
        rates = sum([1 for kind in kinds if kind in (RISE, FALL)])
        rate_at = _HEAD_SIZE + count * _ALARM_SIZE
        if count > MAX_ALARMS or len(kinds) != count or len(data) != rate_at + rates * _RATE_SIZE:
            return False
        now_s = now_ms // 1000
        self.last = last
        self._tries = tries
        self._tell_s = base_s + tell_s if slept else 0
        for index in range(count):
            kind = kinds[index]
            fields = struct.unpack_from(_ALARM, data, _HEAD_SIZE + index * _ALARM_SIZE)
            alarm = self._find(kind, fields[1] & 0x7F)
            if alarm is not None:
                _restore(alarm, fields, base_s, now_s, slept)
            if kind in (RISE, FALL):
                age_s, value = struct.unpack_from(_RATE, data, rate_at)
                rate_at += _RATE_SIZE
                if alarm is not None and slept and age_s != _NEVER:
                    alarm.reference = (base_s - age_s, value)
        return True


def _fits(data: bytes, index: int) -> bool:
    end = _HEAD_SIZE + (index + 1) * _ALARM_SIZE
    return end <= len(data) and data[end - _ALARM_SIZE] >> 1 & 0x07 <= ACKNOWLEDGED


def _restore(alarm: Alarm, fields: "tuple[int, ...]", base_s: int, now_s: int, slept: bool) -> None:
    first, quantity, alarm.occurrence, age_low, age_high, timer_age_s, alarm.value = fields
    alarm.state = first >> 1 & 0x07
    alarm.untold = bool(first & 1)
    alarm.urgent = bool(quantity & 0x80)
    age_s = age_high << 16 | age_low
    alarm.changed_s = base_s - age_s if slept and age_s != NO_AGE else None
    if timer_age_s != _NEVER:
        alarm.timer_s = base_s - timer_age_s if slept else now_s + 1


def _rank(alarm: Alarm) -> int:
    # A total order: MicroPython's sort is not stable.
    return alarm.occurrence if alarm.urgent else 0x10000 | alarm.occurrence
