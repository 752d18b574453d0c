# SPDX-License-Identifier: MIT
# What keeps a node coming back: the watchdog, the brake on boot loops, and the rules of a low battery. Pure.
#
# The watchdog is started after the console window (it cannot be stopped) and fed by name: only when every
# duty of a waking has reported progress does the feeding go on. A node that keeps resetting waits longer and
# longer before it tries again, because a loop empties the battery; one success clears the count.

import struct

from micropython import const

WATCHDOG_MS = const(180000)  # the longest duty (a warm-up of 60 s, four frames at SF12) is half of it
_FORMAT = "<BB"
_VERSION = const(1)
_FREE_TRIES = const(3)
_FIRST_WAIT_MS = const(60000)
_LONGEST_WAIT_MS = const(21600000)  # 6 h

LOW_MV = const(3300)  # of a lithium cell: below, take fewer records and send none
EMPTY_MV = const(3100)  # below, nothing is worth a brown-out


class Watchdog:
    """Feeds `feed()` when each of `duties` has reported since the last feeding."""

    def __init__(self, feed: "object", duties: tuple) -> None:
        self._feed = feed
        self._duties = duties
        self._missing = set(duties)

    def progress(self, duty: str) -> None:
        """`duty` has moved on (or had nothing to do)."""
        self._missing.discard(duty)
        if not self._missing:
            self._missing = set(self._duties)
            self._feed()


class BootBrake:
    """Counts starts that did not lead to a finished waking."""

    def __init__(self, data: "bytes | None") -> None:
        self.failures = 0
        if data is not None and len(data) == struct.calcsize(_FORMAT):
            version, failures = struct.unpack(_FORMAT, data)
            if version == _VERSION:
                self.failures = failures

    def to_bytes(self) -> bytes:
        """For the state log, written when the count changes."""
        return struct.pack(_FORMAT, _VERSION, self.failures)

    def wait_ms(self) -> int:
        """How long to sleep before trying again; 0 while tries are free."""
        if self.failures <= _FREE_TRIES:
            return 0
        return min(_LONGEST_WAIT_MS, _FIRST_WAIT_MS << min(10, self.failures - _FREE_TRIES - 1))

    def failed(self) -> None:
        """A start begins: it counts as failed until `succeeded`."""
        self.failures = min(255, self.failures + 1)

    def succeeded(self) -> bool:
        """A waking came to its end; whether that is news."""
        news = self.failures != 0
        self.failures = 0
        return news


def interval_factor(battery_mv: "int | None") -> int:
    """By how much the sampling interval grows at this battery voltage; 0: do not sample at all."""
    if battery_mv is None or battery_mv >= LOW_MV:
        return 1
    return 6 if battery_mv >= EMPTY_MV else 0


def may_transmit(battery_mv: "int | None") -> bool:
    """Whether the battery can bear a transmission."""
    return battery_mv is None or battery_mv >= LOW_MV
