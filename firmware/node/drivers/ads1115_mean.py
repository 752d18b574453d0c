# SPDX-License-Identifier: MIT
# ADS1115: the 4-20 mA level probe of ads1115.py, oversampled: the mean of many conversions, their spread and
# number.
#
# For probes whose noise is several steps wide - long cables beside mains, scales of ten metres and more - or
# whose spread is worth knowing. Setting `samples`: 9 ms each; 16 make the noise a quarter. One conversion that
# shows a faulty loop is enough for FAULT: a mean of sound and faulty ones would look like a level.

from micropython import const

from ..sampling.filters import average
from ..schema.quantities import (
    FAULT,
    GOOD,
    WATER_LEVEL,
    WATER_LEVEL_COUNT,
    WATER_LEVEL_SPREAD,
)
from .ads1115 import Ads1115
from .loop_current import loop_reading
from .reading import TRIES, TYPE_CHECKING, BadAnswer, without_value

if TYPE_CHECKING:
    from .reading import I2c, Reading, SleepMs

_STEP_UV = const(125)  # of the range of 4.096 V
_MOST = const(30)  # that the count takes on air

QUANTITIES = (WATER_LEVEL, WATER_LEVEL_SPREAD, WATER_LEVEL_COUNT)


class Ads1115Mean(Ads1115):
    def __init__(
        self,
        i2c: "I2c",
        sleep_ms: "SleepMs",
        address: int = 0x48,
        channel: int = 0,
        full_scale_mm: int = 4000,
        shunt_mohm: int = 100000,
        zero_mm: int = 0,
        warm_up_ms: int = 2000,
        samples: int = 16,
    ) -> None:
        super().__init__(i2c, sleep_ms, address, channel, full_scale_mm, shunt_mohm, zero_mm, warm_up_ms)
        self._samples = samples

    def read(self) -> "tuple[Reading, ...]":
        if self._lost != GOOD:
            return without_value(QUANTITIES, self._lost)
        samples: list[int] = []
        for _ in range(self._samples + TRIES - 1):
            try:
                samples.append(self._input.microvolts())
            except BadAnswer:
                break  # it had its three waits
            except OSError:
                continue
            if self._level(samples[-1])[0] is None:
                break
            if len(samples) == self._samples:
                return self._judged(samples)
        return without_value(QUANTITIES, FAULT)

    def _level(self, microvolts: int) -> "tuple[int | None, int]":
        return loop_reading(microvolts, self._shunt_mohm, self._full_scale_mm)

    def _judged(self, samples: "list[int]") -> "tuple[Reading, ...]":
        microvolts, spread, count = average(samples, _STEP_UV)
        level, quality = self._level(microvolts)
        nanoamperes = spread * 1_000_000 // self._shunt_mohm
        return (
            (WATER_LEVEL, level if level is None else level + self._zero_mm, quality),
            (WATER_LEVEL_SPREAD, nanoamperes * self._full_scale_mm // 16_000_000, GOOD),
            (WATER_LEVEL_COUNT, min(count, _MOST), GOOD),
        )


Sensor = Ads1115Mean
