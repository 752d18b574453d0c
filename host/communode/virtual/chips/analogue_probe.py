# SPDX-License-Identifier: MIT
"""What probes with a voltage output on an input of an ADS1115 have in common.

A probe is cold for half a second after its supply came: its output is 0 V then.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from communode.virtual.chips.ads1115 import Ads1115

READY_US = 500_000


class AnalogueProbe(Ads1115):
    """One probe; settings as the driver's."""

    defaults: ClassVar[dict[str, int]] = {}

    def setting(self, name: str) -> int:
        """A setting or its default."""
        return int(self.settings.get(name, self.defaults[name]))

    def connect(self) -> None:
        """The probe at its input."""
        self._probe_gain = 1 + self.env.rng.uniform(-0.005, 0.005)
        self.begin_front_end()

    def begin_front_end(self) -> None:
        """The supply came on."""
        self._cold_until_us = self.env.now_us() + READY_US

    def volts(self, channel: int, time_us: int) -> float:
        """The probe's output, up to its supply of 3.3 V."""
        if channel != self.channel or time_us < self._cold_until_us or "warming_up" in self.faults:
            return 0.0
        if "saturated" in self.faults:
            return 5.0
        return max(0.0, min(3.3, self.output(time_us)))

    @abstractmethod
    def output(self, time_us: int) -> float:
        """The voltage for what there is to be measured."""
