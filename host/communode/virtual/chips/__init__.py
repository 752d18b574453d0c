# SPDX-License-Identifier: MIT
"""Chip models by the name of the driver that serves them, and what their makers promise.

A model is imported when it is first asked for: a board with three sensors loads three.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from communode.node.schema.quantities import CALIBRATED, QUANTITIES
from communode.virtual.chips.chip import Chip

_CLASSES = {
    "a02yyuw": "A02yyuw",
    "a02yyuw_air": "A02yyuwAir",
    "a02yyuw_level": "A02yyuwLevel",
    "a02yyuw_level_air": "A02yyuwLevelAir",
    "ads1115": "Ads1115",
    "ads1115_mean": "Ads1115",
    "analogue_ec": "AnalogueEc",
    "analogue_ph": "AnaloguePh",
    "analogue_turbidity": "AnalogueTurbidity",
    "bme280": "Bme280",
    "ds18b20": "Ds18b20",
    "ezo_do": "EzoDo",
    "ezo_ec": "EzoEc",
    "ezo_orp": "EzoOrp",
    "ezo_ph": "EzoPh",
    "hrxl": "Hrxl",
    "ics43434": "Ics43434",
    "lis3dh": "Lis3dh",
    "no2_b4": "No2B4",
    "pcf8593": "Pcf8593",
    "pms5003": "Pms5003",
    "pulse_ulp": "PulseUlp",
    "scd4x": "Scd4x",
    "sen5x": "Sen5x",
    "sht4x": "Sht4x",
    "sps30": "Sps30",
    "vl53l1x": "Vl53l1x",
}

# quantity of node/schema: series of the world, in the quantity's unit.
SERIES = {
    "co2": "co2_ppm",
    "air_temperature": "temperature_c",
    "relative_humidity": "relative_humidity_pct",
    "pm1": "pm1_ug_m3",
    "pm25": "pm25_ug_m3",
    "pm4": "pm4_ug_m3",
    "pm10": "pm10_ug_m3",
    "water_temperature": "water_temperature_c",
    "water_level": "water_level_m",
    "water_volume": "water_index_l",
    "distance": "bin_distance_mm",
    "fill_level": "bin_fill_pct",
    "tilt": "tilt_deg",
    "battery": "battery_v",
    "pressure": "pressure_hpa",
    "voc_index": "voc_index",
    "nox_index": "nox_index",
    "no2": "no2_ppb",
    "ph": "ph",
    "orp": "orp_mv",
    "conductivity": "conductivity_us_cm",
    "dissolved_oxygen": "dissolved_oxygen_mg_l",
    "turbidity": "turbidity_ntu",
    **dict.fromkeys(("laeq", "lamax", "la10", "la50", "la90"), "laeq_db"),  # the world's sound is steady
}

# The first driver of the demonstration that measures a quantity: whose stated error `tolerance` gives when
# nobody says which sensor it was.
_USUAL = {
    "co2": "scd4x",
    "air_temperature": "scd4x",
    "relative_humidity": "scd4x",
    "pm1": "sps30",
    "pm25": "sps30",
    "pm4": "sps30",
    "pm10": "sps30",
    "water_temperature": "ds18b20",
    "water_level": "ads1115",
    "water_volume": "pcf8593",
    "distance": "a02yyuw",
    "fill_level": "a02yyuw",
    "tilt": "lis3dh",
    "battery": None,
    "pressure": "bme280",
    "voc_index": "sen5x",
    "nox_index": "sen5x",
    "no2": "no2_b4",
    "ph": "ezo_ph",
    "orp": "ezo_orp",
    "conductivity": "ezo_ec",
    "dissolved_oxygen": "ezo_do",
    "turbidity": "analogue_turbidity",
    **dict.fromkeys(("laeq", "lamax", "la10", "la50", "la90"), "ics43434"),
}

# quantity: (series, usual driver). What is uncorrected is compared with the same truth.
TRUTH = {quantity: (series, _USUAL[quantity]) for quantity, series in SERIES.items()}
TRUTH |= {
    f"{name}_raw": TRUTH[name] for name in (QUANTITIES[code][0] for code in CALIBRATED) if name in TRUTH
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


def tolerance(quantity: str, value: float, driver: str | None = None) -> float:
    """The stated error of ``quantity`` around the true ``value``, both in the quantity's unit.

    ``driver`` names the sensor; without it, the one that usually measures this.
    """
    series, usual = TRUTH[quantity]
    driver = driver or usual
    if driver is None:
        return _BATTERY_V
    found: float = import_module(f"communode.virtual.chips.{driver}").tolerance(series, value)
    return found
