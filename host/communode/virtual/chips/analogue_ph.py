# SPDX-License-Identifier: MIT
"""A glass electrode with its amplifier: Nernst's slope at the water's own temperature."""

from __future__ import annotations

from typing import ClassVar

from communode.virtual.chips.analogue_probe import AnalogueProbe


def tolerance(name: str, value: float) -> float:
    """Error: 0.1 pH, with an electrode that was calibrated with two buffers."""
    if name != "ph":
        raise KeyError(name)
    return 0.1


class AnaloguePh(AnalogueProbe):
    """The electrode."""

    defaults: ClassVar[dict[str, int]] = {"zero_uv": 1_500_000, "uv_per_ph": 178_000}

    def output(self, time_us: int) -> float:
        """7 is zero_uv at any temperature."""
        kelvin = self.env.world.value("water_temperature_c", time_us) + 273.15
        away = self.measured("ph", time_us, 0.005) - 7
        slope = self.setting("uv_per_ph") / 1e6 * kelvin / 298.15
        return self.setting("zero_uv") / 1e6 - away * slope * self._probe_gain
