# SPDX-License-Identifier: MIT
"""SHT40, the temperature and humidity sensor. DS = Sensirion SHT4x datasheet version 6.

Modelled: one-byte commands with their durations, no acknowledgement while measuring, words with CRC, an
answer that can be read once. The heater warms the chip for as long as it is on, which is all it is modelled
for.
"""

from __future__ import annotations

from typing import Any

from communode.virtual.chips.chip import Environment, I2cChip, Nack, Violation
from communode.virtual.chips.sensing import SensorChip
from communode.virtual.chips.sensirion import crc8

_POWER_UP_US = 1_000  # DS table 5, maximum
# command: microseconds at most (DS tables 5 and 7)
_MEASUREMENTS = {0xFD: 8_300, 0xF6: 4_500, 0xE0: 1_600}
_HEATERS = {0x39: 1_100_000, 0x32: 110_000, 0x2F: 1_100_000, 0x24: 110_000, 0x1E: 1_100_000, 0x15: 110_000}
_SERIAL, _RESET = 0x89, 0x94


def tolerance(name: str, value: float) -> float:
    """Stated error (same unit), SHT40: DS figures 2 and 8, maximum."""
    if name == "temperature_c":
        return 0.4 if 0 <= value <= 60 else 0.8
    if name == "relative_humidity_pct":
        return 3.5 if 10 <= value <= 90 else 4.5
    raise KeyError(name)


class Sht4x(SensorChip, I2cChip):
    """SHT40; setting address (0x44 of the -A, 0x45 of the -B)."""

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self.addresses = (int(settings.get("address", 0x44)),)
        self._bias_c = env.rng.uniform(-0.15, 0.15)
        self._bias_pct = env.rng.uniform(-1.2, 1.2)
        self._begin()

    def _begin(self) -> None:
        self._busy_until_us = self.env.now_us() + _POWER_UP_US
        self._answer: bytes | None = None

    def power(self, on: bool) -> None:
        """Nothing outlives the supply."""
        super().power(on)
        if on:
            self._begin()

    def _addressed(self) -> None:
        if "nack" in self.faults or self.env.now_us() < self._busy_until_us:
            raise Nack

    def i2c_write(self, address: int, data: bytes) -> int:
        """A command."""
        self._addressed()
        if not data:
            return 0
        if len(data) != 1:
            raise Violation(f"SHT4x: {len(data)} bytes as a command")
        command = data[0]
        self._answer = None
        now = self.env.now_us()
        if command == _SERIAL:
            self._answer = self._framed(0x0EA5, 0xBEEF)
        elif command == _RESET:
            self._busy_until_us = now + _POWER_UP_US
        elif command in _MEASUREMENTS or command in _HEATERS:
            self._busy_until_us = now + (_MEASUREMENTS.get(command) or _HEATERS[command])
            if "warming_up" not in self.faults:
                self._answer = self._measure(now, 20.0 if command in _HEATERS else 0.0)
        else:
            raise Violation(f"SHT4x: unknown command 0x{command:02X}")
        return 1

    def i2c_read(self, address: int, count: int) -> bytes:
        """The answer, once."""
        self._addressed()
        if self._answer is None:
            raise Nack
        if count > 6:
            raise Violation(f"SHT4x: {count} bytes read of an answer of 6")
        answer, self._answer = self._answer[:count], None
        return answer

    def _measure(self, time_us: int, heated: float) -> bytes:
        celsius = self.measured("temperature_c", time_us, 0.02, self._bias_c + heated)
        percent = self.measured("relative_humidity_pct", time_us, 0.1, self._bias_pct)
        if "saturated" in self.faults:
            celsius, percent = 200.0, 200.0
        return self._framed(
            max(0, min(65535, round((celsius + 45) * 65535 / 175))),
            max(0, min(65535, round((percent + 6) * 65535 / 125))),
        )

    def _framed(self, *words: int) -> bytes:
        framed = b""
        for word in words:
            pair = word.to_bytes(2, "big")
            framed += pair + bytes([crc8(pair) ^ (0x55 if "wrong_crc" in self.faults else 0)])
        return framed
