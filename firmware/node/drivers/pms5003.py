# SPDX-License-Identifier: MIT
# PMS5003: particulate matter by mass, 9600 baud, passive mode. DS = Plantower PMS5003 manual V2.3, June 2016.
#
# Left to itself it sends a frame a second, and the receive buffer would be full of the first, unsettled ones:
# it is told to be passive, once it is awake, and asked for one frame when it has settled. If it lost its
# supply meanwhile it is active again and does not answer the question. "Atmospheric" values (data 4 to 6) are
# taken, the others are for factories. 30 s after waking the values are stable (DS, "stable data").

from micropython import const

from ..schema.quantities import ABSENT, CLAMPED, FAULT, GOOD, PM1, PM10, PM25
from .reading import TRIES, TYPE_CHECKING, without_value

if TYPE_CHECKING:
    from .reading import Reading, SleepMs, Uart

_FRAME = const(32)
_HEAD = b"\x42\x4d\x00\x1c"
_PASSIVE = b"\x42\x4d\xe1\x00\x00\x01\x70"
_READ = b"\x42\x4d\xe2\x00\x00\x01\x71"
_SLEEP = b"\x42\x4d\xe4\x00\x00\x01\x73"
_WAKE_UP = b"\x42\x4d\xe4\x00\x01\x01\x74"
_BOOT_MS = const(1500)
_ANSWER_MS = const(55)  # 34 ms are the frame itself
_LIMIT = const(10_000)  # 0.1 ug/m3, DS "maximum range"

QUANTITIES = (PM1, PM25, PM10)


def find_frame(data: bytes) -> "bytes | None":
    # The last whole frame with a right sum in a stretch of bytes.
    found = None
    n = 0
    while n + _FRAME <= len(data):
        frame = data[n : n + _FRAME]
        if frame[:4] == _HEAD and sum(frame[:-2]) == frame[30] << 8 | frame[31]:
            found = frame
            n += _FRAME
        else:
            n += 1
    return found


class Pms5003:
    def __init__(self, uart: "Uart", sleep_ms: "SleepMs", warm_up_ms: int = 30000) -> None:
        self._uart = uart
        self._sleep_ms = sleep_ms
        self._warm_up_ms = warm_up_ms
        self._passive = False

    def start(self) -> int:
        self._uart.write(_WAKE_UP)
        self._passive = False
        return _BOOT_MS

    def read(self) -> "tuple[Reading, ...] | int":
        if not self._passive:
            self._passive = True
            self._uart.write(_PASSIVE)
            return self._warm_up_ms
        quality = ABSENT
        self._uart.read()  # frames of before
        for _ in range(TRIES):
            self._uart.write(_READ)
            self._sleep_ms(_ANSWER_MS)
            data = self._uart.read()
            if not data:
                continue
            quality = FAULT
            frame = find_frame(data)
            if frame is None or frame[29]:  # the low byte of "version and error code" is the error
                continue
            return _readings(frame)
        return without_value(QUANTITIES, quality)

    def stop(self) -> None:
        self._uart.write(_SLEEP)


def _readings(frame: bytes) -> "tuple[Reading, ...]":
    values = []
    for n, code in enumerate(QUANTITIES):
        mass = (frame[10 + 2 * n] << 8 | frame[11 + 2 * n]) * 10
        values.append((code, min(mass, _LIMIT), GOOD if mass <= _LIMIT else CLAMPED))
    return tuple(values)


Sensor = Pms5003
