# SPDX-License-Identifier: MIT
# DS18B20: water temperature, one chip on the 1-Wire bus, 12 bits. DS = Maxim 19-7487 Rev 6, 7/19.
# The bus is the stock image's onewire.OneWire (or has its reset, writebyte, readinto).

from micropython import const

from ..schema.quantities import ABSENT, CLAMPED, FAULT, GOOD, WATER_TEMPERATURE
from .reading import TRIES, TYPE_CHECKING, BadAnswer, without_value

if TYPE_CHECKING:
    from .reading import OneWire, Reading, SleepMs

_SKIP_ROM = const(0xCC)
_CONVERT_T = const(0x44)
_READ_SCRATCHPAD = const(0xBE)
_CONVERSION_MS = const(750)  # DS table 2, 12 bits
_POWER_ON = const(0x0550)  # 85 degC: what the scratchpad holds before any conversion (DS table 1)
_LOWEST = const(-55_000)  # DS: the ends of its range
_HIGHEST = const(125_000)

QUANTITIES = (WATER_TEMPERATURE,)


def crc8(data: "bytes | bytearray") -> int:
    # Maxim's CRC-8, reflected (DS figure 11): over data and its CRC it is 0.
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8C if crc & 1 else crc >> 1
    return crc


class Ds18b20:
    def __init__(self, onewire: "OneWire", sleep_ms: "SleepMs") -> None:
        self._onewire = onewire
        self._lost = ABSENT

    def start(self) -> int:
        self._lost = ABSENT
        for _ in range(TRIES):
            if self._onewire.reset():
                self._onewire.writebyte(_SKIP_ROM)
                self._onewire.writebyte(_CONVERT_T)
                self._lost = GOOD
                return _CONVERSION_MS
        return 0

    def read(self) -> "tuple[Reading, ...]":
        if self._lost != GOOD:
            return without_value(QUANTITIES, self._lost)
        data = bytearray(9)
        for _ in range(TRIES):
            try:
                celsius = self._millidegrees(data)
                quality = GOOD if _LOWEST < celsius < _HIGHEST else CLAMPED
                return ((WATER_TEMPERATURE, celsius, quality),)
            except OSError:
                pass
        return without_value(QUANTITIES, FAULT)

    def _millidegrees(self, data: bytearray) -> int:
        if not self._onewire.reset():
            raise BadAnswer
        self._onewire.writebyte(_SKIP_ROM)
        self._onewire.writebyte(_READ_SCRATCHPAD)
        self._onewire.readinto(data)
        # A line held low reads as zeros, whose CRC is right: the configuration's low bits are never 0.
        if crc8(data) or data[4] & 0x1F != 0x1F:
            raise BadAnswer
        raw = data[0] | data[1] << 8
        if raw == _POWER_ON:  # no water is that hot: the chip lost its supply while it converted
            raise BadAnswer
        if raw & 0x8000:
            raw -= 0x10000
        return raw * 125 >> 1

    def stop(self) -> None:
        # The chip falls asleep after a conversion by itself.
        pass


Sensor = Ds18b20
