# SPDX-License-Identifier: MIT
"""EZO-EC and its cell, set to give conductivity alone. DS = EZO-EC datasheet V6.5."""

from __future__ import annotations

from communode.virtual.chips.ezo import Ezo

_PER_DEGREE = 0.0191


def tolerance(name: str, value: float) -> float:
    """Error (uS/cm): 2 % of reading (DS), and the last digit."""
    if name != "conductivity_us_cm":
        raise KeyError(name)
    return 1 + 0.02 * value


class EzoEc(Ezo):
    """EZO-EC with a cell of K = 1.0."""

    addresses = (0x64,)
    kind = "EC"
    limits = (0.0, 500_000.0)
    decimals = 1

    def shown(self, celsius: float, time_us: int) -> float:
        """What the water conducts at its temperature, referred to 25 degC by the temperature it was told."""
        at_25 = self.measured("conductivity_us_cm", time_us, 0.3) * (1 + 0.02 * self._bias)
        here = at_25 * (1 + _PER_DEGREE * (celsius - 25))
        return max(0.0, here / (1 + _PER_DEGREE * (self.told_c - 25)))
