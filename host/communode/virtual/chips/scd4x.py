# SPDX-License-Identifier: MIT
"""SCD41, the CO2 sensor. DS = Sensirion SCD4x datasheet 1.3, September 2022.

Modelled: the command table (DS table 9), execution times, modes, the data buffer, volatile and persistent
settings, the first shot after power-up that is to be discarded (DS 3.10). Not modelled: self-calibration.
"""

from __future__ import annotations

from typing import Any, ClassVar

from communode.virtual.chips.chip import Environment, Nack
from communode.virtual.chips.sensirion import Command, WordChip

POWER_UP_US = 1_000_000  # DS table 6, maximum
FIRST_SHOT_ERROR_PPM = 90.0  # an assumption: DS only says that it is to be discarded
_IDLE = ("idle",)
_MEASURING = ("periodic", "low_power")
_ANY = ("idle", *_MEASURING)
_DEFAULTS = {
    "temperature_offset": round(4 * 65535 / 175),
    "sensor_altitude": 0,
    "automatic_self_calibration_enabled": 1,
    "automatic_self_calibration_target": 400,
    "automatic_self_calibration_initial_period": 44,
    "automatic_self_calibration_standard_period": 156,
}
_INTERVAL_US = {"periodic": 5_000_000, "low_power": 30_000_000}


def tolerance(name: str, value: float) -> float:
    """Stated error (same unit) of ``value``: DS tables 1 to 3, SCD41."""
    if name == "co2_ppm":
        if value <= 1000:
            return 50 + 0.025 * value
        return 50 + 0.03 * value if value <= 2000 else 40 + 0.05 * value
    if name == "temperature_c":
        return 0.8 if 15 <= value <= 35 else 1.5
    if name == "relative_humidity_pct":
        return 6.0 if 20 <= value <= 65 else 9.0
    raise KeyError(name)


class Scd4x(WordChip):
    """SCD41 at its only address."""

    addresses = (0x62,)
    commands: ClassVar[dict[int, Command]] = {
        0x21B1: Command("start_periodic_measurement", _IDLE),
        0xEC05: Command("read_measurement", _ANY, 1),
        0x3F86: Command("stop_periodic_measurement", _ANY, 500),
        0x241D: Command("set_temperature_offset", _IDLE, 1, (1,)),
        0x2318: Command("get_temperature_offset", _IDLE, 1),
        0x2427: Command("set_sensor_altitude", _IDLE, 1, (1,)),
        0x2322: Command("get_sensor_altitude", _IDLE, 1),
        0xE000: Command("ambient_pressure", _ANY, 1, (0, 1)),
        0x362F: Command("perform_forced_recalibration", _IDLE, 400, (1,)),
        0x2416: Command("set_automatic_self_calibration_enabled", _IDLE, 1, (1,)),
        0x2313: Command("get_automatic_self_calibration_enabled", _IDLE, 1),
        0x243A: Command("set_automatic_self_calibration_target", _IDLE, 1, (1,)),
        0x233F: Command("get_automatic_self_calibration_target", _IDLE, 1),
        0x2445: Command("set_automatic_self_calibration_initial_period", _IDLE, 1, (1,)),
        0x2340: Command("get_automatic_self_calibration_initial_period", _IDLE, 1),
        0x244E: Command("set_automatic_self_calibration_standard_period", _IDLE, 1, (1,)),
        0x234B: Command("get_automatic_self_calibration_standard_period", _IDLE, 1),
        0x21AC: Command("start_low_power_periodic_measurement", _IDLE),
        0xE4B8: Command("get_data_ready_status", _ANY, 1),
        0x3615: Command("persist_settings", _IDLE, 800),
        0x3682: Command("get_serial_number", _IDLE, 1),
        0x3639: Command("perform_self_test", _IDLE, 10_000),
        0x3632: Command("perform_factory_reset", _IDLE, 1200),
        0x3646: Command("reinit", _IDLE, 20),
        0x219D: Command("measure_single_shot", _IDLE, 5000),
        0x2196: Command("measure_single_shot_rht_only", _IDLE, 50),
        0x36E0: Command("power_down", _IDLE, 1),
        0x36F6: Command("wake_up", ("sleep", "idle"), 20),
        0x202F: Command("get_sensor_variant", _IDLE, 1),
    }

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self._eeprom = dict(_DEFAULTS)
        self._settings = dict(_DEFAULTS)
        self._pressure = 1013
        self._bias_c = env.rng.uniform(-0.2, 0.2)
        self._bias_pct = env.rng.uniform(-1.5, 1.5)
        self._begin()

    def _begin(self) -> None:
        self.mode = "idle"
        self._started_us = self.env.now_us()
        self._settings = dict(self._eeprom)
        self._fresh = True
        self._shot: tuple[int, bool] | None = None  # end of a shot whose data wait, and whether with CO2
        self._periods_read = 0
        self.busy_until_us = 0
        self._answer = None

    def power(self, on: bool) -> None:
        """Without supply everything but the EEPROM is lost."""
        super().power(on)
        if on:
            self._begin()

    def on_addressed(self, data: bytes) -> None:
        """Silent while it powers up; asleep it hears nothing but wake_up, and does not acknowledge that."""
        if self.env.now_us() < self._started_us + POWER_UP_US:
            raise Nack
        if self.mode == "sleep":
            if data == b"\x36\xf6":
                self.mode = "idle"
                self._fresh = True
                self.busy_until_us = self.env.now_us() + 20_000
            raise Nack

    def on_refused(self, command: Command) -> None:
        """While it measures periodically it does not answer what it cannot do then."""
        raise Nack

    def execute(self, name: str, words: list[int]) -> list[int] | None:
        """Do one command of DS table 9."""
        if name.startswith("set_"):
            self._settings[name.removeprefix("set_")] = words[0]
            return None
        if name.startswith("get_") and name.removeprefix("get_") in self._settings:
            return [self._settings[name.removeprefix("get_")]]
        handler = getattr(self, f"_{name}", None)
        return handler(words) if handler else None

    def _start_periodic_measurement(self, words: list[int]) -> None:
        self._measure_in("periodic")

    def _start_low_power_periodic_measurement(self, words: list[int]) -> None:
        self._measure_in("low_power")

    def _measure_in(self, mode: str) -> None:
        self.mode = mode
        self._begun_us = self.env.now_us()
        self._periods_read = 0
        self._shot = None

    def _stop_periodic_measurement(self, words: list[int]) -> None:
        self.mode = "idle"
        self._shot = None

    def _measure_single_shot(self, words: list[int]) -> None:
        self._shot = (self.busy_until_us, True)

    def _measure_single_shot_rht_only(self, words: list[int]) -> None:
        self._shot = (self.busy_until_us, False)

    def _waiting(self) -> tuple[int, bool] | None:
        # The measurement in the buffer: its end, and whether it has CO2.
        if self.mode in _MEASURING:
            interval = _INTERVAL_US[self.mode]
            done = (self.env.now_us() - self._begun_us) // interval
            return (self._begun_us + done * interval, True) if done > self._periods_read else None
        return self._shot

    def _get_data_ready_status(self, words: list[int]) -> list[int]:
        return [0x8006 if self._waiting() else 0x8000]

    def _read_measurement(self, words: list[int]) -> list[int] | None:
        waiting = self._waiting()
        if waiting is None:
            return None  # the read that follows is not acknowledged (DS 3.5.2)
        end_us, with_co2 = waiting
        self._shot = None
        if self.mode in _MEASURING:
            self._periods_read = (self.env.now_us() - self._begun_us) // _INTERVAL_US[self.mode]
        co2 = 0
        if with_co2:
            wrong = self._fresh or "warming_up" in self.faults
            first = FIRST_SHOT_ERROR_PPM if wrong else 0.0
            co2 = max(1, min(40000, round(self.measured("co2_ppm", end_us, 4.0, first))))
            self._fresh = False
            if "saturated" in self.faults:
                co2 = 40000
        offset = 4.0 - self._settings["temperature_offset"] * 175 / 65535
        celsius = self.measured("temperature_c", end_us, 0.05, self._bias_c + offset)
        humidity = self.measured("relative_humidity_pct", end_us, 0.3, self._bias_pct)
        return [
            co2,
            max(0, min(65535, round((celsius + 45) * 65535 / 175))),
            max(0, min(65535, round(humidity * 65535 / 100))),
        ]

    def _ambient_pressure(self, words: list[int]) -> list[int] | None:
        if not words:
            return [self._pressure]
        self._pressure = words[0]
        return None

    def _perform_forced_recalibration(self, words: list[int]) -> list[int]:
        return [0xFFFF if self._fresh else 0x8000]

    def _persist_settings(self, words: list[int]) -> None:
        self._eeprom = dict(self._settings)

    def _get_serial_number(self, words: list[int]) -> list[int]:
        return [0xF896, 0x9F07, 0x3BBE]

    def _get_sensor_variant(self, words: list[int]) -> list[int]:
        return [0x1441]

    def _perform_self_test(self, words: list[int]) -> list[int]:
        return [0]

    def _perform_factory_reset(self, words: list[int]) -> None:
        self._eeprom = dict(_DEFAULTS)
        self._settings = dict(_DEFAULTS)

    def _reinit(self, words: list[int]) -> None:
        self._settings = dict(self._eeprom)

    def _power_down(self, words: list[int]) -> None:
        self.mode = "sleep"
        self._shot = None
