# SPDX-License-Identifier: MIT
# MaxBotix HRXL-MaxSonar-WR (MB7380, MB7389 ..., the TTL ones): distance to the waste in a bin, and fill
# level. DS = MaxBotix PD11500.
#
# It talks by itself at 9600 baud, "R1234" and a carriage return, 6 to 7.5 times a second; it compensates its
# own temperature. No echo is the end of the range (5000 or 9999), nearer than 300 mm or 500 mm it sticks to
# that: both are no distances. Settings: far_mm is the end of its range, near_mm the beginning; fill.py.

from micropython import const

from ..schema.quantities import ABSENT, FAULT, GOOD, TOO_FEW_SAMPLES
from .fill import fill_codes, fill_readings
from .reading import TYPE_CHECKING, without_value

if TYPE_CHECKING:
    from .reading import Reading, SleepMs, Uart

_START_MS = const(2000)  # power-up, and some ten frames
_FEW = const(3)


def ranges(data: bytes, near_mm: int, far_mm: int) -> "list[int]":
    # All valid distances (mm) in a stretch of bytes.
    found: list[int] = []
    for piece in data.split(b"\r")[:-1]:  # what stands behind the last return is not complete
        text = piece[-5:]
        if len(text) == 5 and text[0] == 0x52 and text[1:].isdigit():
            distance = int(text[1:])
            if near_mm < distance < far_mm:
                found.append(distance)
    return found


class Hrxl:
    def __init__(
        self,
        uart: "Uart",
        sleep_ms: "SleepMs",
        empty_mm: int = 0,
        full_mm: int = 0,
        near_mm: int = 300,
        far_mm: int = 4999,
    ) -> None:
        self._uart = uart
        self._empty_mm = empty_mm
        self._full_mm = full_mm
        self._range = (near_mm, far_mm)
        self._codes = fill_codes(empty_mm)

    def start(self) -> int:
        self._uart.read()  # frames of before
        return _START_MS

    def read(self) -> "tuple[Reading, ...]":
        data = self._uart.read()
        if not data:
            return without_value(self._codes, ABSENT)
        samples = ranges(data, *self._range)
        if not samples:
            return without_value(self._codes, FAULT)
        samples.sort()
        quality = GOOD if len(samples) >= _FEW else TOO_FEW_SAMPLES
        return fill_readings(samples[len(samples) // 2], quality, self._empty_mm, self._full_mm)

    def stop(self) -> None:
        # Only its power gate stops it.
        pass


Sensor = Hrxl
