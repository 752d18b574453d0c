# SPDX-License-Identifier: MIT
# VL53L1X: distance by the time of flight of light, to 4 m in the dark of a bin, and fill level. DS = ST
# VL53L1X datasheet DS12385; UM = UM2356 (the API) and UM2510 (the ultra lite driver), which publish the
# registers and the default configuration that the datasheet leaves out.
#
# Long distance mode, a range each 100 ms, the median of five. It knows when a range is not to be believed
# (too little signal, too much spread, an echo of the pulse before): such a range is left out.

from micropython import const

from ..schema.quantities import DISTANCE, FAULT, FILL_LEVEL, GOOD, TOO_FEW_SAMPLES
from .fill import fill_codes, fill_readings
from .reading import TRIES, TYPE_CHECKING, BadAnswer, bad_quality, without_value

if TYPE_CHECKING:
    from .reading import I2c, Reading, SleepMs

_CONFIGURATION = const(0x2D)
_GPIO__TIO_HV_STATUS = const(0x31)
_SYSTEM__INTERRUPT_CLEAR = const(0x86)
_SYSTEM__MODE_START = const(0x87)
_RESULT__RANGE_STATUS = const(0x89)
_RESULT__DISTANCE = const(0x96)
_FIRMWARE__SYSTEM_STATUS = const(0xE5)
_IDENTIFICATION__MODEL_ID = const(0x10F)
_MODEL = const(0xEACC)
_START = b"\x40"
_STOP = b"\x00"
_VALID = const(9)  # of the status register's low five bits (UM2510: RangeStatus 0)
# Registers 2Dh to 87h for long distance, interrupt active high, 100 ms timing budget (UM2510).
_DEFAULTS = (
    b"\x00\x00\x00\x01\x02\x00\x02\x08\x00\x08\x10\x01\x01\x00\x00\x00\x00\xff\x00\x0f\x00\x00\x00"
    b"\x00\x00\x20\x0b\x00\x00\x02\x0a\x21\x00\x00\x05\x00\x00\x00\x00\xc8\x00\x00\x38\xff\x01\x00"
    b"\x08\x00\x00\x01\xcc\x0f\x01\xea\x0d\x01\x68\x00\x80\x08\xb8\x00\x00\x00\x00\x0f\x89\x00\x00"
    b"\x00\x00\x00\x00\x00\x01\x0f\x0d\x0e\x0e\x00\x00\x02\xc7\xff\x9b\x00\x00\x00\x01\x00\x00"
)
_FIRST_MS = const(110)
_NEXT_MS = const(55)
_RANGES = const(5)
_FEW = const(3)

QUANTITIES = (DISTANCE, FILL_LEVEL)  # the second only with empty_mm


class Vl53l1x:
    def __init__(
        self, i2c: "I2c", sleep_ms: "SleepMs", address: int = 0x29, empty_mm: int = 0, full_mm: int = 0
    ) -> None:
        self._i2c = i2c
        self._sleep_ms = sleep_ms
        self._address = address
        self._empty_mm = empty_mm
        self._full_mm = full_mm
        self._codes = fill_codes(empty_mm)
        self._lost = FAULT

    def _read(self, register: int, count: int) -> bytearray:
        data = bytearray(count)
        self._i2c.writeto(self._address, bytes((register >> 8, register & 0xFF)))
        self._i2c.readfrom_into(self._address, data)
        return data

    def _write(self, register: int, data: bytes) -> None:
        self._i2c.writeto(self._address, bytes((register >> 8, register & 0xFF)) + data)

    def start(self) -> int:
        for _ in range(TRIES):
            try:
                model = self._read(_IDENTIFICATION__MODEL_ID, 2)
                if model[0] << 8 | model[1] != _MODEL or not self._read(_FIRMWARE__SYSTEM_STATUS, 1)[0] & 1:
                    raise BadAnswer
                self._write(_CONFIGURATION, _DEFAULTS)
                self._write(_SYSTEM__MODE_START, _START)
                self._lost = GOOD
                return _FIRST_MS
            except OSError as error:
                self._lost = bad_quality(error)
                self._sleep_ms(2)  # it boots for 1.2 ms
        return 0

    def read(self) -> "tuple[Reading, ...]":
        if self._lost != GOOD:
            return without_value(self._codes, self._lost)
        samples: list[int] = []
        for _ in range(2 * (_RANGES + TRIES)):
            try:
                if not self._read(_GPIO__TIO_HV_STATUS, 1)[0] & 1:  # no new range yet
                    self._sleep_ms(_NEXT_MS)
                    continue
                if self._read(_RESULT__RANGE_STATUS, 1)[0] & 0x1F == _VALID:
                    distance = self._read(_RESULT__DISTANCE, 2)
                    samples.append(distance[0] << 8 | distance[1])
                self._write(_SYSTEM__INTERRUPT_CLEAR, b"\x01")
            except OSError:
                self._sleep_ms(2)
            if len(samples) == _RANGES:
                break
        if not samples:
            return without_value(self._codes, FAULT)
        samples.sort()
        quality = GOOD if len(samples) >= _FEW else TOO_FEW_SAMPLES
        return fill_readings(samples[len(samples) // 2], quality, self._empty_mm, self._full_mm)

    def stop(self) -> None:
        try:  # noqa: SIM105  (contextlib is not on the device)
            self._write(_SYSTEM__MODE_START, _STOP)
        except OSError:
            pass


Sensor = Vl53l1x
