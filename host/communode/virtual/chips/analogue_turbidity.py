# SPDX-License-Identifier: MIT
"""A nephelometric turbidity probe with a voltage output that drifts a little with temperature."""

from __future__ import annotations

from typing import ClassVar

from communode.virtual.chips.analogue_probe import AnalogueProbe


def tolerance(name: str, value: float) -> float:
    """Error (NTU): 5 % of reading and 1."""
    if name != "turbidity_ntu":
        raise KeyError(name)
    return 1 + 0.05 * value


class AnalogueTurbidity(AnalogueProbe):
    """The probe."""

    defaults: ClassVar[dict[str, int]] = {
        "zero_uv": 0,
        "full_scale_uv": 2_500_000,
        "full_scale_ntu": 1000,
        "drift": 0,
    }

    def output(self, time_us: int) -> float:
        """Volts between its two ends, and not beyond the upper one."""
        zero, span = self.setting("zero_uv"), self.setting("full_scale_uv") - self.setting("zero_uv")
        celsius = self.env.world.value("water_temperature_c", time_us)
        warmer = 1 + self.setting("drift") / 1e4 * (celsius - 25)
        ntu = self.measured("turbidity_ntu", time_us, 0.1) * warmer * self._probe_gain
        return (zero + ntu / self.setting("full_scale_ntu") * span) / 1e6
