# SPDX-License-Identifier: MIT
# The ULP coprocessor, and the RTC slow memory that it shares with the node: 0x50000000 on ESP32 and ESP32-S3.
#
# Nothing here was seen on silicon: `communode.ulp_program` names the sources.

import esp32
from machine import mem32

from .sleep import is_wake

_MEMORY = 0x50000000
_ENODEV = 19


class Ulp:
    """Handed to drivers: words by their address in bytes; OSError where chip or image have no ULP."""

    def __init__(self) -> None:
        self.is_wake = is_wake()

    def open(self) -> None:
        """Must be called in every waking: deep sleep keeps what the ULP needs only when told to."""
        try:
            esp32.wake_on_ulp(True)
        except (AttributeError, ValueError):  # no ULP, or a wake pin (ext0) that excludes it
            raise OSError(_ENODEV) from None

    def read(self, address: int) -> int:
        """A word; the coprocessor's values are the lower half."""
        return mem32[_MEMORY + address] & 0xFFFFFFFF

    def write(self, address: int, value: int) -> None:
        """Replace a word."""
        mem32[_MEMORY + address] = value

    def load(self, program: bytes) -> None:
        """Replace the program, from address 0 on."""
        esp32.ULP().load_binary(0, program)

    def run(self, entry: int, period_us: int) -> None:
        """Let the timer start the program at `entry` every period."""
        ulp = esp32.ULP()
        ulp.set_wakeup_period(0, period_us)
        ulp.run(entry)
