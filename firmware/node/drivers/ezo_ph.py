# SPDX-License-Identifier: MIT
# Atlas EZO-pH: pH 0.001 to 14, compensated for the water's temperature. The calibration is the circuit's own.

from micropython import const

from ..schema.quantities import PH
from .ezo import Ezo
from .reading import TYPE_CHECKING

if TYPE_CHECKING:
    from .reading import I2c, SleepMs

_ADDRESS = const(0x63)

QUANTITIES = (PH,)


class EzoPh(Ezo):
    def __init__(self, i2c: "I2c", sleep_ms: "SleepMs") -> None:
        super().__init__(i2c, sleep_ms, _ADDRESS, PH, 3)
        self._limits = (0, 14_000)


Sensor = EzoPh
