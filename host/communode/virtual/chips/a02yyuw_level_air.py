# SPDX-License-Identifier: MIT
"""A02YYUW over water in air of any temperature."""

from __future__ import annotations

import random

from communode.virtual.chips.a02yyuw_air import in_air
from communode.virtual.chips.a02yyuw_level import A02yyuwLevel
from communode.virtual.chips.a02yyuw_level import tolerance as at_its_temperature

_FAR_M = 4.0


def tolerance(name: str, value: float) -> float:
    """Error (m) of a level: the sensor's, and that of the thermometer at the far end of its range."""
    return at_its_temperature(name, value) + 0.2 * 0.0018 * _FAR_M


class A02yyuwLevelAir(A02yyuwLevel):
    """The sensor over waves with a fixed speed of sound; setting assumed_degc as in a02yyuw_air."""

    def _frame(self, time_us: int, rng: random.Random) -> bytes:
        return in_air(self, super()._frame(time_us, rng), time_us)
