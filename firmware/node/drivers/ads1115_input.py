# SPDX-License-Identifier: MIT
# One ADS1115 as a voltmeter: single shots on one of its inputs. Not a driver; the drivers of whatever is
# wired to it use it. DS = TI SBAS444E, December 2024.

from micropython import const

from .reading import TRIES, TYPE_CHECKING, BadAnswer

if TYPE_CHECKING:
    from .reading import I2c, SleepMs

_CONVERSION = const(0)
_CONFIG = const(1)
_LO_THRESH = const(2)  # of the comparator, which is off: 16 bits that forget when the supply fails
_MARK = const(0x2B17)
# OS = start, MUX = AINn to ground (+ n << 12), PGA 0 (+ code << 9), single shot, 128 SPS, comparator off.
_SINGLE_SHOT = const(0xC183)
_IDLE_BIT = const(0x80)  # OS in the high byte when read
_LSB_NV = (187_500, 125_000, 62_500, 31_250, 15_625, 7_812)  # by PGA code, DS table 7-1
_CONVERSION_MS = const(9)  # 1 / 128 SPS + 10 % (DS 5.5)
_FULL_SCALE = const(32767)

RANGE_4V = const(1)  # PGA codes: the inputs themselves end at the supply, 3.3 V
RANGE_2V = const(2)


class Ads1115Input:
    # `range_code` is the PGA code. Everything raises OSError when the chip does not answer.

    def __init__(self, i2c: "I2c", sleep_ms: "SleepMs", address: int, channel: int, range_code: int) -> None:
        self._i2c = i2c
        self._sleep_ms = sleep_ms
        self._address = address
        self._config = _SINGLE_SHOT + (channel << 12) + (range_code << 9)
        self._lsb_nv = _LSB_NV[range_code]
        self._two = bytearray(2)
        self.saturated = False  # whether a conversion of the last median stood at the end of the range

    def probe(self) -> None:
        # Whether it is there.
        self.register(_CONFIG)

    def mark(self) -> None:
        # Leave a mark that a failing supply wipes out: `check_mark` then raises BadAnswer.
        self.set_register(_LO_THRESH, _MARK)

    def check_mark(self) -> None:
        if self.register(_LO_THRESH) != _MARK:
            raise BadAnswer

    def register(self, number: int) -> int:
        self._i2c.readfrom_mem_into(self._address, number, self._two)
        return self._two[0] << 8 | self._two[1]

    def set_register(self, number: int, word: int) -> None:
        self._two[0] = word >> 8
        self._two[1] = word & 0xFF
        self._i2c.writeto_mem(self._address, number, self._two)

    def microvolts(self) -> int:
        # One conversion; BadAnswer when it does not end, or when the chip forgot what it was to convert.
        self.set_register(_CONFIG, self._config)
        for _ in range(TRIES):
            self._sleep_ms(_CONVERSION_MS)
            config = self.register(_CONFIG)
            if config >> 8 & _IDLE_BIT:
                break
        else:
            raise BadAnswer
        if config & 0x7FFF != self._config & 0x7FFF:  # its supply failed meanwhile: defaults are back
            raise BadAnswer
        code = self.register(_CONVERSION)
        if code & 0x8000:
            code -= 0x10000
        self.saturated = self.saturated or not -_FULL_SCALE <= code < _FULL_SCALE
        return code * self._lsb_nv // 1000

    def median_microvolts(self, count: int) -> int:
        # The median of an odd number of conversions: mains hum and spikes go, the range does not widen.
        self.saturated = False
        samples = []
        for _ in range(count):
            samples.append(self.microvolts())
        samples.sort()
        return samples[count // 2]
