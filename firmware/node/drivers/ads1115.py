# SPDX-License-Identifier: MIT
# ADS1115: a 4-20 mA level probe over a shunt, single-ended, by single shots. DS = TI SBAS444E, December 2024.
#
# Settings: full_scale_mm is the level at 20 mA, zero_mm is added (height of the probe above the datum). The
# probe's power gate is on from start(): it needs warm_up_ms, the chip only a conversion of 8 ms in read().
# The range is 4.096 V: over 100 ohm, 2.048 V would end at 20.48 mA, and a faulty loop (21 mA) look sound.

from ..schema.quantities import FAULT, GOOD, WATER_LEVEL
from .ads1115_input import RANGE_4V, Ads1115Input
from .loop_current import loop_reading
from .reading import TRIES, TYPE_CHECKING, BadAnswer, bad_quality, without_value

if TYPE_CHECKING:
    from .reading import I2c, Reading, SleepMs

QUANTITIES = (WATER_LEVEL,)


class Ads1115:
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
    ) -> None:
        self._input = Ads1115Input(i2c, sleep_ms, address, channel, RANGE_4V)
        self._full_scale_mm = full_scale_mm
        self._shunt_mohm = shunt_mohm
        self._zero_mm = zero_mm
        self._warm_up_ms = warm_up_ms
        self._lost = FAULT

    def start(self) -> int:
        for _ in range(TRIES):
            try:
                self._input.probe()
                self._lost = GOOD
                return self._warm_up_ms
            except OSError as error:
                self._lost = bad_quality(error)
        return 0

    def read(self) -> "tuple[Reading, ...]":
        if self._lost != GOOD:
            return without_value(QUANTITIES, self._lost)
        for _ in range(TRIES):
            try:
                level, quality = loop_reading(self._input.microvolts(), self._shunt_mohm, self._full_scale_mm)
            except BadAnswer:
                break  # it had its three waits
            except OSError:
                continue
            return ((WATER_LEVEL, level if level is None else level + self._zero_mm, quality),)
        return without_value(QUANTITIES, FAULT)

    def stop(self) -> None:
        # After a single shot the chip powers itself down.
        pass


Sensor = Ads1115
