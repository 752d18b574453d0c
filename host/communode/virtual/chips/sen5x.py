# SPDX-License-Identifier: MIT
"""SEN55: particles, humidity, temperature, VOC and NOx. DS = Sensirion SEN5x version 2, March 2022.

Modelled: the command table with its execution times, idle, measuring and measuring without fan, values each
second, what is unknown at first (NOx for 10 s, VOC index 0 for 45 s), tuning parameters as storage. Not
modelled: fan cleaning, the gas index algorithm itself.
"""

from __future__ import annotations

from typing import Any, ClassVar

from communode.virtual.chips.chip import Environment, Nack
from communode.virtual.chips.sensirion import Command, WordChip

_POWER_UP_US = 50_000
_PERIOD_US = 1_000_000
_NOX_US = 10_500_000
_VOC_US = 45_000_000
_SETTLED_US = 8_000_000  # DS table 1 says up to 30 s below 100 /cm3; before, the model reads low
_ANY = ("idle", "measuring", "gas_only")
_RUNNING = ("measuring", "gas_only")
_MASSES = ("pm1_ug_m3", "pm25_ug_m3", "pm4_ug_m3", "pm10_ug_m3")
_PARAMETERS = {
    0x60B2: ("temperature_offset", [0, 0, 0]),
    0x60C6: ("warm_start", [0]),
    0x60D0: ("voc_tuning", [100, 12, 12, 180, 50, 230]),
    0x60E1: ("nox_tuning", [1, 12, 12, 720, 50, 230]),
    0x60F7: ("rht_acceleration", [0]),
    0x6181: ("voc_state", [0, 0, 0, 0]),
    0x8004: ("auto_cleaning_interval", [9, 0x3A80]),
}


def tolerance(name: str, value: float) -> float:
    """Stated error (same unit) of ``value``: DS tables 1 to 4."""
    if name in ("pm1_ug_m3", "pm25_ug_m3"):
        return 5 + 0.05 * value if value <= 100 else 0.1 * value
    if name in ("pm4_ug_m3", "pm10_ug_m3"):
        return max(25.0, 0.25 * value)
    spans = {"relative_humidity_pct": 4.5, "temperature_c": 0.45}
    if name in ("voc_index", "nox_index"):
        return max(15.0, 0.15 * value)
    return spans[name]


class Sen5x(WordChip):
    """SEN55 at its only address."""

    addresses = (0x69,)
    commands: ClassVar[dict[int, Command]] = {
        0x0021: Command("start_measurement", ("idle", "gas_only"), 50),
        0x0037: Command("start_without_pm", ("idle", "measuring"), 50),
        0x0104: Command("stop_measurement", _RUNNING, 200),
        0x0202: Command("read_data_ready", _ANY, 20),
        0x03C4: Command("read_measured_values", _ANY, 20),
        0x5607: Command("start_fan_cleaning", ("measuring",), 20),
        0xD014: Command("read_product_name", _ANY, 20),
        0xD033: Command("read_serial_number", _ANY, 20),
        0xD100: Command("read_version", _ANY, 20),
        0xD206: Command("read_device_status", _ANY, 20),
        0xD210: Command("read_and_clear_device_status", _ANY, 20),
        0xD304: Command("device_reset", _ANY, 100),
        **{code: Command(name, _ANY, 20, (0, len(words))) for code, (name, words) in _PARAMETERS.items()},
    }

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self._gain = 1 + env.rng.uniform(-0.02, 0.02)
        self._bias_c = env.rng.uniform(-0.2, 0.2)
        self._bias_pct = env.rng.uniform(-2, 2)
        self._begin()

    def _begin(self) -> None:
        self.mode = "idle"
        self._powered_us = self.env.now_us()
        self._running_us = self._fan_us = 0
        self._read_until_us = 0
        self.busy_until_us = 0
        self._answer = None
        self._parameters = {name: list(words) for name, words in _PARAMETERS.values()}

    def power(self, on: bool) -> None:
        """Everything is lost but what the driver never sets."""
        super().power(on)
        if on:
            self._begin()

    def on_addressed(self, data: bytes) -> None:
        """Silent while it boots."""
        if self.env.now_us() < self._powered_us + _POWER_UP_US:
            raise Nack

    def on_refused(self, command: Command) -> None:
        """A command that the mode does not have is not acknowledged."""
        raise Nack

    def execute(self, name: str, words: list[int]) -> list[int] | None:
        """Do one command."""
        if name in self._parameters:
            if words:
                self._parameters[name] = words
                return None
            return self._parameters[name]
        answer: list[int] | None = getattr(self, f"_{name}")()
        return answer

    def _start_measurement(self) -> None:
        if self.mode == "idle":
            self._running_us = self.env.now_us()
        self.mode = "measuring"
        self._fan_us = self._read_until_us = self.env.now_us()

    def _start_without_pm(self) -> None:
        if self.mode == "idle":
            self._running_us = self.env.now_us()
        self.mode = "gas_only"
        self._read_until_us = self.env.now_us()

    def _stop_measurement(self) -> None:
        self.mode = "idle"

    def _new_data(self) -> bool:
        return self.mode != "idle" and self.env.now_us() >= self._read_until_us + _PERIOD_US

    def _read_data_ready(self) -> list[int]:
        return [int(self._new_data() and "warming_up" not in self.faults)]

    def _read_measured_values(self) -> list[int]:
        now = self.env.now_us()
        if self.mode == "idle" or now < self._running_us + _PERIOD_US:
            return [0xFFFF] * 4 + [0x7FFF] * 4
        self._read_until_us = now - (now - self._read_until_us) % _PERIOD_US
        masses = [self._mass(name) if self.mode == "measuring" else 0xFFFF for name in _MASSES]
        humidity = self.measured("relative_humidity_pct", now, 0.2, self._bias_pct)
        celsius = self.measured("temperature_c", now, 0.03, self._bias_c)
        running = now - self._running_us
        voc = self.measured("voc_index", now, 1.0) if running >= _VOC_US else 0.0
        nox = self.measured("nox_index", now, 0.2)
        return [
            *masses,
            round(max(0.0, min(100.0, humidity)) * 100) & 0xFFFF,
            round(celsius * 200) & 0xFFFF,
            round(voc * 10),
            max(10, round(nox * 10)) if running >= _NOX_US else 0x7FFF,
        ]

    def _mass(self, name: str) -> int:
        now = self.env.now_us()
        settled = min(1.0, (now - self._fan_us) / _SETTLED_US)
        mass = self.measured(name, now, 0.3, 0.0) * self._gain * settled
        return 65_000 if "saturated" in self.faults else max(0, min(65_534, round(mass * 10)))

    def _start_fan_cleaning(self) -> None:
        self._fan_us = self.env.now_us() + 10_000_000

    @staticmethod
    def _text(text: str, words: int) -> list[int]:
        data = text.encode().ljust(2 * words, b"\0")
        return [int.from_bytes(data[n : n + 2], "big") for n in range(0, 2 * words, 2)]

    def _read_product_name(self) -> list[int]:
        return self._text("SEN55", 16)

    def _read_serial_number(self) -> list[int]:
        return self._text("0123456789ABCDEF", 16)

    def _read_version(self) -> list[int]:
        return [0x0200, 0x0004, 0x0001, 0x0000]

    def _read_device_status(self) -> list[int]:
        return [0, 0]

    def _read_and_clear_device_status(self) -> list[int]:
        return [0, 0]

    def _device_reset(self) -> None:
        busy = self.busy_until_us
        self._begin()
        self._powered_us -= _POWER_UP_US
        self.busy_until_us = busy
