# SPDX-License-Identifier: MIT
# ADS1115: a 4-20 mA level probe over a shunt, single-ended, by single shots. DS = TI SBAS444E, December 2024.
#
# Settings: full_scale_mm is the level at 20 mA, zero_mm is added (height of the probe above the datum). The
# probe's power gate is on from start(): it needs warm_up_ms, the chip only a conversion of 8 ms in read().

from micropython import const

from ..schema.quantities import FAULT, GOOD, WATER_LEVEL
from .loop_current import loop_reading
from .reading import TRIES, TYPE_CHECKING, BadAnswer, bad_quality, without_value

if TYPE_CHECKING:
    from .reading import I2c, Reading, SleepMs

_CONVERSION = const(0)
_CONFIG = const(1)
# OS = start, MUX = AINn to ground (+ n << 12), PGA +-2.048 V, single shot, 128 SPS, comparator off.
_SINGLE_SHOT = const(0xC583)
_IDLE_BIT = const(0x80)  # OS in the high byte when read
_LSB_NV = const(62_500)  # DS table 7-1
_CONVERSION_MS = const(9)  # 1 / 128 SPS + 10 % (DS 5.5)

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
        self._i2c = i2c
        self._sleep_ms = sleep_ms
        self._address = address
        self._config = _SINGLE_SHOT + (channel << 12)
        self._full_scale_mm = full_scale_mm
        self._shunt_mohm = shunt_mohm
        self._zero_mm = zero_mm
        self._warm_up_ms = warm_up_ms
        self._two = bytearray(2)
        self._lost = FAULT

    def start(self) -> int:
        for _ in range(TRIES):
            try:
                self._i2c.readfrom_mem_into(self._address, _CONFIG, self._two)
                self._lost = GOOD
                return self._warm_up_ms
            except OSError as error:
                self._lost = bad_quality(error)
        return 0

    def microvolts(self) -> int:
        # One conversion. Raises OSError; BadAnswer when it does not end.
        self._two[0] = self._config >> 8
        self._two[1] = self._config & 0xFF
        self._i2c.writeto_mem(self._address, _CONFIG, self._two)
        for _ in range(TRIES):
            self._sleep_ms(_CONVERSION_MS)
            self._i2c.readfrom_mem_into(self._address, _CONFIG, self._two)
            if self._two[0] & _IDLE_BIT:
                break
        else:
            raise BadAnswer
        self._i2c.readfrom_mem_into(self._address, _CONVERSION, self._two)
        code = self._two[0] << 8 | self._two[1]
        if code & 0x8000:
            code -= 0x10000
        return code * _LSB_NV // 1000

    def read(self) -> "tuple[Reading, ...]":
        if self._lost != GOOD:
            return without_value(QUANTITIES, self._lost)
        for _ in range(TRIES):
            try:
                level, quality = loop_reading(self.microvolts(), self._shunt_mohm, self._full_scale_mm)
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
