# SPDX-License-Identifier: MIT
"""A submersible level probe with a 4-20 mA output, behind a converter's shunt. Not a chip on a bus.

Figures of ordinary probes (0.25 % of full scale, ready one second after the supply); NAMUR NE 43 for its
limits: 3.8 mA to 20.5 mA when beyond its range, 3.6 mA or less when it has no value.
"""

from __future__ import annotations

from communode.virtual.chips.sensing import SensorChip

READY_US = 1_000_000
_FULL_SCALE_M = 4.0
_FAULT_MA = 3.5


def tolerance(name: str, value: float) -> float:
    """Error (m): 0.25 % of full scale from the probe, 0.25 % of reading from shunt and converter."""
    if name != "water_level_m":
        raise KeyError(name)
    # The converter's gain acts on the whole current, of which 4 mA stand for nothing: a quarter of the scale.
    return 0.0025 * _FULL_SCALE_M + 0.0025 * (value + _FULL_SCALE_M / 4)


class LoopTransmitter:
    """The probe; it takes its settings, faults and supply from the chip that measures its current."""

    def __init__(self, chip: SensorChip) -> None:
        self._chip = chip
        full_scale_mm = int(chip.settings.get("full_scale_mm", round(_FULL_SCALE_M * 1000)))
        self._full_scale_m = full_scale_mm / 1000
        self._zero_m = int(chip.settings.get("zero_mm", 0)) / 1000
        self._bias_m = chip.env.rng.uniform(-0.001, 0.001) * self._full_scale_m
        self.begin()

    def begin(self) -> None:
        """The supply came on."""
        self._since_us = self._chip.env.now_us()

    def milliamperes(self, time_us: int) -> float:
        """The loop's current."""
        if "saturated" in self._chip.faults:
            return 20.8
        if time_us < self._since_us + READY_US or "warming_up" in self._chip.faults:
            return _FAULT_MA
        noise = 0.0002 * self._full_scale_m
        level = self._chip.measured("water_level_m", time_us, noise, self._bias_m) - self._zero_m
        return max(3.8, min(20.5, 4 + 16 * level / self._full_scale_m))
