# SPDX-License-Identifier: MIT
"""Atlas Scientific's EZO circuits in I2C mode. DS = EZO-pH V5.9, EZO-DO V4.1 and their siblings.

Modelled: ASCII commands, response codes 1, 2, 254, 255, processing delays, boot, temperature compensation
(each circuit computes with the temperature it was told, 25 degC at first, while the water has its own). Not
modelled: calibration commands, UART mode, the LED.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from communode.virtual.chips.chip import Environment, I2cChip, Nack, Violation
from communode.virtual.chips.sensing import SensorChip

_BOOT_US = 800_000
_SHORT_US = 300_000
_LONG_US = 900_000
_LONGEST = 32  # characters of an answer


class Ezo(SensorChip, I2cChip):
    """One circuit. Subclasses say what it measures."""

    kind = ""
    series = ""
    limits = (0.0, 0.0)
    decimals = 3

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self._bias = env.rng.uniform(-0.5, 0.5)
        self._begin()

    def _begin(self) -> None:
        self._booted_us = self.env.now_us() + _BOOT_US
        self.told_c = 25.0
        self._ready_us = 0
        self._answer: tuple[int, str] | None = None

    def power(self, on: bool) -> None:
        """The temperature that it was told is forgotten."""
        super().power(on)
        if on:
            self._begin()

    def _addressed(self) -> None:
        if "nack" in self.faults or self.env.now_us() < self._booted_us:
            raise Nack

    def i2c_write(self, address: int, data: bytes) -> int:
        """A command in ASCII."""
        self._addressed()
        if not data:
            return 0
        if self.env.now_us() < self._ready_us:
            raise Violation(f"EZO-{self.kind}: a command while the last one is being processed")
        text = data.decode("ascii").rstrip("\0").upper()
        command, _, value = text.partition(",")
        now = self.env.now_us()
        if command in ("R", "RT"):
            self._ready_us = now + _LONG_US
            if command == "RT":
                self._tell(value)
            self._answer = (1, self._reading(self._ready_us))
        elif command in ("I", "STATUS", "T"):
            self._ready_us = now + _SHORT_US
            told = f"?T,{self.told_c}" if value == "?" else ""
            if command == "T" and value != "?":
                self._tell(value)
            self._answer = (1, {"I": f"?I,{self.kind},2.14", "STATUS": "?STATUS,P,3.30", "T": told}[command])
        else:
            raise Violation(f"EZO-{self.kind}: unknown command {text}")
        return len(data)

    def _tell(self, value: str) -> None:
        try:
            self.told_c = float(value)
        except ValueError:
            raise Violation(f"EZO-{self.kind}: {value!r} is no temperature") from None

    def i2c_read(self, address: int, count: int) -> bytes:
        """Response code, then text, then zeros."""
        self._addressed()
        if count > _LONGEST + 2:
            raise Violation(f"EZO-{self.kind}: {count} bytes read")
        if self._answer is None:
            return b"\xff" * count
        if self.env.now_us() < self._ready_us or "warming_up" in self.faults:
            return bytes([254]).ljust(count, b"\0")
        code, text = self._answer
        if "wrong_crc" in self.faults:  # there is no checksum: what arrives damaged is no number
            text = text[:1] + "\x7f" + text[2:]
        return (bytes([code]) + text.encode("latin-1")).ljust(count, b"\0")[:count]

    def _reading(self, time_us: int) -> str:
        low, high = self.limits
        value = self.shown(self.env.world.value("water_temperature_c", time_us), time_us)
        if "saturated" in self.faults:
            value = high
        return f"{min(max(value, low), high):.{self.decimals}f}"

    @abstractmethod
    def shown(self, celsius: float, time_us: int) -> float:
        """What it computes in water of ``celsius`` with the temperature it was told."""
