# SPDX-License-Identifier: MIT
# Node time: microsecond ticks while awake, and milliseconds that go on through deep sleep.
#
# `now_ms` is the RTC's time since power-on. Nobody ever sets the RTC (machine.RTC.datetime), so it only runs
# forward; a power loss starts it again at zero. Its rate in sleep is that of the calibrated RC oscillator.

import time


class Clock:
    """The clock that is handed to drivers, radio and runner."""

    ticks_us = staticmethod(time.ticks_us)
    ticks_ms = staticmethod(time.ticks_ms)
    ticks_diff = staticmethod(time.ticks_diff)
    ticks_add = staticmethod(time.ticks_add)
    sleep_ms = staticmethod(time.sleep_ms)
    sleep_us = staticmethod(time.sleep_us)

    def now_ms(self) -> int:
        """Milliseconds since power-on, sleep included."""
        return time.time_ns() // 1000000
