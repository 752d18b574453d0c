# SPDX-License-Identifier: MIT
"""A02YYUW in air of any temperature: the echo's time is true, the speed of sound it computes with is not.

SOUND = 331.3 m/s sqrt(1 + T / 273.15 K), dry air (O. Cramer, JASA 93 (1993) 2510, at 0 degC and 0 % humidity).
"""

from __future__ import annotations

import math
import random

from communode.virtual.chips.a02yyuw import A02yyuw
from communode.virtual.chips.a02yyuw import tolerance as at_its_temperature

_FEELS_C = 0.2  # error of the thermometer that it is corrected by
_SERIES = ("bin_distance_mm", "bin_fill_pct")


def tolerance(name: str, value: float) -> float:
    """Error: the sensor's, and 0.18 % a degree of the thermometer's."""
    if name not in _SERIES:
        raise KeyError(name)
    distance = value if name == "bin_distance_mm" else 1500 - 13 * value
    thermometer = _FEELS_C * 0.0018 * distance
    return at_its_temperature(name, value) + (thermometer if name == "bin_distance_mm" else thermometer / 13)


def in_air(chip: A02yyuw, frame: bytes, time_us: int) -> bytes:
    """What a sensor whose speed of sound is that of setting ``assumed_degc`` (20) makes of a right ``frame``."""
    distance = frame[1] << 8 | frame[2]
    if not distance or chip.faults & {"wrong_crc", "stuck"}:
        return frame
    air = 273.15 + chip.env.world.value("temperature_c", time_us)
    taken = 273.15 + float(chip.settings.get("assumed_degc", 20))
    shown = round(distance * math.sqrt(taken / air))
    data = bytes([0xFF, shown >> 8, shown & 0xFF])
    return data + bytes([sum(data) & 0xFF])


class A02yyuwAir(A02yyuw):
    """The sensor with a fixed speed of sound; setting assumed_degc is the temperature that it stands for."""

    def _frame(self, time_us: int, rng: random.Random) -> bytes:
        return in_air(self, super()._frame(time_us, rng), time_us)
