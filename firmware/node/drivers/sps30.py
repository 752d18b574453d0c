# SPDX-License-Identifier: MIT
# SPS30: particulate matter by mass. DS = Sensirion SPS30 datasheet 1.0, March 2020.
#
# Fan and laser draw about 55 mA at 5 V, so the chip measures only between start() and stop(). It settles in
# 8 s to 30 s, the longer the cleaner the air (DS table 1): warm_up_ms is 30 s. stop() ends in sleep (38 uA,
# firmware 2 and later, DS 4.1); where a power gate cuts the 5 V that costs nothing, elsewhere it is needed.

import struct

from micropython import const

from ..schema.quantities import CLAMPED, FAULT, GOOD, PM1, PM4, PM10, PM25
from .reading import TRIES, TYPE_CHECKING, BadAnswer, bad_quality, without_value
from .sensirion import Words

if TYPE_CHECKING:
    from .reading import I2c, Reading, SleepMs

_ADDRESS = const(0x69)
_START_MEASUREMENT = const(0x0010)
_STOP_MEASUREMENT = const(0x0104)
_READ_DATA_READY_FLAG = const(0x0202)
_READ_MEASURED_VALUES = const(0x0300)
_SLEEP = const(0x1001)
_WAKE_UP = const(0x1103)
_FLOAT = const(0x0300)  # output format: big-endian IEEE 754
_START_STOP_MS = const(20)  # DS table 5
_COMMAND_MS = const(5)
_LIMIT = const(1000)  # ug/m3, DS table 1

QUANTITIES = (PM1, PM25, PM4, PM10)


class Sps30:
    def __init__(self, i2c: "I2c", sleep_ms: "SleepMs", warm_up_ms: int = 30000) -> None:
        self._words = Words(i2c, _ADDRESS, sleep_ms)
        self._sleep_ms = sleep_ms
        self._warm_up_ms = warm_up_ms
        self._lost = FAULT

    def start(self) -> int:
        for attempt in range(TRIES):
            try:
                self._words.send(_START_MEASUREMENT, _FLOAT)
                self._lost = GOOD
                self._sleep_ms(_START_STOP_MS)
                return self._warm_up_ms
            except OSError as error:
                self._lost = bad_quality(error)
            # Asleep: the first wake-up only switches the interface on and is not acknowledged (DS 6.3.9).
            # Or already measuring, where a start is refused: the node was reset before stop().
            self._words.tell(_WAKE_UP)
            self._words.tell(_WAKE_UP)
            self._sleep_ms(_COMMAND_MS)
            if attempt:
                self._words.tell(_STOP_MEASUREMENT)
                self._sleep_ms(_START_STOP_MS)
        return 0

    def read(self) -> "tuple[Reading, ...]":
        if self._lost != GOOD:
            return without_value(QUANTITIES, self._lost)
        for _ in range(TRIES):
            try:
                if self._words.fetch(_READ_DATA_READY_FLAG, 1, _COMMAND_MS)[1] != 1:
                    raise BadAnswer  # a new value comes every second: none after the warm-up is a fault
                return self._values(self._words.fetch(_READ_MEASURED_VALUES, 8, _COMMAND_MS))
            except OSError:
                pass
        return without_value(QUANTITIES, FAULT)

    def _values(self, data: bytearray) -> "tuple[Reading, ...]":
        masses = struct.unpack(">ffff", data)
        values = []
        for n, code in enumerate(QUANTITIES):
            mass = masses[n]
            if not 0 <= mass <= 2 * _LIMIT:  # also false for a NaN
                raise BadAnswer
            values.append((code, int(mass * 10 + 0.5), GOOD if mass <= _LIMIT else CLAMPED))
        return tuple(values)

    def stop(self) -> None:
        self._words.tell(_STOP_MEASUREMENT)
        self._sleep_ms(_START_STOP_MS)
        self._words.tell(_SLEEP)


Sensor = Sps30
