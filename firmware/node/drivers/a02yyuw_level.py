# SPDX-License-Identifier: MIT
# A02YYUW looking down on water: level above a datum, with the spread and the number of what was heard.
#
# Waves and drops make single echoes wrong: all frames of the waiting time are taken, outliers go (Hampel),
# the median stays. Nothing is corrected for the air's temperature: a02yyuw_level_air does that. Settings:
# mount_mm is its height above the datum; listen_ms how long it listens, at 100 ms to 300 ms a frame, 256 bytes
# at most (64 frames).

from micropython import const

from ..sampling.filters import summarise
from ..schema.quantities import (
    ABSENT,
    FAULT,
    GOOD,
    TOO_FEW_SAMPLES,
    WATER_LEVEL,
    WATER_LEVEL_COUNT,
    WATER_LEVEL_SPREAD,
)
from .a02yyuw import distances
from .reading import TYPE_CHECKING, without_value

if TYPE_CHECKING:
    from .reading import Reading, SleepMs, Uart

_FEW = const(5)
_STARTUP_MS = const(700)

QUANTITIES = (WATER_LEVEL, WATER_LEVEL_SPREAD, WATER_LEVEL_COUNT)


class A02yyuwLevel:
    def __init__(
        self, uart: "Uart", sleep_ms: "SleepMs", mount_mm: int = 4000, listen_ms: int = 5000
    ) -> None:
        self._uart = uart
        self._mount_mm = mount_mm
        self._listen_ms = listen_ms
        self._codes: tuple[int, ...] = QUANTITIES

    def start(self) -> int:
        self._uart.read()  # frames of before
        return _STARTUP_MS + self._listen_ms

    def read(self) -> "tuple[Reading, ...]":
        data = self._uart.read()
        if not data:
            return without_value(self._codes, ABSENT)
        samples = distances(data)
        if not samples:
            return without_value(self._codes, FAULT)
        distance, spread, count = summarise(samples)
        quality = GOOD if count >= _FEW else TOO_FEW_SAMPLES
        return self._levels(distance, quality) + (
            (WATER_LEVEL_SPREAD, spread, GOOD),
            (WATER_LEVEL_COUNT, min(count, 30), GOOD),
        )

    def _levels(self, distance: int, quality: int) -> "tuple[Reading, ...]":
        return ((WATER_LEVEL, self._mount_mm - distance, quality),)

    def stop(self) -> None:
        # Only its power gate stops it.
        pass


Sensor = A02yyuwLevel
