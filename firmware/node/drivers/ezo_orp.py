# SPDX-License-Identifier: MIT
# Atlas EZO-ORP: redox potential, -1019.9 mV to 1019.9 mV. It has no temperature compensation.

from micropython import const

from ..schema.quantities import ORP
from .ezo import Ezo
from .reading import TYPE_CHECKING

if TYPE_CHECKING:
    from .reading import I2c, SleepMs

_ADDRESS = const(0x62)

QUANTITIES = (ORP,)


class EzoOrp(Ezo):
    def __init__(self, i2c: "I2c", sleep_ms: "SleepMs") -> None:
        super().__init__(i2c, sleep_ms, _ADDRESS, ORP, 1)
        self._limits = (-10_199, 10_199)
        self._compensates = False


Sensor = EzoOrp
