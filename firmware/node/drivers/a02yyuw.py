# SPDX-License-Identifier: MIT
# A02YYUW: ultrasonic distance to the waste, and the fill level that follows. WIKI = DFRobot SEN0311.
#
# The sensor talks by itself at 9600 baud, one frame (FF, high, low, sum) each 100 ms to 300 ms; 0 mm means no
# echo. The UART must hear them: no light sleep between start() and read(). read() takes the median of the
# last five valid frames. Settings: empty_mm and full_mm, see fill.py.

from micropython import const

from ..schema.quantities import ABSENT, FAULT, GOOD, TOO_FEW_SAMPLES
from .fill import fill_codes, fill_readings
from .reading import TYPE_CHECKING, without_value

if TYPE_CHECKING:
    from .reading import Reading, SleepMs, Uart

_HEADER = const(0xFF)
_NEAR_MM = const(30)
_FAR_MM = const(4500)
_FRAMES = const(5)
_FEW = const(3)
_START_MS = const(2000)  # power-up, then five frames at their slowest


def distances(data: bytes) -> "list[int]":
    # All valid distances (mm) in a stretch of bytes that may begin and end inside a frame.
    found: list[int] = []
    n = 0
    while n + 4 <= len(data):
        if data[n] == _HEADER and (data[n] + data[n + 1] + data[n + 2]) & 0xFF == data[n + 3]:
            distance = data[n + 1] << 8 | data[n + 2]
            if _NEAR_MM <= distance <= _FAR_MM:
                found.append(distance)
            n += 4
        else:
            n += 1
    return found


class A02yyuw:
    def __init__(self, uart: "Uart", sleep_ms: "SleepMs", empty_mm: int = 0, full_mm: int = 0) -> None:
        self._uart = uart
        self._empty_mm = empty_mm
        self._full_mm = full_mm
        self._codes = fill_codes(empty_mm)

    def start(self) -> int:
        self._uart.read()  # frames of before
        return _START_MS

    def read(self) -> "tuple[Reading, ...]":
        data = self._uart.read()
        if not data:
            return without_value(self._codes, ABSENT)
        samples = distances(data)[-_FRAMES:]
        if not samples:
            return without_value(self._codes, FAULT)
        samples.sort()
        distance = samples[len(samples) // 2]
        quality = GOOD if len(samples) >= _FEW else TOO_FEW_SAMPLES
        return fill_readings(distance, quality, self._empty_mm, self._full_mm)

    def stop(self) -> None:
        # Only its power gate stops it.
        pass


Sensor = A02yyuw
