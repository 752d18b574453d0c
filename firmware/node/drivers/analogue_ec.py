# SPDX-License-Identifier: MIT
# Conductivity from a cell with a voltage output, on an ADS1115, referred to 25 degC.
#
# EC25 = EC / (1 + a (T - 25)). Settings: zero_uv, the output in air; uv_per_ms, the output a mS/cm; a in
# 1/10000 per degree (191: the usual mean for natural water, as ISO 7888 has it between 0 and 25 degC),
# full_scale_us.

from micropython import const

from ..schema.quantities import CLAMPED, CONDUCTIVITY, FAULT, GOOD
from .analogue_probe import REFERENCE_MDEGC, AnalogueProbe
from .reading import TYPE_CHECKING

if TYPE_CHECKING:
    from .reading import I2c, SleepMs

_BELOW_ZERO_UV = const(-20_000)  # an output so far below its zero is no cell's

QUANTITIES = (CONDUCTIVITY,)


def at_25(conductivity: int, temperature: int, coefficient: int) -> int:
    # uS/cm at 25 degC; temperature in 0.001 degC, coefficient in 1/10000 per degree.
    return conductivity * 10_000_000 // (10_000_000 + coefficient * (temperature - REFERENCE_MDEGC))


class AnalogueEc(AnalogueProbe):
    def __init__(
        self,
        i2c: "I2c",
        sleep_ms: "SleepMs",
        address: int = 0x48,
        channel: int = 0,
        zero_uv: int = 0,
        uv_per_ms: int = 1_000_000,
        coefficient: int = 191,
        full_scale_us: int = 2000,
        warm_up_ms: int = 1000,
    ) -> None:
        super().__init__(i2c, sleep_ms, address, channel, warm_up_ms)
        self._code = CONDUCTIVITY
        self._zero_uv = zero_uv
        self._uv_per_ms = uv_per_ms
        self._coefficient = coefficient
        self._full_scale_us = full_scale_us

    def _value(self, microvolts: int, temperature: int) -> "tuple[int | None, int]":
        microvolts -= self._zero_uv
        if microvolts < _BELOW_ZERO_UV:
            return None, FAULT
        value = max(0, microvolts) * 1000 // self._uv_per_ms
        quality = CLAMPED if self._input.saturated or value > self._full_scale_us else GOOD
        return at_25(min(value, self._full_scale_us), temperature, self._coefficient), quality


Sensor = AnalogueEc
