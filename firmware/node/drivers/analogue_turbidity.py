# SPDX-License-Identifier: MIT
# Turbidity from a probe that scatters infrared light (ISO 7027) and gives a voltage, on an ADS1115.
#
# Settings: zero_uv, the output in clear water; full_scale_uv and full_scale_ntu, the other end; drift, how
# much of the reading the probe gains a degree above 25 degC, in 1/10000 (its data sheet's; 0 if it
# compensates itself). Cheap probes that let light through instead of scattering it (SEN0189) do not measure
# NTU in this sense.

from micropython import const

from ..schema.quantities import CLAMPED, FAULT, GOOD, TURBIDITY
from .analogue_probe import REFERENCE_MDEGC, AnalogueProbe
from .reading import TYPE_CHECKING

if TYPE_CHECKING:
    from .reading import I2c, SleepMs

_SLACK_UV = const(20_000)

QUANTITIES = (TURBIDITY,)


class AnalogueTurbidity(AnalogueProbe):
    def __init__(
        self,
        i2c: "I2c",
        sleep_ms: "SleepMs",
        address: int = 0x48,
        channel: int = 0,
        zero_uv: int = 0,
        full_scale_uv: int = 2_500_000,
        full_scale_ntu: int = 1000,
        drift: int = 0,
        warm_up_ms: int = 1000,
    ) -> None:
        super().__init__(i2c, sleep_ms, address, channel, warm_up_ms)
        self._code = TURBIDITY
        self._zero_uv = zero_uv
        self._span_uv = full_scale_uv - zero_uv
        self._full_scale = full_scale_ntu * 10
        self._drift = drift

    def _value(self, microvolts: int, temperature: int) -> "tuple[int | None, int]":
        microvolts -= self._zero_uv
        if microvolts < -_SLACK_UV:
            return None, FAULT
        if self._input.saturated or microvolts > self._span_uv + _SLACK_UV:
            return self._full_scale, CLAMPED
        value = max(0, microvolts) * self._full_scale // self._span_uv
        value = value * 10_000_000 // (10_000_000 + self._drift * (temperature - REFERENCE_MDEGC))
        return min(value, self._full_scale), GOOD


Sensor = AnalogueTurbidity
