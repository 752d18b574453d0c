# SPDX-License-Identifier: MIT
"""EZO-ORP and its electrode. DS = EZO-ORP datasheet V4.4."""

from __future__ import annotations

from communode.virtual.chips.ezo import Ezo


def tolerance(name: str, value: float) -> float:
    """Error (mV): 1 of the circuit (DS), 5 of an ordinary electrode."""
    if name != "orp_mv":
        raise KeyError(name)
    return 6.0


class EzoOrp(Ezo):
    """EZO-ORP."""

    addresses = (0x62,)
    kind = "ORP"
    limits = (-1019.9, 1019.9)
    decimals = 1

    def shown(self, celsius: float, time_us: int) -> float:
        """Temperature does not enter."""
        return self.measured("orp_mv", time_us, 0.5, 6 * self._bias)
