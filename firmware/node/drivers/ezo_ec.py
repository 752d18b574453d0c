# SPDX-License-Identifier: MIT
# Atlas EZO-EC: conductivity at 25 degC in uS/cm, 0.07 to 500 000 by probe; its output is set to EC alone.

from micropython import const

from ..schema.quantities import CONDUCTIVITY
from .ezo import Ezo
from .reading import TYPE_CHECKING

if TYPE_CHECKING:
    from .reading import I2c, SleepMs

_ADDRESS = const(0x64)

QUANTITIES = (CONDUCTIVITY,)


class EzoEc(Ezo):
    def __init__(self, i2c: "I2c", sleep_ms: "SleepMs") -> None:
        super().__init__(i2c, sleep_ms, _ADDRESS, CONDUCTIVITY, 0)
        self._limits = (-1, 131_070)


Sensor = EzoEc
