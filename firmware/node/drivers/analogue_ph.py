# SPDX-License-Identifier: MIT
# pH from a glass electrode behind an amplifier with a voltage output, on an ADS1115.
#
# The electrode's slope is Nernst's: 59.16 mV a pH at 25 degC, in proportion to the absolute temperature; pH 7
# is 0 V at any. Settings, as two buffers gave them: zero_uv, the output in pH 7.00, and uv_per_ph, how much
# the output falls a pH at 25 degC (negative where it rises).

from micropython import const

from ..schema.quantities import CLAMPED, FAULT, GOOD, PH
from .analogue_probe import AnalogueProbe
from .reading import TYPE_CHECKING

if TYPE_CHECKING:
    from .reading import I2c, SleepMs

_KELVIN_25 = const(298_150)
_KELVIN_0 = const(273_150)
_BEYOND = const(1_000)  # so far beyond 0..14 nothing but a loose cable can be

QUANTITIES = (PH,)


def ph(microvolts: int, zero_uv: int, uv_per_ph: int, temperature: int) -> int:
    # pH * 1000; temperature in 0.001 degC.
    fall = (zero_uv - microvolts) * 1000
    return 7000 + fall * _KELVIN_25 // (uv_per_ph * (temperature + _KELVIN_0))


class AnaloguePh(AnalogueProbe):
    def __init__(
        self,
        i2c: "I2c",
        sleep_ms: "SleepMs",
        address: int = 0x48,
        channel: int = 0,
        zero_uv: int = 1_500_000,
        uv_per_ph: int = 178_000,
        warm_up_ms: int = 1000,
    ) -> None:
        super().__init__(i2c, sleep_ms, address, channel, warm_up_ms)
        self._code = PH
        self._zero_uv = zero_uv
        self._uv_per_ph = uv_per_ph

    def _value(self, microvolts: int, temperature: int) -> "tuple[int | None, int]":
        value = ph(microvolts, self._zero_uv, self._uv_per_ph, temperature)
        if self._input.saturated or not -_BEYOND <= value <= 14_000 + _BEYOND:
            return None, FAULT
        if not 0 <= value <= 14_000:
            return min(max(value, 0), 14_000), CLAMPED
        return value, GOOD


Sensor = AnaloguePh
