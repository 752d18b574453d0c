# SPDX-License-Identifier: MIT
"""The RTC domain of a virtual chip: memory and a clock that go on through sleep and resets.

Lost with the power. In sleep the clock runs from an RC oscillator: it counts what was asked for, not what it
lasted.
"""

from __future__ import annotations

MEMORY_SIZE = 2048  # of the ESP32 port's machine.RTC().memory()


class RtcDomain:
    """As at power-on at board time ``now_us``: memory empty, clock at zero."""

    def __init__(self, now_us: int) -> None:
        self.memory = b""
        self._us = 0  # what the clock showed at board time _at_us
        self._at_us = now_us
        self._skew_us = 0  # what light sleep lasted longer than the oscillator believes, since then

    def now_us(self, time_us: int) -> int:
        """What the clock shows at board time ``time_us``."""
        return self._us + time_us - self._at_us - self._skew_us

    def set_us(self, value_us: int, time_us: int) -> None:
        """``machine.RTC.datetime``."""
        self._us, self._at_us, self._skew_us = value_us, time_us, 0

    def sleep(self, time_us: int, asked_us: int, lasts_us: int) -> None:
        """Deep sleep from ``time_us`` on: ``asked_us`` by the oscillator, ``lasts_us`` in the world."""
        self.set_us(self.now_us(time_us) + asked_us, time_us + lasts_us)

    def lag(self, skew_us: int) -> None:
        """A light sleep lasted so much longer than the oscillator believes."""
        self._skew_us += skew_us
