# SPDX-License-Identifier: MIT
# SEN5x: particulate matter, humidity, temperature, VOC and NOx indices in one module (SEN54 has no NOx).
# DS = Sensirion SEN5x datasheet version 2, March 2022; the numbers are those of Sensirion/embedded-i2c-sen5x.
#
# The fan takes most of the current, so particles are measured only between start() and stop(). The indices
# compare with the hours before: with gases = 1 the module goes on without the fan between readings, about
# 7 mA, and its supply must stay. Without that the indices are left out of the profile.

import struct

from micropython import const

from ..schema.quantities import (
    AIR_TEMPERATURE,
    CLAMPED,
    FAULT,
    GOOD,
    NOX_INDEX,
    PM1,
    PM4,
    PM10,
    PM25,
    RELATIVE_HUMIDITY,
    VOC_INDEX,
    WARMING_UP,
)
from .reading import TRIES, TYPE_CHECKING, BadAnswer, bad_quality, without_value
from .sensirion import Words

if TYPE_CHECKING:
    from .reading import I2c, Reading, SleepMs

_ADDRESS = const(0x69)
_START_MEASUREMENT = const(0x0021)
_START_WITHOUT_PM = const(0x0037)
_STOP_MEASUREMENT = const(0x0104)
_READ_DATA_READY = const(0x0202)
_READ_MEASURED_VALUES = const(0x03C4)
_START_MS = const(50)
_STOP_MS = const(200)
_READ_MS = const(20)
_PM_UNKNOWN = const(0xFFFF)
_UNKNOWN = const(0x7FFF)
_PM_LIMIT = const(10_000)  # 0.1 ug/m3, the end of the range

QUANTITIES = (PM1, PM25, PM4, PM10, RELATIVE_HUMIDITY, AIR_TEMPERATURE, VOC_INDEX, NOX_INDEX)


class Sen5x:
    def __init__(self, i2c: "I2c", sleep_ms: "SleepMs", warm_up_ms: int = 30000, gases: int = 0) -> None:
        self._words = Words(i2c, _ADDRESS, sleep_ms)
        self._sleep_ms = sleep_ms
        self._warm_up_ms = warm_up_ms
        self._gases = gases
        self._lost = FAULT

    def start(self) -> int:
        for attempt in range(TRIES):
            try:
                self._words.send(_START_MEASUREMENT)
                self._sleep_ms(_START_MS)
                self._lost = GOOD
                return self._warm_up_ms
            except OSError as error:
                self._lost = bad_quality(error)
            if attempt == 1:  # it may be in a measurement that a start does not end
                self._words.tell(_STOP_MEASUREMENT)
                for _ in range(_STOP_MS // _START_MS):
                    self._sleep_ms(_START_MS)
        return 0

    def read(self) -> "tuple[Reading, ...]":
        if self._lost != GOOD:
            return without_value(QUANTITIES, self._lost)
        for _ in range(TRIES):
            try:
                if not self._words.fetch(_READ_DATA_READY, 1, _READ_MS)[1] & 1:
                    raise BadAnswer  # a value comes every second: none after the warm-up is a fault
                return _readings(self._words.fetch(_READ_MEASURED_VALUES, 8, _READ_MS))
            except OSError:
                pass
        return without_value(QUANTITIES, FAULT)

    def stop(self) -> None:
        self._words.tell(_START_WITHOUT_PM if self._gases else _STOP_MEASUREMENT)
        self._sleep_ms(_START_MS)


def _readings(data: bytearray) -> "tuple[Reading, ...]":
    masses = struct.unpack_from(">HHHH", data)
    humidity, temperature, voc, nox = struct.unpack_from(">hhhh", data, 8)
    values: list[Reading] = []
    for n, code in enumerate((PM1, PM25, PM4, PM10)):
        if masses[n] == _PM_UNKNOWN:
            values.append((code, None, FAULT))
        else:
            values.append((code, masses[n], GOOD if masses[n] <= _PM_LIMIT else CLAMPED))
    if humidity == _UNKNOWN:
        values.append((RELATIVE_HUMIDITY, None, FAULT))
    else:
        values.append((RELATIVE_HUMIDITY, humidity * 10, GOOD))
    if temperature == _UNKNOWN:
        values.append((AIR_TEMPERATURE, None, FAULT))
    else:
        values.append((AIR_TEMPERATURE, temperature * 5, GOOD))
    for code, index in ((VOC_INDEX, voc), (NOX_INDEX, nox)):
        # Unknown until the gas sensor is hot, 0 while its algorithm is blind: both pass with time.
        if index == _UNKNOWN or index < 5:
            values.append((code, None, WARMING_UP))
        else:
            values.append((code, (index + 5) // 10, GOOD))
    return tuple(values)


Sensor = Sen5x
