# SPDX-License-Identifier: MIT
"""The reed contact of a water meter at a pin of the ULP, with a pull-up of its own: closed is 0.

A magnet on the meter's wheel closes the contact as a litres_per_pulse begins, and opens it CLOSED_PART later; where
the wheel stops, the contact stays. Each change bounces for up to BOUNCE_US. What counts the pulses is not here: see
`communode.virtual.ulp`. A meter has no fault that this driver could see but one that closes no more (``stuck``).
"""

from __future__ import annotations

import math
import random
from typing import Any

from communode.virtual.chips.chip import Environment
from communode.virtual.chips.sensing import SensorChip

CLOSED_PART = 0.4
BOUNCE_US = 3000  # reed contacts of meters: below 5 ms
_BOUNCES = 8
_HORIZON_US = 3_600_000_000  # how far ahead a change is looked for


def tolerance(name: str, value: float) -> float:
    """Error (L): the pulse that has not come yet."""
    if name != "water_index_l":
        raise KeyError(name)
    return 1.0


class PulseUlp(SensorChip):
    """The contact; setting litres_per_pulse."""

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self._litres_per_pulse = int(settings.get("litres_per_pulse", 1))
        self._seed = env.rng.getrandbits(32)

    def _edge(self, time_us: int) -> int:
        """How often the contact has changed up to ``time_us``: even while it is closed."""
        if "stuck" in self.faults:
            return 1
        pulses = self.env.world.value("water_index_l", time_us) / self._litres_per_pulse + 1e-9
        return 2 * math.floor(pulses) + (pulses % 1 >= CLOSED_PART)

    def _when(self, edge: int, low_us: int, high_us: int) -> int:
        """The first time after ``low_us`` at which that many changes have been, known to be by ``high_us``."""
        while high_us - low_us > 1:
            middle_us = (low_us + high_us) // 2
            if self._edge(middle_us) >= edge:
                high_us = middle_us
            else:
                low_us = middle_us
        return high_us

    def _bounces(self, edge: int, edge_us: int) -> list[int]:
        """Times at which the contact flips once more after its change number ``edge``: an even number."""
        rng = random.Random(self._seed ^ edge)
        count = 2 * rng.randrange(_BOUNCES // 2 + 1)
        return sorted(edge_us + rng.randrange(1, BOUNCE_US) for _ in range(count))

    def _flips(self, time_us: int) -> list[int]:
        edge = self._edge(time_us)
        if self._edge(time_us - BOUNCE_US) == edge:
            return []
        return self._bounces(edge, self._when(edge, time_us - BOUNCE_US, time_us))

    def level(self, time_us: int) -> int:
        """What the pin shows."""
        flipped = sum(flip_us <= time_us for flip_us in self._flips(time_us))
        return (self._edge(time_us) + flipped) & 1

    def next_change(self, time_us: int) -> int:
        """A time after ``time_us`` before which the level does not change."""
        for flip_us in self._flips(time_us):
            if flip_us > time_us:
                return flip_us
        edge, end_us = self._edge(time_us), time_us + _HORIZON_US
        return self._when(edge + 1, time_us, end_us) if self._edge(end_us) > edge else end_us
