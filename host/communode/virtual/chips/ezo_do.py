# SPDX-License-Identifier: MIT
"""EZO-DO and its galvanic probe, set to give mg/L alone. DS = EZO-DO datasheet V4.1, December 2017."""

from __future__ import annotations

from communode.virtual.chips.ezo import Ezo


def tolerance(name: str, value: float) -> float:
    """Error (mg/L): 0.05 of the circuit (DS), 0.1 of the probe."""
    if name != "dissolved_oxygen_mg_l":
        raise KeyError(name)
    return 0.15


def saturation(celsius: float) -> float:
    """Oxygen in fresh water in equilibrium with air at sea level, mg/L (Elmore and Hayes, 1960)."""
    return 14.652 - 0.41022 * celsius + 0.007991 * celsius**2 - 0.000077774 * celsius**3


class EzoDo(Ezo):
    """EZO-DO."""

    addresses = (0x61,)
    kind = "DO"
    limits = (0.0, 100.0)
    decimals = 2

    def shown(self, celsius: float, time_us: int) -> float:
        """The probe feels the saturation; mg/L are computed with the temperature it was told."""
        oxygen = self.measured("dissolved_oxygen_mg_l", time_us, 0.01, 0.1 * self._bias)
        return max(0.0, oxygen / saturation(celsius) * saturation(self.told_c))
