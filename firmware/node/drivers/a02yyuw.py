# SPDX-License-Identifier: MIT
# A02YYUW: ultrasonic distance to the waste, and the fill level that follows. WIKI = DFRobot SEN0311.
#
# The sensor talks by itself at 9600 baud, one frame (FF, high, low, sum) each 100 ms to 300 ms; 0 mm means no
# echo. The UART must hear them: no light sleep between start() and read(). read() takes the median of the
# last five valid frames. Settings: empty_mm and full_mm are the distances of an empty and a full bin; without
# empty_mm there is no FILL_LEVEL.

from micropython import const

from ..schema.quantities import ABSENT, CLAMPED, DISTANCE, FAULT, FILL_LEVEL, GOOD, TOO_FEW_SAMPLES
from .reading import TYPE_CHECKING, without_value

if TYPE_CHECKING:
    from .reading import Reading, SleepMs, Uart

_HEADER = const(0xFF)
_NEAR_MM = const(30)
_FAR_MM = const(4500)
_FRAMES = const(5)
_FEW = const(3)
_START_MS = const(2000)  # power-up, then five frames at their slowest
_SLACK_PERMILLE = const(30)  # the sensor's own error may carry an empty bin below 0 %


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
        self._codes: tuple[int, ...] = (DISTANCE, FILL_LEVEL) if empty_mm else (DISTANCE,)

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
        if not self._empty_mm:
            return ((DISTANCE, distance, quality),)
        fill = (self._empty_mm - distance) * 1000 // (self._empty_mm - self._full_mm)
        fill_quality = quality
        if fill < -_SLACK_PERMILLE or fill > 1000 + _SLACK_PERMILLE:
            fill_quality = CLAMPED
        fill = min(max(fill, 0), 1000)
        return (DISTANCE, distance, quality), (FILL_LEVEL, fill, fill_quality)

    def stop(self) -> None:
        # Only its power gate stops it.
        pass


Sensor = A02yyuw
