# SPDX-License-Identifier: MIT
# LIS3DH: tilt of a bin, the angle between gravity and the axis that points up at rest.
# DS = ST LIS3DH Rev 2, December 2016 (DocID17530). 100 Hz, +-2 g, high resolution, power-down between.
# Setting `up`: 0 +x, 1 -x, 2 +y, 3 -y, 4 +z, 5 -z.

from micropython import const

from ..schema.quantities import FAULT, GOOD, TILT
from .reading import TRIES, TYPE_CHECKING, BadAnswer, bad_quality, without_value

if TYPE_CHECKING:
    from .reading import I2c, Reading, SleepMs

_WHO_AM_I = const(0x0F)
_CTRL_REG1 = const(0x20)
_CTRL_REG4 = const(0x23)
_STATUS_REG = const(0x27)
_OUT_X_L = const(0x28)
_INCREMENT = const(0x80)  # in the sub-address of a transfer of several bytes (DS 6.1.1)
_IDENTITY = const(0x33)
_RATE_100_HZ_XYZ = const(0x57)
_BDU_2G_HR = const(0x88)
_POWER_DOWN = const(0x00)
_ZYXDA = const(0x08)
_TURN_ON_MS = const(80)  # DS table 11: 7 samples in high resolution, and one to read
_SAMPLES = const(4)
_PERIOD_MS = const(11)
_REST_LOW_MG = const(800)
_REST_HIGH_MG = const(1200)

QUANTITIES = (TILT,)


def square_root(n: int) -> int:
    # The integer square root (no math module: a float has only 24 bits on the chip).
    root = n
    step = (n + 1) // 2
    while step < root:
        root = step
        step = (root + n // root) // 2
    return root


def angle(across: int, along: int) -> int:
    # The angle (0.1 degree, 0..1800) whose tangent is across / along, across >= 0; error below 0.15 degree.
    # atan r ~ 45 r + r (1 - r)(14.02 + 3.80 r) degrees for 0 <= r <= 1, here r in 1/1024.
    size = abs(along)
    if not across and not size:
        return 0
    r = (min(across, size) << 10) // max(across, size)
    tenths = (r * 450 + (r * (1024 - r) >> 10) * (1402 + 380 * r // 1024) // 10 + 512) >> 10
    if across > size:
        tenths = 900 - tenths
    return 1800 - tenths if along < 0 else tenths


class Lis3dh:
    def __init__(self, i2c: "I2c", sleep_ms: "SleepMs", address: int = 0x18, up: int = 4) -> None:
        self._i2c = i2c
        self._sleep_ms = sleep_ms
        self._address = address
        self._up = up
        self._lost = FAULT

    def start(self) -> int:
        for _ in range(TRIES):
            try:
                one = bytearray(1)
                self._i2c.readfrom_mem_into(self._address, _WHO_AM_I, one)
                if one[0] != _IDENTITY:
                    raise BadAnswer
                self._i2c.writeto_mem(self._address, _CTRL_REG4, bytes((_BDU_2G_HR,)))
                self._i2c.writeto_mem(self._address, _CTRL_REG1, bytes((_RATE_100_HZ_XYZ,)))
                self._lost = GOOD
                return _TURN_ON_MS
            except OSError as error:
                self._lost = bad_quality(error)
        return 0

    def read(self) -> "tuple[Reading, ...]":
        if self._lost != GOOD:
            return without_value(QUANTITIES, self._lost)
        sums = [0, 0, 0]
        taken = 0
        data = bytearray(6)
        for _ in range(_SAMPLES + TRIES):
            try:
                self._add(sums, data)
            except OSError:
                continue
            taken += 1
            if taken == _SAMPLES:
                return (self._tilt(sums),)
            self._sleep_ms(_PERIOD_MS)
        return without_value(QUANTITIES, FAULT)

    def _add(self, sums: "list[int]", data: bytearray) -> None:
        status = bytearray(1)
        self._i2c.readfrom_mem_into(self._address, _STATUS_REG, status)
        if not status[0] & _ZYXDA:
            raise BadAnswer
        self._i2c.readfrom_mem_into(self._address, _OUT_X_L | _INCREMENT, data)
        for axis in range(3):
            value = data[2 * axis] >> 4 | data[2 * axis + 1] << 4  # 12 bits, left-justified: 1 mg each
            sums[axis] += value - 0x1000 if value & 0x800 else value

    def _tilt(self, sums: "list[int]") -> "Reading":
        x, y, z = sums
        square = x * x + y * y + z * z
        if not (_REST_LOW_MG * _SAMPLES) ** 2 <= square <= (_REST_HIGH_MG * _SAMPLES) ** 2:
            return TILT, None, FAULT  # not at rest: what is measured is not gravity alone
        along = sums[self._up >> 1]
        across = square_root(square - along * along)
        return TILT, angle(across, -along if self._up & 1 else along), GOOD

    def stop(self) -> None:
        try:  # noqa: SIM105  (contextlib is not on the device)
            self._i2c.writeto_mem(self._address, _CTRL_REG1, bytes((_POWER_DOWN,)))
        except OSError:
            pass


Sensor = Lis3dh
