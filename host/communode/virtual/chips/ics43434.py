# SPDX-License-Identifier: MIT
"""ICS-43434, the I2S microphone. DS = TDK InvenSense DS-000069 revision 1.2.

Modelled: 24 bits in words of 32, sensitivity within 1 dB, start-up, clipping at full scale, an offset. The
sound is a tone of 1 kHz, where A-weighting is 0 dB, at the world's level: what the world knows are levels.
"""

from __future__ import annotations

import math
from array import array
from typing import Any

from communode.virtual.chips.chip import Environment, I2sChip
from communode.virtual.chips.sensing import SensorChip

_SENSITIVITY_DBFS = -26.0  # at 94 dB, 1 kHz
_START_UP_US = 83_000
_TONE_HZ = 1000
_FULL = (1 << 23) - 1
_OFFSET = 900  # of a direct voltage, in steps of 24 bits


def tolerance(name: str, value: float) -> float:
    """Sensitivity tolerance (dB): 1 (DS table 1), 0.1 of the computation, 0.2 of a histogram's bin."""
    if name != "laeq_db":
        raise KeyError(name)
    return 1.3


class Ics43434(SensorChip, I2sChip):
    """ICS-43434 with L/R low: the left channel."""

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self._error_db = env.rng.uniform(-0.8, 0.8)
        self._since_us = env.now_us()
        self._phase = 0

    def power(self, on: bool) -> None:
        """It starts up anew."""
        super().power(on)
        self._since_us = self.env.now_us()

    def i2s_read(self, count: int, rate_hz: int, until_us: int) -> bytes:
        """The tone, phase going on."""
        if "nack" in self.faults or until_us < self._since_us + _START_UP_US:
            return bytes(4 * count)
        if self.faults & {"stuck", "warming_up"}:
            return array("i", [_OFFSET << 8]).tobytes() * count
        level = self.env.world.value("laeq_db", until_us) + self._error_db
        if "saturated" in self.faults:
            level = 130.0
        peak = 10 ** ((level - 94 + _SENSITIVITY_DBFS) / 20) * _FULL
        period = rate_hz // math.gcd(rate_hz, _TONE_HZ)
        wave = [self._sample(peak, _TONE_HZ * n / rate_hz) for n in range(period)]
        words = array("i", [wave[(self._phase + n) % period] for n in range(count)])
        self._phase = (self._phase + count) % period
        return words.tobytes()

    def _sample(self, peak: float, turns: float) -> int:
        value = round(peak * math.sin(2 * math.pi * turns)) + _OFFSET
        return max(-_FULL - 1, min(_FULL, value)) << 8
