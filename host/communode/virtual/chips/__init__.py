# SPDX-License-Identifier: MIT
"""Chip models by the name of the driver that serves them, and what their makers promise.

A model is imported when it is first asked for: a board with three sensors loads three.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from communode.virtual.chips.chip import Chip

_CLASSES = {
    "a02yyuw": "A02yyuw",
    "ads1115": "Ads1115",
    "ds18b20": "Ds18b20",
    "lis3dh": "Lis3dh",
    "pcf8593": "Pcf8593",
    "scd4x": "Scd4x",
    "sps30": "Sps30",
}

# quantity of node/schema: series of the world (in the quantity's unit), driver whose chip measures it.
TRUTH = {
    "co2": ("co2_ppm", "scd4x"),
    "air_temperature": ("temperature_c", "scd4x"),
    "relative_humidity": ("relative_humidity_pct", "scd4x"),
    "pm1": ("pm1_ug_m3", "sps30"),
    "pm25": ("pm25_ug_m3", "sps30"),
    "pm4": ("pm4_ug_m3", "sps30"),
    "pm10": ("pm10_ug_m3", "sps30"),
    "water_temperature": ("water_temperature_c", "ds18b20"),
    "water_level": ("water_level_m", "ads1115"),
    "water_volume": ("water_index_l", "pcf8593"),
    "distance": ("bin_distance_mm", "a02yyuw"),
    "fill_level": ("bin_fill_pct", "a02yyuw"),
    "tilt": ("tilt_deg", "lis3dh"),
    "battery": ("battery_v", None),
}

# The ESP32's calibrated ADC, up to 10 mV behind a divider of 4.9 (ESP32-S3 datasheet, ADC characteristics).
_BATTERY_V = 0.05


class _SensorChips(Mapping[str, type[Chip]]):
    def __getitem__(self, driver: str) -> type[Chip]:
        module = import_module(f"communode.virtual.chips.{driver}") if driver in _CLASSES else None
        if module is None:
            raise KeyError(driver)
        found: type[Chip] = getattr(module, _CLASSES[driver])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_CLASSES)

    def __len__(self) -> int:
        return len(_CLASSES)


SENSOR_CHIPS: Mapping[str, type[Chip]] = _SensorChips()


def tolerance(quantity: str, value: float) -> float:
    """The stated error of ``quantity`` around the true ``value``, both in the quantity's unit."""
    series, driver = TRUTH[quantity]
    if driver is None:
        return _BATTERY_V
    found: float = import_module(f"communode.virtual.chips.{driver}").tolerance(series, value)
    return found
