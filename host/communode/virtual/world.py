# SPDX-License-Identifier: MIT
"""What there is to be measured: named series as functions of world time, the same for the same seed.

World time 0 is ``start_utc``. Each place replays its own whole-day stretch of the recordings (chosen by seed
and name of the place), so that the hour of the day is true and two nodes do not measure the same. After its
end a recording starts again; a meter's register goes on instead. Series (unit ends the name):

    co2_ppm temperature_c relative_humidity_pct          an office
    voc_index nox_index                                  the office's, derived
    pm1_ug_m3 pm25_ug_m3 pm4_ug_m3 pm10_ug_m3            outdoors
    no2_ppb pressure_hpa laeq_db                         outdoors
    water_temperature_c water_level_m water_index_l      a river; a flat's meter, 0 at world time 0
    ph orp_mv conductivity_us_cm dissolved_oxygen_mg_l turbidity_ntu     the river's, redox derived
    water_distance_mm                                    from a bridge down to the river
    bin_fill_pct bin_distance_mm tilt_deg                a street bin, the sensor under its lid
    battery_v                                            a lithium cell that empties over two months

A world file (``--world FILE``) is TOML; everything in it is optional:

    seed = 7
    start_utc = 2026-03-02T00:00:00Z
    place = "town hall"
    [series.co2_ppm]           # constant, or recorded (a shipped file or one beside this file) with column
    constant = 800.0
    [series.water_level_m]
    recorded = "my_river.csv"  # first column: ISO 8601 with a time zone; empty cells are gaps
    column = "level_m"
    day = 3                    # which day of the recording is the first one
    scale = 0.01               # value * scale + offset, then kept within low and high
    offset = 0.2
    low = 0.0
    high = 5.0
    [faults]                   # driver = fault, handed to the chip model
    scd4x = "wrong_crc"
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from communode.errors import CommunodeError
from communode.virtual import recordings
from communode.virtual.chips import SENSOR_CHIPS
from communode.virtual.polyline import Circle, Polyline
from communode.virtual.recordings import DAY_US

START_UTC = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
BIN_EMPTY_MM = 1500.0
BIN_FULL_MM = 200.0
SERIES = (
    "co2_ppm",
    "temperature_c",
    "relative_humidity_pct",
    "pm1_ug_m3",
    "pm25_ug_m3",
    "pm4_ug_m3",
    "pm10_ug_m3",
    "water_temperature_c",
    "water_level_m",
    "water_index_l",
    "bin_fill_pct",
    "bin_distance_mm",
    "tilt_deg",
    "battery_v",
    "voc_index",
    "nox_index",
    "no2_ppb",
    "pressure_hpa",
    "laeq_db",
    "ph",
    "orp_mv",
    "conductivity_us_cm",
    "dissolved_oxygen_mg_l",
    "turbidity_ntu",
    "water_distance_mm",
)
FAULTS = ("absent", "nack", "wrong_crc", "stuck", "warming_up", "saturated", "stuck_sda", "held_sda")
BRIDGE_MM = 4000.0  # the level sensor looks down from so high above the river's datum
UG_M3_PER_PPB_NO2 = 1.9125  # at 20 degC and 1013 hPa, the reference of Directive 2008/50/EC, annex VI


@dataclass(frozen=True)
class Series:
    """One series at one place: a circle, shifted in time, scaled and limited."""

    circle: Circle
    shift_us: int = 0
    scale: float = 1.0
    offset: float = 0.0
    low: float = float("-inf")
    high: float = float("inf")

    def _shown(self, value: float) -> float:
        return min(max(value * self.scale + self.offset, self.low), self.high)

    def value(self, time_us: int) -> float:
        """The value at a world time."""
        return self._shown(self.circle.value(time_us + self.shift_us))

    def value_range(self, begin_us: int, end_us: int) -> tuple[float, float]:
        """Least and greatest value in ``[begin_us, end_us]``."""
        ends = self.circle.extremes(begin_us + self.shift_us, end_us + self.shift_us)
        low, high = sorted(self._shown(value) for value in ends)
        return low, high


@dataclass(frozen=True)
class Override:
    """What a world file says of one series."""

    constant: float | None = None
    recorded: str | None = None
    column: str | None = None
    day: int | None = None
    scale: float = 1.0
    offset: float = 0.0
    low: float = float("-inf")
    high: float = float("inf")


@dataclass(frozen=True)
class World:
    """All series at one place. ``world.at("bridge")`` is the same world elsewhere."""

    seed: int = 0
    start_utc: datetime = START_UTC
    place: str = ""
    overrides: Mapping[str, Override] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    _made: dict[str, Series] = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def load(cls, path: Path, seed: int | None = None) -> World:
        """Read a world file; ``seed`` wins over the file's. CommunodeError ``world.*`` on what is wrong."""
        world = _WorldFile(path).world()
        return world if seed is None else replace(world, seed=seed)

    def at(self, place: str) -> World:
        """The same world at another place."""
        return replace(self, place=place)

    def utc(self, time_us: int) -> datetime:
        """The calendar time of a world time."""
        return self.start_utc + timedelta(microseconds=time_us)

    def value(self, name: str, time_us: int) -> float:
        """The true value of a series (unit: see the name) at a world time. KeyError for an unknown one."""
        return self._series(name).value(time_us)

    def value_range(self, name: str, begin_us: int, end_us: int) -> tuple[float, float]:
        """Least and greatest true value between two world times, for what was measured some time between."""
        return self._series(name).value_range(begin_us, end_us)

    def _series(self, name: str) -> Series:
        series = self._made.get(name)
        if series is None:
            series = self._made[name] = self._make(name)
        return series

    def _random(self, what: str) -> random.Random:
        return random.Random(f"{self.seed}/{self.place}/{what}")

    def _midnight_us(self) -> int:
        start = self.start_utc.astimezone(UTC)
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        return int((start - midnight).total_seconds() * 1_000_000)

    def _make(self, name: str) -> Series:
        override = self.overrides.get(name)
        if override is None:
            return self._default(name)
        if override.constant is not None:
            series = Series(Circle(Polyline([(0, override.constant)]), DAY_US))
        elif override.recorded is not None:
            circle = recordings.recorded(override.recorded, override.column or name, _is_register(name))
            series = self._placed(circle, override.recorded, override.day)
        else:
            series = self._default(name)
        return Series(
            series.circle,
            series.shift_us,
            series.scale * override.scale,
            series.offset * override.scale + override.offset,
            override.low,
            override.high,
        )

    def _placed(self, circle: Circle, source: str, day: int | None = None) -> Series:
        # The same source gives the same day: CO2 goes with the temperature of its own afternoon.
        if day is None:
            days = circle.moving_days(DAY_US) or [0]
            day = self._random(source).choice(days)
        return Series(circle, day * DAY_US + self._midnight_us())

    def _bin(self) -> str:
        return self._random("bin").choice(recordings.bin_columns())

    def _default(self, name: str) -> Series:
        if name in ("co2_ppm", "temperature_c", "relative_humidity_pct"):
            return self._placed(recordings.recorded("indoor_office.csv", name), "indoor_office.csv")
        if name in ("pm1_ug_m3", "pm25_ug_m3", "pm4_ug_m3", "pm10_ug_m3"):
            return self._placed(recordings.particulate(name.partition("_")[0]), "outdoor_air.csv")
        if name in ("water_level_m", "water_temperature_c"):
            column = name.removeprefix("water_") if name == "water_temperature_c" else name
            return self._placed(recordings.recorded("river.csv", column), "river.csv")
        if name in ("no2_ppb", "pressure_hpa"):
            column = "no2_ug_m3" if name == "no2_ppb" else name
            series = self._placed(recordings.recorded("outdoor_air.csv", column), "outdoor_air.csv")
            return replace(series, scale=1 / UG_M3_PER_PPB_NO2) if name == "no2_ppb" else series
        if name == "laeq_db":
            return self._placed(recordings.recorded("noise.csv", name), "noise.csv")
        if name in ("voc_index", "nox_index"):
            # Nobody recorded the indices: they follow the room's CO2, around their long-term means 100 and 1.
            scale, offset = (0.2, 0.0) if name == "voc_index" else (0.01, -4.0)
            co2 = self._series("co2_ppm")
            return replace(co2, scale=scale, offset=offset, low=1.0, high=500.0)
        if name in ("ph", "conductivity_us_cm", "dissolved_oxygen_mg_l", "turbidity_ntu"):
            return self._placed(recordings.recorded("river.csv", name), "river.csv")
        if name == "orp_mv":  # derived: about 400 mV in aerated water, lower where it is more alkaline
            return replace(self._series("ph"), scale=-59.16, offset=915.0, low=-500.0, high=500.0)
        if name == "water_distance_mm":
            return replace(self._series("water_level_m"), scale=-1000.0, offset=BRIDGE_MM)
        if name == "water_index_l":
            series = self._placed(recordings.recorded("water_meter.csv", name, True), "water_meter.csv")
            return replace(series, offset=-series.circle.value(series.shift_us))
        if name == "bin_fill_pct":
            return self._placed(recordings.bin_fill(self._bin()), "bin_fill.csv", self._bin_day())
        if name == "bin_distance_mm":
            scale = (BIN_FULL_MM - BIN_EMPTY_MM) / 100.0
            return replace(self._series("bin_fill_pct"), scale=scale, offset=BIN_EMPTY_MM)
        if name == "tilt_deg":
            own = self._random("tilt").uniform(1.0, 4.0)
            lift = self._placed(recordings.bin_lift(self._bin()), "bin_fill.csv", self._bin_day())
            return replace(lift, offset=own)
        if name == "battery_v":
            full = self._random("battery").uniform(4.00, 4.10)
            return self._placed(recordings.line(lambda day: full - 0.008 * day, 60), "battery", 0)
        raise KeyError(f"the world has no series {name}")

    def _bin_day(self) -> int:
        return self._random("bin day").choice(recordings.bin_fill(self._bin()).moving_days(DAY_US))


def _is_register(name: str) -> bool:
    return name == "water_index_l"


class _WorldFile:
    """A world file being read; every refusal names the file and the key."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _refuse(self, code: str, **values: Any) -> CommunodeError:
        return CommunodeError(f"world.{code}", usage=True, file=self._path, **values)

    def world(self) -> World:
        try:
            table = tomllib.loads(self._path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise self._refuse("unreadable", reason=error) from error
        self._known(table, "", ("seed", "start_utc", "place", "series", "faults"))
        start = self._typed(table.get("start_utc", START_UTC), "start_utc", datetime, "2026-03-02T00:00:00Z")
        if start.tzinfo is None:
            raise self._refuse("value_wrong", key="start_utc", value=start, expected="2026-03-02T00:00:00Z")
        series = self._typed(table.get("series", {}), "series", dict, "[series.co2_ppm]")
        self._known(series, "series.", SERIES)
        faults = self._typed(table.get("faults", {}), "faults", dict, "[faults]")
        self._known(faults, "faults.", tuple(SENSOR_CHIPS))
        for driver, fault in faults.items():
            if fault not in FAULTS:
                key, expected = f"faults.{driver}", ", ".join(FAULTS)
                raise self._refuse("value_wrong", key=key, value=fault, expected=expected)
        return World(
            seed=self._typed(table.get("seed", 0), "seed", int, "0"),
            start_utc=start,
            place=self._typed(table.get("place", ""), "place", str, '"..."'),
            overrides={name: self._override(name, entry) for name, entry in series.items()},
            faults=faults,
        )

    def _known(self, table: dict[str, Any], where: str, known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                raise self._refuse("key_unknown", key=where + key, known=", ".join(known))

    def _typed(self, value: Any, key: str, kind: Any, expected: str) -> Any:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self._refuse("value_wrong", key=key, value=value, expected=expected)
        return value

    def _override(self, name: str, entry: Any) -> Override:
        where = f"series.{name}."
        self._typed(entry, where[:-1], dict, f"[{where[:-1]}]")
        self._known(entry, where, tuple(Override.__dataclass_fields__))
        given: dict[str, Any] = {}
        for key, value in entry.items():
            if key in ("recorded", "column"):
                given[key] = self._typed(value, where + key, str, '"..."')
            elif key == "day":
                given[key] = self._typed(value, where + key, int, "0")
            else:
                given[key] = float(self._typed(value, where + key, (int, float), "0.0"))
        if "recorded" in given:
            beside = (self._path.parent / given["recorded"]).resolve()
            if beside.is_file():
                given["recorded"] = str(beside)
            try:
                recordings.recorded(given["recorded"], given.get("column", name), _is_register(name))
            except KeyError as error:
                found = ", ".join(recordings.columns(given["recorded"]))
                key, value = where + "column", given.get("column", name)
                raise self._refuse("value_wrong", key=key, value=value, expected=found) from error
            except (OSError, ValueError, IndexError) as error:
                key = where + "recorded"
                raise self._refuse("series_unreadable", key=key, reason=error) from error
        return Override(**given)
