# SPDX-License-Identifier: MIT
"""A conductivity cell with its amplifier: it measures at the water's own temperature, 1.91 % a degree."""

from __future__ import annotations

from typing import ClassVar

from communode.virtual.chips.analogue_probe import AnalogueProbe


def tolerance(name: str, value: float) -> float:
    """Error (uS/cm): 2 % of reading and 5."""
    if name != "conductivity_us_cm":
        raise KeyError(name)
    return 5 + 0.02 * value


class AnalogueEc(AnalogueProbe):
    """The cell."""

    defaults: ClassVar[dict[str, int]] = {"zero_uv": 0, "uv_per_ms": 1_000_000, "coefficient": 191}

    def output(self, time_us: int) -> float:
        """Volts in proportion to the conductivity that there is, not to that at 25 degC."""
        celsius = self.env.world.value("water_temperature_c", time_us)
        warmer = 1 + self.setting("coefficient") / 1e4 * (celsius - 25)
        here = self.measured("conductivity_us_cm", time_us, 0.5) * warmer
        return (self.setting("zero_uv") + here / 1000 * self.setting("uv_per_ms") * self._probe_gain) / 1e6
