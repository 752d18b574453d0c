# SPDX-License-Identifier: MIT
"""What each driver of ``firmware/node/drivers`` offers and accepts: the table that profiles are judged by."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class DriverFacts:
    """What a device driver offers: the kind of its bus, its quantities, its settings and their ranges."""

    bus_kind: str  # bus names are this plus a number, say "i2c0"; "adc" stands alone
    quantities: tuple[str, ...]
    settings: dict[str, tuple[int, int]] = field(default_factory=dict)
    cycle_ms: int = 1000  # longest time from start() to the end of read()
    address: int | None = None  # on I2C; the default where there is a setting "address"
    needs: tuple[str, ...] = ()  # what it computes with: another sensor must measure it
    always_on: bool = False  # a power gate would lose what it counts or spoil what it measures
    # So many readings in a row with the same values are no measurement any more; 0: they may be one, as of a
    # counter, still water, clean air in whole ug/m3. With fine values of several kinds noise forbids an hour of
    # it; a distance in whole millimetres may stand still for a night, but not for a day at ten minutes.
    stale_after: int = 0


_BIN = {"empty_mm": (40, 7500), "full_mm": (30, 7000)}
_ADS1115 = {"address": (0x48, 0x4B), "channel": (0, 3)}
_WARM_UP = {"warm_up_ms": (0, 10_000)}
_LOOP = {
    **_ADS1115,
    "full_scale_mm": (100, 20_000),
    "shunt_mohm": (10_000, 250_000),
    "zero_mm": (-10_000, 10_000),
    **_WARM_UP,
}
_PM = ("pm1", "pm25", "pm4", "pm10")
_RHT = ("relative_humidity", "air_temperature")

DRIVERS: dict[str, DriverFacts] = {
    "scd4x": DriverFacts(
        "i2c",
        ("co2", "air_temperature", "relative_humidity"),
        {"altitude_m": (0, 3000)},
        6000,
        address=0x62,
        always_on=True,
        stale_after=6,
    ),
    "sps30": DriverFacts("i2c", _PM, {"warm_up_ms": (8000, 60_000)}, 61_000, address=0x69, stale_after=36),
    "sen5x": DriverFacts(
        "i2c",
        (*_PM, *_RHT, "voc_index", "nox_index"),
        {"warm_up_ms": (8000, 60_000), "gases": (0, 1)},
        61_000,
        address=0x69,
        stale_after=6,
    ),
    "sht4x": DriverFacts(
        "i2c",
        ("air_temperature", "relative_humidity"),
        {"address": (0x44, 0x45)},
        address=0x44,
        stale_after=6,
    ),
    "bme280": DriverFacts(
        "i2c",
        ("air_temperature", "relative_humidity", "pressure"),
        {"address": (0x76, 0x77)},
        address=0x76,
        stale_after=6,
    ),
    "pms5003": DriverFacts("uart", ("pm1", "pm25", "pm10"), {"warm_up_ms": (8000, 60_000)}, 63_000),
    "no2_b4": DriverFacts(
        "i2c",
        ("no2",),
        {
            "address": (0x48, 0x4B),
            "we_zero_uv": (0, 1_000_000),
            "ae_zero_uv": (0, 1_000_000),
            "sensitivity_nv_ppb": (50_000, 1_000_000),
            "settle_readings": (0, 1000),
        },
        address=0x48,
        needs=("air_temperature",),
        always_on=True,
    ),
    "ds18b20": DriverFacts("onewire", ("water_temperature",)),
    "ads1115": DriverFacts("i2c", ("water_level",), _LOOP, 11_000, address=0x48),
    "ads1115_mean": DriverFacts(
        "i2c",
        ("water_level", "water_level_spread", "water_level_count"),
        {**_LOOP, "samples": (4, 64)},
        13_000,
        address=0x48,
    ),
    "a02yyuw_level": DriverFacts(
        "uart",
        ("water_level", "water_level_spread", "water_level_count"),
        {"mount_mm": (100, 20_000), "listen_ms": (1000, 10_000)},
        11_000,
        stale_after=144,
    ),
    "a02yyuw_level_air": DriverFacts(
        "uart",
        ("water_level", "water_level_raw", "water_level_spread", "water_level_count"),
        {"mount_mm": (100, 20_000), "listen_ms": (1000, 10_000), "assumed_degc": (0, 30)},
        11_000,
        needs=("air_temperature",),
        stale_after=144,
    ),
    "ezo_ph": DriverFacts("i2c", ("ph",), {}, 2500, address=0x63, needs=("water_temperature",)),
    "ezo_orp": DriverFacts("i2c", ("orp",), {}, 2500, address=0x62),
    "ezo_ec": DriverFacts("i2c", ("conductivity",), {}, 2500, address=0x64, needs=("water_temperature",)),
    "ezo_do": DriverFacts("i2c", ("dissolved_oxygen",), {}, 2500, address=0x61, needs=("water_temperature",)),
    "analogue_ph": DriverFacts(
        "i2c",
        ("ph",),
        {**_ADS1115, "zero_uv": (0, 3_300_000), "uv_per_ph": (-1_000_000, 1_000_000), **_WARM_UP},
        11_000,
        address=0x48,
        needs=("water_temperature",),
    ),
    "analogue_ec": DriverFacts(
        "i2c",
        ("conductivity",),
        {
            **_ADS1115,
            "zero_uv": (0, 3_300_000),
            "uv_per_ms": (1000, 10_000_000),
            "coefficient": (0, 300),
            "full_scale_us": (10, 100_000),
            **_WARM_UP,
        },
        11_000,
        address=0x48,
        needs=("water_temperature",),
    ),
    "analogue_turbidity": DriverFacts(
        "i2c",
        ("turbidity",),
        {
            **_ADS1115,
            "zero_uv": (0, 3_300_000),
            "full_scale_uv": (0, 3_300_000),
            "full_scale_ntu": (10, 3000),
            "drift": (-200, 200),
            **_WARM_UP,
        },
        11_000,
        address=0x48,
        needs=("water_temperature",),
    ),
    "pcf8593": DriverFacts(
        "i2c", ("water_volume",), {"litres_per_pulse": (1, 10)}, address=0x51, always_on=True
    ),
    "pulse_ulp": DriverFacts("ulp", ("water_volume",), {"litres_per_pulse": (1, 10)}, always_on=True),
    "a02yyuw": DriverFacts("uart", ("distance", "fill_level"), _BIN, 3000, stale_after=144),
    "a02yyuw_air": DriverFacts(
        "uart",
        ("distance", "fill_level", "distance_raw", "distance_spread", "distance_count"),
        {**_BIN, "assumed_degc": (0, 30)},
        3000,
        needs=("air_temperature",),
        stale_after=144,
    ),
    "hrxl": DriverFacts(
        "uart",
        ("distance", "fill_level"),
        {**_BIN, "near_mm": (30, 1000), "far_mm": (1000, 9999)},
        3000,
        stale_after=144,
    ),
    "vl53l1x": DriverFacts(
        "i2c",
        ("distance", "fill_level"),
        {"address": (0x29, 0x29), **_BIN},
        2000,
        address=0x29,
        stale_after=144,
    ),
    "lis3dh": DriverFacts("i2c", ("tilt",), {"address": (0x18, 0x19), "up": (0, 5)}, address=0x18),
    "ics43434": DriverFacts(
        "i2s",
        ("laeq", "lamax", "la10", "la50", "la90"),
        {"listen_s": (1, 60), "sensitivity_cdb": (-3000, -2000)},
        61_000,
    ),
    "battery": DriverFacts("adc", ("battery",)),
}
