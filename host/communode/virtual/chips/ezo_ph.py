# SPDX-License-Identifier: MIT
"""EZO-pH and its electrode. DS = EZO-pH datasheet V5.9."""

from __future__ import annotations

from communode.virtual.chips.ezo import Ezo


def tolerance(name: str, value: float) -> float:
    """Error: 0.002 of the circuit (DS), 0.02 of an ordinary electrode in fresh buffers."""
    if name != "ph":
        raise KeyError(name)
    return 0.022


class EzoPh(Ezo):
    """EZO-pH."""

    addresses = (0x63,)
    kind = "pH"
    limits = (0.0, 14.0)

    def shown(self, celsius: float, time_us: int) -> float:
        """The electrode's slope is the water's, the circuit's that of the temperature it was told."""
        away = self.measured("ph", time_us, 0.001, 0.02 * self._bias) - 7
        return 7 + away * (celsius + 273.15) / (self.told_c + 273.15)
