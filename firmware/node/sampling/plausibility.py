# SPDX-License-Identifier: MIT
# Readings that cannot be true as they are: a sensor that repeats itself, an echo in a bin that leans, sound in
# air of another temperature. Pure. What readings mean is in rules.py.

from micropython import const

from ..schema.quantities import DISTANCE, FILL_LEVEL, GOOD, OUT_OF_CALIBRATION, TILT

_NONE = const(-1)


class RepetitionWatch:
    """A value that repeats itself to the last digit, which noise forbids: fires after `limit` in a row."""

    def __init__(self, limit: int = 6) -> None:
        self._limit = limit
        self.restore((_NONE, 0))

    def restore(self, state: "tuple[int, ...]") -> None:
        """Go on from what `state` gave."""
        self._value, self._count = state

    def state(self) -> "tuple[int, ...]":
        """Everything that must outlive a sleep."""
        return self._value, self._count

    def feed(self, value: int) -> bool:
        """Take a value; return whether it is to be called STALE."""
        self._count = self._count + 1 if self._count and value == self._value else 1
        self._value = value
        return self._count >= self._limit


def suppress_tilted(readings: "dict[int, tuple[int | None, int]]", limit_ddeg: int = 300) -> None:
    """Drop distance and fill level of a bin that leans: the echo comes from somewhere else.

    They become OUT_OF_CALIBRATION without value: the geometry that they are computed for does not hold.
    """
    tilt, quality = readings.get(TILT, (None, GOOD))
    if tilt is None or quality != GOOD or tilt < limit_ddeg:
        return
    for code in (DISTANCE, FILL_LEVEL):
        if code in readings:
            readings[code] = (None, OUT_OF_CALIBRATION)


def compensate_sound(distance: int, temperature: int, assumed: int = 20_000) -> int:
    """A distance from an ultrasonic sensor that assumes one air temperature (0.001 degC), at another.

    Speed of sound goes with the square root of the absolute temperature: 0.18 % a degree.
    """
    return distance * _sound(temperature) // _sound(assumed)


def _sound(temperature: int) -> int:
    # 10**6 sqrt(1 + T / 273.15 K) by its series to the third power: error below 0.02 % from -30 to 60 degC.
    x = temperature * 1_000_000 // 273_150
    return 1_000_000 + x // 2 - x * x // 8_000_000 + x * x // 1_000_000 * x // 16_000_000
