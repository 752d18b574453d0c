# SPDX-License-Identifier: MIT
# Atlas EZO-DO: dissolved oxygen in mg/L, 0.01 to 100; its output is set to mg/L alone.

from micropython import const

from ..schema.quantities import DISSOLVED_OXYGEN
from .ezo import Ezo
from .reading import TYPE_CHECKING

if TYPE_CHECKING:
    from .reading import I2c, SleepMs

_ADDRESS = const(0x61)

QUANTITIES = (DISSOLVED_OXYGEN,)


class EzoDo(Ezo):
    def __init__(self, i2c: "I2c", sleep_ms: "SleepMs") -> None:
        super().__init__(i2c, sleep_ms, _ADDRESS, DISSOLVED_OXYGEN, 2)
        self._limits = (-1, 10_000)


Sensor = EzoDo
