# SPDX-License-Identifier: MIT
# Feeds the rules of sampling/rules.py for the alarms that need one, and says what they find. Pure.
#
# A rule exists only where a row asks for it; the row's threshold is the rule's, 0 the rule's own: of LEAK the
# least flow at night (L/h), of FLOOD the rise (base units an hour), of FIRE the temperature (base units). A
# tilted bin needs no rule: its alarm has a hold-off. What app/alarms.py does with a finding is its business.
#
# bytes: version u8, numbers u8, then i64 each: the states of leak, flood and fire, each behind its length.

import struct

from micropython import const

from ..sampling.rules import FIRE as BURNING
from ..sampling.rules import BinWatch, LeakWatch, RiseWatch
from ..schema.alarms import FIRE, FLOOD, LEAK
from ..schema.quantities import CLAMPED, DISTANCE, GOOD, OUT_OF_CALIBRATION

TYPE_CHECKING = const(0)  # the compiler drops the block below; mypy takes the name for true

if TYPE_CHECKING:
    from collections.abc import Mapping

    Reading = tuple[int | None, int]
    Finding = tuple[bool | None, int | None]
    Row = tuple[int, int, int, int, int]

_VERSION = const(1)
_USABLE = (GOOD, CLAMPED, OUT_OF_CALIBRATION)
MAX_SIZE = const(242)  # 2 + 8 * (3 lengths, 7 of leak, 17 of flood, 3 of fire)


class Watches:
    """The rules of a node's alarms."""

    def __init__(self, rows: "tuple[Row, ...]") -> None:
        self._leak: LeakWatch | None = None
        self._flood: RiseWatch | None = None
        self._fire: BinWatch | None = None
        self._quantities = {}  # of each kind
        for quantity, kind, threshold, _, _ in rows:
            self._quantities[kind] = quantity
            if kind == LEAK:
                self._leak = LeakWatch(threshold) if threshold else LeakWatch()
            elif kind == FLOOD:
                self._flood = RiseWatch(threshold) if threshold else RiseWatch()
            elif kind == FIRE:
                self._fire = BinWatch(threshold) if threshold else BinWatch()

    def feed(
        self, readings: "Mapping[int, Reading]", now_s: int, local_s: "int | None"
    ) -> "dict[int, Finding]":
        """{kind: (seen, value)} of a sampling at node time `now_s`, for `Alarms.evaluate`.

        `local_s` is the local time (s since 2000), None where the node does not know it: a leak is judged by
        the night, and waits. A rule that cannot tell says None or nothing.
        """
        findings: dict[int, Finding] = {}
        if self._leak is not None and local_s is not None:
            litres = self._value(LEAK, readings)
            if litres is not None:
                findings[LEAK] = _feed_leak(self._leak, local_s, litres)
        if self._flood is not None:
            level = self._value(FLOOD, readings)
            if level is not None:
                # Water that rises comes nearer to a sensor that looks down on it.
                seen = self._flood.feed(now_s, -level if self._quantities[FLOOD] == DISTANCE else level)
                rate = self._flood.rate_mm_h()
                findings[FLOOD] = (None if rate is None else seen, rate)
        if self._fire is not None:
            temperature = self._value(FIRE, readings)
            if temperature is not None:
                findings[FIRE] = (bool(self._fire.feed(now_s, temperature, None) & BURNING), temperature)
        return findings

    def _value(self, kind: int, readings: "Mapping[int, Reading]") -> "int | None":
        value, quality = readings.get(self._quantities[kind], (None, GOOD))
        return value if quality in _USABLE else None

    def to_bytes(self) -> bytes:
        """For RTC memory, at most 242 bytes; losing it costs a rule its run-up, never an alarm."""
        numbers: list[int] = []
        for rule in (self._leak, self._flood, self._fire):
            state = () if rule is None else rule.state()
            numbers.append(len(state))
            numbers.extend(state)
        return struct.pack("<BB", _VERSION, len(numbers)) + struct.pack("<%dq" % len(numbers), *numbers)

    def load(self, data: "bytes | None", slept: bool) -> bool:
        """Take over what `to_bytes` gave; False, and nothing changes, where there is nothing to take.

        Not `slept` (power loss): flood and fire count by node time, which started again, and begin anew.
        """
        if data is None or len(data) < 2 or data[0] != _VERSION or len(data) != 2 + 8 * data[1]:
            return False
        numbers = struct.unpack("<%dq" % data[1], data[2:])
        states = []
        at = 0
        while at < len(numbers) and 0 <= numbers[at] < len(numbers) - at:
            states.append(numbers[at + 1 : at + 1 + numbers[at]])
            at += 1 + numbers[at]
        if (
            at != len(numbers)
            or len(states) != 3
            or len(states[0]) not in (0, 7)
            or len(states[2]) not in (0, 3)
        ):
            return False
        leak, flood, fire = states
        if self._leak is not None and leak:
            self._leak.restore(leak)
        if self._flood is not None and flood and slept:
            self._flood.restore(flood)
        if self._fire is not None and fire and slept:
            self._fire.restore(fire)
        return True


def _feed_leak(rule: LeakWatch, local_s: int, litres: int) -> "Finding":
    # The value is the flow (L/h) since the reading before; None without one.
    _, before_s, before, _, _, _, _ = rule.state()
    found = bool(rule.feed(local_s, litres))
    if not 0 <= before <= litres or local_s <= before_s:
        return found, None
    return found, (litres - before) * 3600 // (local_s - before_s)
