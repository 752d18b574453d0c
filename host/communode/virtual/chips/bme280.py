# SPDX-License-Identifier: MIT
"""BME280, the weather sensor. DS = Bosch BST-BME280-DS002 revision 1.6.

Modelled: register map, trimming of a chip of its own, forced and normal mode with the duration of appendix
9.1, ctrl_hum that waits for ctrl_meas, reset and the copy of the trimming after it, values that were skipped.
Raw values come from the datasheet's floating-point formulas turned round, not from the driver's integers. Not
modelled: the filter, SPI.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from communode.virtual.chips.chip import Environment, I2cChip, Nack, Violation
from communode.virtual.chips.sensing import SensorChip

_START_UP_US = 2_000  # DS table 1
_OVERSAMPLING = (0, 1, 2, 4, 8, 16, 16, 16)
_STANDBY_US = (500, 62_500, 125_000, 250_000, 500_000, 1_000_000, 10_000, 20_000)
_WRITABLE = {0xE0, 0xF2, 0xF4, 0xF5}
_READABLE = {*range(0x88, 0xA2), 0xD0, *range(0xE1, 0xF0), *range(0xF2, 0xF6), *range(0xF7, 0xFF)}
# Temperature and pressure: the example of the BMP280's datasheet (DS001, 3.12); humidity: an ordinary chip's.
TRIMMING_T = (27504, 26435, -1000)
TRIMMING_P = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
TRIMMING_H = (75, 367, 0, 313, 50, 30)


def tolerance(name: str, value: float) -> float:
    """Stated error (same unit): DS tables 2 to 4."""
    if name == "pressure_hpa":
        return 1.0 if value >= 300 else 1.7
    spans = {"temperature_c": 1.0 if 0 <= value <= 65 else 1.5, "relative_humidity_pct": 3.0}
    return spans[name]


def fine_temperature(raw: float) -> float:
    """t_fine of DS 4.2.3 in floating point (appendix 8.1): 5120 a degree."""
    t1, t2, t3 = TRIMMING_T
    first = (raw / 16384 - t1 / 1024) * t2
    second = (raw / 131072 - t1 / 8192) ** 2 * t3
    return first + second


def pascals(raw: float, fine: float) -> float:
    """Pressure in floating point (appendix 8.1)."""
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = TRIMMING_P
    first = fine / 2 - 64000
    second = (first * first * p6 / 32768 + first * p5 * 2) / 4 + p4 * 65536
    first = (1 + (p3 * first * first / 524288 + p2 * first) / 524288 / 32768) * p1
    pressure = (1048576 - raw - second / 4096) * 6250 / first
    return pressure + (p9 * pressure * pressure / 2147483648 + pressure * p8 / 32768 + p7) / 16


def humidity(raw: float, fine: float) -> float:
    """Relative humidity in floating point (appendix 8.1), before its limits."""
    h1, h2, h3, h4, h5, h6 = TRIMMING_H
    value = fine - 76800
    value = (raw - (h4 * 64 + h5 / 16384 * value)) * (
        h2 / 65536 * (1 + h6 / 67108864 * value * (1 + h3 / 67108864 * value))
    )
    return value * (1 - h1 * value / 524288)


def _inverse(function: Callable[[float], float], value: float, top: int) -> int:
    """The code in 0..top at which a monotonic function comes nearest to ``value``."""
    low, high = 0, top
    rising = function(top) > function(0)
    while low < high:
        middle = (low + high) // 2
        if (function(middle) < value) == rising:
            low = middle + 1
        else:
            high = middle
    return low


class Bme280(SensorChip, I2cChip):
    """BME280; setting address (0x76, or 0x77 with SDO high)."""

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self.addresses = (int(settings.get("address", 0x76)),)
        self._bias_c = env.rng.uniform(-0.5, 0.5)
        self._bias_pct = env.rng.uniform(-1.5, 1.5)
        self._bias_hpa = env.rng.uniform(-0.6, 0.6)
        self._begin()

    def _begin(self) -> None:
        self._since_us = self.env.now_us()
        self._registers = bytearray(256)
        self._registers[0xD0] = 0x60
        low = struct.pack("<Hhh", *TRIMMING_T) + struct.pack("<Hhhhhhhhh", *TRIMMING_P)
        self._registers[0x88:0xA0] = low
        h1, h2, h3, h4, h5, h6 = TRIMMING_H
        self._registers[0xA1] = h1
        self._registers[0xE1:0xE8] = struct.pack("<hB", h2, h3) + bytes(
            [h4 >> 4 & 0xFF, (h4 & 0x0F) | (h5 & 0x0F) << 4, h5 >> 4 & 0xFF, h6 & 0xFF]
        )
        self._registers[0xF7:0xFF] = b"\x80\x00\x00\x80\x00\x00\x80\x00"
        self._pointer = 0
        self._humidity_setting = 0
        self._started_us: int | None = None

    def power(self, on: bool) -> None:
        """Registers go, the trimming is copied again."""
        super().power(on)
        if on:
            self._begin()

    def _addressed(self) -> None:
        if "nack" in self.faults or self.env.now_us() < self._since_us + _START_UP_US:
            raise Nack

    def i2c_write(self, address: int, data: bytes) -> int:
        """A register address, or pairs of address and value (DS 6.2.1: no auto-increment)."""
        self._addressed()
        if not data:
            return 0
        self._settle()
        if len(data) == 1:
            self._pointer = data[0]
            return 1
        if len(data) % 2:
            raise Violation("BME280: a write is pairs of register and value")
        for register, value in zip(data[::2], data[1::2], strict=True):
            if register not in _WRITABLE:
                raise Violation(f"BME280: register 0x{register:02X} is not for writing")
            self._write(register, value)
        return len(data)

    def _write(self, register: int, value: int) -> None:
        if register == 0xE0:
            if value == 0xB6:
                self._begin()
            return
        self._registers[register] = value
        if register == 0xF4:
            self._humidity_setting = self._registers[0xF2] & 7
            if value & 3:
                self._started_us = self.env.now_us()

    def i2c_read(self, address: int, count: int) -> bytes:
        """Registers from the address on."""
        self._addressed()
        self._settle()
        data = bytearray()
        for n in range(count):
            register = self._pointer + n
            if register not in _READABLE:
                raise Violation(f"BME280: register 0x{register:02X} is reserved")
            data.append(0x08 * int(self._measuring()) if register == 0xF3 else self._registers[register])
        return bytes(data)

    def _times(self) -> tuple[int, int, int]:
        control = self._registers[0xF4]
        return (
            _OVERSAMPLING[control >> 5],
            _OVERSAMPLING[control >> 2 & 7],
            _OVERSAMPLING[self._humidity_setting],
        )

    def duration_us(self) -> int:
        """Appendix 9.1, maximum."""
        temperature, pressure, wet = self._times()
        extra = sum(575 for times in (pressure, wet) if times)
        return 1250 + 2300 * (temperature + pressure + wet) + extra

    def _measuring(self) -> bool:
        if self._started_us is None:
            return False
        if "warming_up" in self.faults:
            return True
        cycle = self.duration_us() + _STANDBY_US[self._registers[0xF5] >> 5]
        return (self.env.now_us() - self._started_us) % cycle < self.duration_us()

    def _settle(self) -> None:
        if (
            self._started_us is None
            or "warming_up" in self.faults
            or self.env.now_us() < self._started_us + self.duration_us()
        ):
            return
        forced = self._registers[0xF4] & 3 != 3
        self._measure(self._started_us + self.duration_us() if forced else self.env.now_us())
        if forced:
            self._registers[0xF4] &= 0xFC
            self._started_us = None

    def _measure(self, time_us: int) -> None:
        with_t, with_p, with_h = (bool(times) for times in self._times())
        celsius = self.measured("temperature_c", time_us, 0.02, self._bias_c)
        hectopascals = self.measured("pressure_hpa", time_us, 0.02, self._bias_hpa)
        percent = self.measured("relative_humidity_pct", time_us, 0.1, self._bias_pct)
        if "saturated" in self.faults:
            celsius, hectopascals, percent = 120.0, 1500.0, 140.0
        raw_t = _inverse(fine_temperature, celsius * 5120, 0xFFFFF) if with_t else 0x80000
        fine = fine_temperature(raw_t)
        raw_p = _inverse(lambda raw: pascals(raw, fine), hectopascals * 100, 0xFFFFF) if with_p else 0x80000
        raw_h = _inverse(lambda raw: humidity(raw, fine), percent, 0xFFFF) if with_h else 0x8000
        packed = (raw_p << 4).to_bytes(3, "big") + (raw_t << 4).to_bytes(3, "big") + raw_h.to_bytes(2, "big")
        self._registers[0xF7:0xFF] = packed
