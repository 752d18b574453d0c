# SPDX-License-Identifier: MIT
"""A02YYUW over water: the same sensor as over a bin, under a bridge."""

from __future__ import annotations

import random

from communode.virtual.chips.a02yyuw import A02yyuw
from communode.virtual.chips.a02yyuw import tolerance as distance_tolerance

_WAVE_MM = 4.0  # standard deviation of what waves add


def tolerance(name: str, value: float) -> float:
    """Error (m) of a level: the distance's, at the far end of its range."""
    if name != "water_level_m":
        raise KeyError(name)
    return (distance_tolerance("bin_distance_mm", 4000) + _WAVE_MM) / 1000


class A02yyuwLevel(A02yyuw):
    """The sensor over waves."""

    series = "water_distance_mm"

    def _frame(self, time_us: int, rng: random.Random) -> bytes:
        frame = super()._frame(time_us, rng)
        distance = frame[1] << 8 | frame[2]
        if not distance or "wrong_crc" in self.faults or "stuck" in self.faults:
            return frame
        distance = max(30, min(4500, distance + round(rng.gauss(0, _WAVE_MM))))
        if rng.random() < 0.03:  # a drop, a branch: an echo from nearer
            distance = max(30, distance // 2)
        data = bytes([0xFF, distance >> 8, distance & 0xFF])
        return data + bytes([sum(data) & 0xFF])
