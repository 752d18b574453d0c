# SPDX-License-Identifier: MIT
"""LIS3DH, the accelerometer, as a tilt sensor. DS = ST LIS3DH Rev 2, December 2016 (DocID17530).

Modelled: the register map with its reserved and read-only places, auto-increment, data rates, resolutions and
scales, turn-on times, new-data flags. Not modelled: FIFO, interrupts, click, self-test: their registers only
keep what is written.
"""

from __future__ import annotations

import math
from typing import Any

from communode.virtual.chips.chip import Environment, I2cChip, Nack, Violation
from communode.virtual.chips.sensing import SensorChip

_BOOT_US = 5_000  # DS 2.5
_RATES_HZ = (0, 1, 10, 25, 50, 100, 200, 400, 1600, 1344)
_MG_PER_STEP = {0: 1, 1: 2, 2: 4, 3: 12}  # 12 bits, by FS (DS table 4)
_READ_ONLY = {0x07, *range(0x08, 0x0E), 0x0F, 0x27, *range(0x28, 0x2E), 0x2F, 0x31, 0x35, 0x39}
_WRITABLE = {0x1E, 0x1F, *range(0x20, 0x27), 0x2E, 0x30, 0x32, 0x33, 0x34, 0x36, 0x37, 0x38}
_WRITABLE |= {0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F}
_STATUS, _OUT = 0x27, 0x28


def tolerance(name: str, value: float) -> float:
    """Error (degrees): the zero-g level of +-40 mg (DS table 4) on the two axes across gravity."""
    if name != "tilt_deg":
        raise KeyError(name)
    return math.degrees(math.asin(math.hypot(0.040, 0.040)))


class Lis3dh(SensorChip, I2cChip):
    """LIS3DH; settings address (SA0) and up, the axis that points up at rest, as the driver's."""

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self.addresses = (int(settings.get("address", 0x18)),)
        self._up = int(settings.get("up", 4))
        self._offset_mg = [env.rng.uniform(-20, 20) for _ in range(3)]
        self._heading = env.rng.uniform(0, 2 * math.pi)  # towards which side it leans
        self._begin()

    def _begin(self) -> None:
        self._registers = bytearray(0x40)
        self._registers[0x0F] = 0x33
        self._registers[0x1E] = 0x10
        self._registers[0x20] = 0x07
        self._pointer = 0
        self._boot_until_us = self.env.now_us() + _BOOT_US
        self._running_since_us = self.env.now_us()
        self._taken = 0

    def power(self, on: bool) -> None:
        """After the supply it loads its calibration and waits in power-down."""
        super().power(on)
        if on:
            self._begin()

    def _address(self) -> None:
        if "nack" in self.faults or self.env.now_us() < self._boot_until_us:
            raise Nack

    def _step(self, register: int) -> int:
        return register if not self._pointer & 0x80 else (register + 1) & 0x3F

    def i2c_write(self, address: int, data: bytes) -> int:
        """Sub-address (bit 7: increment), then registers."""
        self._address()
        if not data:
            return 0
        self._pointer = data[0]
        if data[0] & 0x7F > 0x3F:
            raise Violation(f"LIS3DH: register 0x{data[0] & 0x7F:02X}")
        register = data[0] & 0x3F
        for byte in data[1:]:
            if register not in _WRITABLE:
                what = "is read-only" if register in _READ_ONLY else "is reserved"
                raise Violation(f"LIS3DH: register 0x{register:02X} {what}")
            self._write(register, byte)
            register = self._step(register)
        return len(data)

    def _write(self, register: int, byte: int) -> None:
        if register == 0x20 and byte >> 4 >= len(_RATES_HZ):
            raise Violation(f"LIS3DH: data rate {byte >> 4}")
        before = self._rate_hz()
        self._registers[register] = byte
        if register == 0x24 and byte & 0x80:  # BOOT
            self._registers[register] = byte & 0x7F
            self._boot_until_us = self.env.now_us() + _BOOT_US
        if self._registers[0x20] & 0x08 and self._registers[0x23] & 0x08:
            raise Violation("LIS3DH: low power and high resolution at once (DS table 10)")
        if self._rate_hz() != before or register in (0x20, 0x23):
            self._running_since_us = self.env.now_us()
            self._taken = 0

    def i2c_read(self, address: int, count: int) -> bytes:
        """Registers from the sub-address on; without the increment bit the same one again."""
        self._address()
        register = self._pointer & 0x3F
        data = bytearray()
        for _ in range(count):
            data.append(self._read(register))
            register = self._step(register)
        return bytes(data)

    def _rate_hz(self) -> int:
        return _RATES_HZ[self._registers[0x20] >> 4]

    def _samples(self) -> int:
        # How many samples there have been since the last start, turn-on time left out.
        rate = self._rate_hz()
        if rate == 0:
            return self._taken
        turn_on = 7 if self._registers[0x23] & 0x08 else 1  # periods, DS table 11
        periods = (self.env.now_us() - self._running_since_us) * rate // 1_000_000
        return max(0, periods - turn_on + 1) if "warming_up" not in self.faults else 0

    def _read(self, register: int) -> int:
        if register == _STATUS:
            # New data on all axes; overrun when an older sample was never read.
            unread = self._samples() - self._taken
            return 0xFF if unread > 1 else 0x0F if unread == 1 else 0
        if register == _OUT and self._samples() > self._taken:
            self._taken = self._samples()
            self._registers[_OUT : _OUT + 6] = self._sample()
        return self._registers[register]

    def _sample(self) -> bytes:
        tilt = math.radians(self.measured("tilt_deg", self.env.now_us(), 0.1))
        along = 1000 * math.cos(tilt)
        across = 1000 * math.sin(tilt)
        sides = [across * math.cos(self._heading), across * math.sin(self._heading)]
        scale = _MG_PER_STEP[self._registers[0x23] >> 4 & 3]
        unused = 8 if self._registers[0x20] & 0x08 else 4 if self._registers[0x23] & 0x08 else 6
        data = bytearray()
        for axis in range(3):
            mg = (-along if self._up & 1 else along) if axis == self._up >> 1 else sides.pop()
            code = round((mg + self._offset_mg[axis] + self.env.rng.uniform(-3, 3)) / scale)
            if "saturated" in self.faults:
                code = 4096
            code = max(-2048, min(2047, code)) << 4
            enabled = self._registers[0x20] >> axis & 1
            data += ((code >> unused << unused) * enabled & 0xFFFF).to_bytes(2, "little")
        return bytes(data)
