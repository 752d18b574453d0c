# SPDX-License-Identifier: MIT
# Battery voltage through the board's divider and the chip's calibrated ADC (machine.ADC.read_uv).
# ratio_permille is the board's: battery voltage / pin voltage * 1000. Switching the divider on is wiring's.

from micropython import const

from ..schema.quantities import ABSENT, BATTERY, GOOD
from .reading import TYPE_CHECKING, without_value

if TYPE_CHECKING:
    from .reading import Adc, Reading, SleepMs

_SAMPLES = const(8)  # the ADC's noise is tens of millivolts at the battery
_LOW_MV = const(500)  # below, nothing is connected: the node runs from USB

QUANTITIES = (BATTERY,)


class Battery:
    def __init__(self, adc: "Adc", sleep_ms: "SleepMs", ratio_permille: int = 2000) -> None:
        self._adc = adc
        self._ratio_permille = ratio_permille

    def start(self) -> int:
        return 0

    def read(self) -> "tuple[Reading, ...]":
        total = 0
        try:
            for _ in range(_SAMPLES):
                total += self._adc.read_uv()
        except OSError:
            return without_value(QUANTITIES, ABSENT)
        millivolts = total // _SAMPLES * self._ratio_permille // 1_000_000
        if millivolts < _LOW_MV:
            return without_value(QUANTITIES, ABSENT)
        return ((BATTERY, millivolts, GOOD),)

    def stop(self) -> None:
        pass


Sensor = Battery
