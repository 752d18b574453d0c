# SPDX-License-Identifier: MIT
# Node time: microsecond ticks while awake, and milliseconds that go on through deep sleep.
#
# `now_ms` is the RTC's time since power-on. Nobody ever sets the RTC (machine.RTC.datetime), so it only runs
# forward; a power loss starts it again at zero. Its rate in sleep is that of the calibrated RC oscillator.

import time

import machine


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


class NappingClock(Clock):
    """The same, but longer waits are light sleep, timed by the RC oscillator: 0.24 mA, not 32 mA (ESP32-S3).

    For whoever can live with its error: the LoRaWAN runner, which widens its windows by it (`RC_PPM`).
    """

    RC_PPM = 5000  # bound of the RC oscillator as the port calibrates it (MeshCore #1326 saw up to 1 %)

    def __init__(self, from_ms: int) -> None:
        """Waits of `from_ms` and more are worth it (power/budget.py)."""
        self._from_ms = from_ms
        self.napped_ms = 0

    def sleep_ms(self, duration_ms: int) -> None:  # type: ignore[override]
        """Wait; the console is deaf meanwhile."""
        if duration_ms >= self._from_ms:
            machine.lightsleep(duration_ms)
            self.napped_ms += duration_ms
        else:
            time.sleep_ms(duration_ms)
