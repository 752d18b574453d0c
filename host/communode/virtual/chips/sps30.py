# SPDX-License-Identifier: MIT
"""SPS30, the particulate matter sensor. DS = Sensirion SPS30 datasheet 1.0, March 2020 (firmware 2.2).

Modelled: idle, measuring and sleep (DS 4.1), the I2C command table (DS table 5), settling after the start,
fan cleaning. Not modelled: number concentrations beyond their shape, wear.
"""

from __future__ import annotations

import math
import struct
from typing import Any, ClassVar

from communode.virtual.chips.chip import Environment, Nack, Violation
from communode.virtual.chips.sensirion import Command, WordChip

_IDLE = ("idle",)
_MEASURING = ("measuring",)
_BOTH = ("idle", "measuring")
SETTLING_S = 5.0  # time constant; DS table 1 gives 8 s to 30 s until the values are within their precision
WAKE_WINDOW_US = 100_000  # DS 6.3.9
CLEANING_US = 10_000_000
_FLOAT, _UINT16 = 0x0300, 0x0500
_SERIES = ("pm1_ug_m3", "pm25_ug_m3", "pm4_ug_m3", "pm10_ug_m3")


def tolerance(name: str, value: float) -> float:
    """Stated precision (ug/m3) of ``value``: DS table 1, PM1 and PM2.5 better than PM4 and PM10."""
    if name not in _SERIES:
        raise KeyError(name)
    part = 0.10 if name in _SERIES[:2] else 0.25
    return 100 * part if value <= 100 else part * value


class Sps30(WordChip):
    """SPS30 with SEL at ground: I2C."""

    addresses = (0x69,)
    commands: ClassVar[dict[int, Command]] = {
        0x0010: Command("start_measurement", _IDLE, 20, (1,)),
        0x0104: Command("stop_measurement", _MEASURING, 20),
        0x0202: Command("read_data_ready_flag", _BOTH),
        0x0300: Command("read_measured_values", _BOTH),
        0x1001: Command("sleep", _IDLE, 5),
        0x1103: Command("wake_up", _IDLE, 5),
        0x5607: Command("start_fan_cleaning", _MEASURING, 5),
        0x8004: Command("auto_cleaning_interval", _BOTH, 5, (0, 2)),
        0xD002: Command("read_product_type", _BOTH),
        0xD033: Command("read_serial_number", _BOTH),
        0xD100: Command("read_version", _BOTH),
        0xD206: Command("read_device_status_register", _BOTH),
        0xD210: Command("clear_device_status_register", _BOTH, 5),
        0xD304: Command("device_reset", _BOTH, 100),
    }

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self._cleaning_s = 604_800  # kept in the chip (DS 4.2)
        self._gain = env.rng.uniform(0.97, 1.03)
        self._begin()

    def _begin(self) -> None:
        self.mode = "idle"
        self.busy_until_us = 0
        self._answer = None
        self._window_until_us = 0

    def power(self, on: bool) -> None:
        """With the supply it begins in idle."""
        super().power(on)
        if on:
            self._begin()

    def on_addressed(self, data: bytes) -> None:
        """Asleep, the first transfer only switches the interface on for 100 ms."""
        if self.mode != "sleep":
            return
        now = self.env.now_us()
        if now < self._window_until_us and data[:2] == b"\x11\x03":
            self.mode = "idle"
            return
        self._window_until_us = now + WAKE_WINDOW_US
        raise Nack

    def on_refused(self, command: Command) -> None:
        """A command that the mode does not allow is not acknowledged."""
        raise Nack

    def execute(self, name: str, words: list[int]) -> list[int] | None:
        """Do one command of DS table 5."""
        handler = getattr(self, f"_{name}", None)
        return handler(words) if handler else None

    def _start_measurement(self, words: list[int]) -> None:
        if words[0] not in (_FLOAT, _UINT16):
            raise Violation(f"SPS30: output format 0x{words[0]:04X}")
        self._format = words[0]
        self.mode = "measuring"
        self._begun_us = self.env.now_us()
        self._read = 0
        self._cleaned_us = -CLEANING_US

    def _stop_measurement(self, words: list[int]) -> None:
        self.mode = "idle"

    def _sleep(self, words: list[int]) -> None:
        self.mode = "sleep"
        self._window_until_us = 0

    def _second(self) -> int:
        # Seconds of measurement so far; while the fan is cleaned nothing new comes.
        now = self.env.now_us()
        if now < self._cleaned_us + CLEANING_US:
            now = self._cleaned_us
        return (now - self._begun_us) // 1_000_000

    def _read_data_ready_flag(self, words: list[int]) -> list[int]:
        return [int(self.mode == "measuring" and self._second() > self._read)]

    def _read_measured_values(self, words: list[int]) -> list[int] | None:
        if self.mode != "measuring" or self._second() == 0:
            return None
        self._read = second = self._second()
        time_us = self._begun_us + second * 1_000_000
        settled = 0.5 if "warming_up" in self.faults else 1 - math.exp(-second / SETTLING_S)
        masses = [self._mass(name, time_us) * settled for name in _SERIES]
        if "saturated" in self.faults:
            masses = [1500.0] * len(_SERIES)
        counts = [factor * masses[1] for factor in (6.0, 7.0, 7.1, 7.15, 7.2)]
        values = [*masses, *counts, 0.6]
        if self._format == _UINT16:
            return [min(65535, round(value)) for value in values[:9]] + [600]
        packed = struct.pack(">10f", *values)
        return [int.from_bytes(packed[n : n + 2], "big") for n in range(0, 40, 2)]

    def _mass(self, name: str, time_us: int) -> float:
        true = self.env.world.value(name, time_us)
        return max(0.0, self.measured(name, time_us, 0.2 + 0.01 * true, (self._gain - 1) * true))

    def _start_fan_cleaning(self, words: list[int]) -> None:
        self._cleaned_us = self.env.now_us()

    def _auto_cleaning_interval(self, words: list[int]) -> list[int] | None:
        if not words:
            return [self._cleaning_s >> 16, self._cleaning_s & 0xFFFF]
        self._cleaning_s = words[0] << 16 | words[1]
        return None

    @staticmethod
    def _characters(text: str, size: int) -> list[int]:
        data = text.encode("ascii").ljust(size, b"\0")
        return [int.from_bytes(data[n : n + 2], "big") for n in range(0, size, 2)]

    def _read_product_type(self, words: list[int]) -> list[int]:
        return self._characters("00080000", 8)

    def _read_serial_number(self, words: list[int]) -> list[int]:
        return self._characters("0123456789ABCDEF", 32)

    def _read_version(self, words: list[int]) -> list[int]:
        return [0x0202]

    def _read_device_status_register(self, words: list[int]) -> list[int]:
        return [0, 0]

    def _device_reset(self, words: list[int]) -> None:
        busy = self.busy_until_us
        self._begin()
        self.busy_until_us = busy
