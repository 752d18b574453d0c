# SPDX-License-Identifier: MIT
"""Node profiles: which sensors a node carries, on which buses, with which settings, how often.

A profile is one TOML file in ``firmware/profiles``; it knows no pins (a board does) and no identity. This
module reads and judges it on the host; the build freezes ``Profile.as_dict()`` into the firmware image, so
that the node parses nothing. What each driver offers and accepts is in `communode.drivers`.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from communode.alarms import AlarmRow, read_alarms
from communode.calibrations import read_calibration
from communode.drivers import DRIVERS, DriverFacts
from communode.errors import CommunodeError
from communode.node.schema.quantities import QUANTITIES
from communode.resources import profiles_folder

__all__ = ["DRIVERS", "DriverFacts", "Profile", "Sensor", "load_profile", "profile_names"]

_INTERVAL_FLOOR_S = 10
# Keys of the whole node: usual value, lowest, highest.
_OPTIONS: dict[str, tuple[int, int, int]] = {
    "stays_awake": (False, 0, 1),  # light sleep between samplings: for mains supply, and for tests
    "certification": (False, 0, 1),  # follows TS009 on port 224: for a laboratory, never in the field
    "utc_offset_s": (3600, -43_200, 50_400),  # of local time in winter; nights are local (leak)
    "summer_time": (True, 0, 1),  # by the rule of the European Union
    "leaning_deg": (30, 5, 180),  # from this tilt on a bin has no distance and no fill level
}
_CODES = {facts[0]: code for code, facts in QUANTITIES.items()}
_MADE = ("_raw", "_spread", "_count", "fill_level")  # of another value of the same sensor


@dataclass(frozen=True)
class Sensor:
    """One sensor of a profile."""

    driver: str
    bus: str
    quantities: tuple[str, ...]
    power: str | None = None  # name of the board's power gate; None = always powered
    settings: dict[str, int] = field(default_factory=dict)
    calibrations: tuple[bytes, ...] = ()  # node/sampling/calibration.py
    stale_after: int = 0  # equal readings from which on they are stale, 0 never

    @property
    def address(self) -> int | None:
        """Its I2C address."""
        return self.settings.get("address", DRIVERS[self.driver].address)

    def as_dict(self) -> dict[str, Any]:
        """The literal that the node reads; quantities are codes of ``node/schema/quantities.py``."""
        return {
            "driver": self.driver,
            "bus": self.bus,
            "power": self.power,
            "quantities": tuple(_CODES[name] for name in self.quantities),
            "settings": dict(sorted(self.settings.items())),
        }


@dataclass(frozen=True)
class Profile:
    """What one kind of node measures."""

    name: str
    id: int  # 1..255, names the profile on air
    interval_s: int
    sensors: tuple[Sensor, ...]
    alarms: tuple[AlarmRow, ...] = ()
    options: dict[str, int] = field(default_factory=dict)  # of `_OPTIONS`, where not the usual

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of all quantities, in the order of the sensors."""
        return tuple(name for sensor in self.sensors for name in sensor.quantities)

    @property
    def drivers(self) -> tuple[str, ...]:
        """Modules of ``node/drivers`` that the profile needs, sorted, each once."""
        return tuple(sorted({sensor.driver for sensor in self.sensors}))

    @property
    def buses(self) -> tuple[str, ...]:
        """Names of the buses that a board must have for this profile, sorted, each once."""
        return tuple(sorted({sensor.bus for sensor in self.sensors}))

    @property
    def leaning_deg(self) -> int:
        """The tilt from which on there is no distance and no fill level; 0 where it or they are not measured."""
        together = "tilt" in self.quantities and {"distance", "fill_level"} & set(self.quantities)
        return self.options.get("leaning_deg", _OPTIONS["leaning_deg"][0]) if together else 0

    @property
    def rules(self) -> tuple[str, ...]:
        """Modules of ``node/sampling`` that not every profile needs, sorted."""
        asked = {"leaning": self.leaning_deg, "repetition": any(s.stale_after for s in self.sensors)}
        return tuple(sorted(name for name, needed in asked.items() if needed))

    @property
    def floor_s(self) -> int:
        """The shortest interval. Sensors run side by side, those that compute with others after these."""
        alone_ms = [DRIVERS[s.driver].cycle_ms for s in self.sensors if not DRIVERS[s.driver].needs]
        after_ms = [DRIVERS[s.driver].cycle_ms for s in self.sensors if DRIVERS[s.driver].needs]
        slowest_ms = max(alone_ms, default=0) + max(after_ms, default=0)
        return max(_INTERVAL_FLOOR_S, -(-slowest_ms // 1000))

    def as_dict(self) -> dict[str, Any]:
        """The literal that the build freezes into the image: dicts, tuples, strings, bytes, ints, None.

        A rule that the profile does not need has no key, and its module is not in the image (`rules`).
        """
        literal = {
            "name": self.name,
            "id": self.id,
            "interval_s": self.interval_s,
            "floor_s": self.floor_s,
            "sensors": tuple(self._sensor(sensor) for sensor in self.sensors),
            "alarms": tuple(alarm.as_tuple() for alarm in self.alarms),
            "calibrations": tuple(data for sensor in self.sensors for data in sensor.calibrations),
            **{name: value for name, value in self.options.items() if name != "leaning_deg"},
        }
        repetitions = tuple(self._repetition(sensor) for sensor in self.sensors if sensor.stale_after)
        if repetitions:
            literal["repetition"] = repetitions
        if self.leaning_deg:
            literal["leaning"] = self.leaning_deg * 10
        return literal

    def _others(self, sensor: Sensor) -> set[str]:
        return {name for other in self.sensors if other is not sensor for name in other.quantities}

    def _sensor(self, sensor: Sensor) -> dict[str, Any]:
        """The sensor's literal; ``leaves`` is what it measures, too, but the profile takes from another one."""
        leaves = [name for name in DRIVERS[sensor.driver].quantities if name in self._others(sensor)]
        literal = sensor.as_dict()
        if leaves:
            literal["leaves"] = tuple(_CODES[name] for name in leaves)
        return literal

    def _repetition(self, sensor: Sensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        """For ``node/sampling/repetition.py``: readings, codes of what the sensor says itself, codes to mark."""
        others = self._others(sensor)
        own = [name for name in DRIVERS[sensor.driver].quantities if not name.endswith(_MADE)]
        compared = tuple(_CODES[name] for name in own if name not in others)
        return sensor.stale_after, compared, tuple(_CODES[name] for name in sensor.quantities)


def profile_names(folder: Path | None = None) -> list[str]:
    """All known profiles, sorted."""
    return sorted(path.stem for path in (folder or profiles_folder()).glob("*.toml"))


def load_profile(name: str, folder: Path | None = None) -> Profile:
    """Read and judge one profile. CommunodeError ``profile.*`` says what is wrong and where."""
    folder = folder or profiles_folder()
    known = profile_names(folder)
    if name not in known:
        raise CommunodeError("profile.unknown", usage=True, name=name, known=", ".join(known))
    path = folder / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CommunodeError("profile.unreadable", usage=True, file=path, reason=error) from error
    return _Judge(path).profile(name, table)


class _Judge:
    """Turns one parsed file into a `Profile`; every refusal names the file and the key."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _refuse(self, code: str, key: str, **values: Any) -> CommunodeError:
        return CommunodeError(f"profile.{code}", usage=True, file=self._path, key=key, **values)

    def _keys(self, table: dict[str, Any], where: str, needed: set[str], allowed: set[str]) -> None:
        for key in sorted(needed - table.keys()):
            raise self._refuse("key_missing", where + key)
        for key in sorted(table.keys() - needed - allowed):
            known = ", ".join(sorted(needed | allowed)) or "-"
            raise self._refuse("key_unknown", where + key, known=known)

    def _integer(self, value: Any, key: str, low: int, high: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._refuse("value_wrong", key, value=value, expected=f"{low}..{high}")
        return value

    def _string(self, value: Any, key: str) -> str:
        if not isinstance(value, str) or not value:
            raise self._refuse("value_wrong", key, value=value, expected='"..."')
        return value

    def profile(self, name: str, table: dict[str, Any]) -> Profile:
        self._keys(table, "", {"id", "interval_s", "sensor"}, {"alarm", *_OPTIONS})
        entries = table["sensor"]
        if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
            raise self._refuse("value_wrong", "sensor", value=entries, expected="[[sensor]]")
        sensors = tuple(self._sensor(entry, f"sensor[{n}].") for n, entry in enumerate(entries))
        profile = Profile(
            name,
            self._integer(table["id"], "id", 1, 255),
            self._integer(table["interval_s"], "interval_s", _INTERVAL_FLOOR_S, 86_400),
            sensors,
            read_alarms(self._path, table.get("alarm", []), [q for s in sensors for q in s.quantities]),
            self._options(table),
        )
        for quantity in profile.quantities:
            if profile.quantities.count(quantity) > 1:
                raise self._refuse("quantity_twice", "sensor", quantity=quantity)
        if "battery" not in profile.quantities:
            raise self._refuse("battery_missing", "sensor")
        if profile.interval_s < profile.floor_s:
            raise self._refuse(
                "interval_short", "interval_s", value=profile.interval_s, floor=profile.floor_s
            )
        self._together(profile)
        return profile

    def _options(self, table: dict[str, Any]) -> dict[str, int]:
        found: dict[str, int] = {}
        for key, (usual, low, high) in _OPTIONS.items():
            value = table.get(key, usual)
            if isinstance(usual, bool):
                if not isinstance(value, bool):
                    raise self._refuse("value_wrong", key, value=value, expected="true, false")
            else:
                self._integer(value, key, low, high)
            if value != usual:
                found[key] = value
        return found

    def _together(self, profile: Profile) -> None:
        """What each sensor alone is free to do, and all of them together are not."""
        if "leaning_deg" in profile.options and not profile.leaning_deg:
            value = profile.options["leaning_deg"]
            raise self._refuse("value_wrong", "leaning_deg", value=value, expected="tilt, distance")
        taken: dict[tuple[str, int | None], str] = {}
        for n, sensor in enumerate(profile.sensors):
            facts, key, place = DRIVERS[sensor.driver], f"sensor[{n}].", (sensor.bus, sensor.address)
            if place in taken:
                address = "-" if sensor.address is None else f"0x{sensor.address:02X}"
                values = {"driver": sensor.driver, "other": taken[place], "bus": sensor.bus}
                raise self._refuse("address_twice", key + "bus", address=address, **values)
            taken[place] = sensor.driver
            for needed in facts.needs:
                if needed not in profile.quantities:
                    raise self._refuse("needs_missing", key + "driver", driver=sensor.driver, needed=needed)
            gases = sorted({"voc_index", "nox_index"} & set(sensor.quantities))
            if gases and not sensor.settings.get("gases"):
                raise self._refuse("setting_needed", key + "settings.gases", value=1, quantity=gases[0])
            if sensor.power and (facts.always_on or sensor.settings.get("gases")):
                raise self._refuse("must_stay_on", key + "power", driver=sensor.driver)

    def _sensor(self, entry: dict[str, Any], where: str) -> Sensor:
        optional = {"power", "settings", "calibration", "stale_after"}
        self._keys(entry, where, {"driver", "bus", "quantities"}, optional)
        driver = self._string(entry["driver"], where + "driver")
        facts = DRIVERS.get(driver)
        if facts is None:
            known = ", ".join(sorted(DRIVERS))
            raise self._refuse("driver_unknown", where + "driver", value=driver, known=known)
        bus = self._string(entry["bus"], where + "bus")
        if bus != facts.bus_kind and not (bus[:-1] == facts.bus_kind and bus[-1].isdigit()):
            raise self._refuse("bus_wrong", where + "bus", value=bus, driver=driver, kind=facts.bus_kind)
        power = self._string(entry["power"], where + "power") if "power" in entry else None
        calibrations = self._calibrations(entry.get("calibration", []), facts, where)
        raw = tuple(f"{name}_raw" for name in calibrations)
        quantities = self._quantities(entry["quantities"], (*facts.quantities, *raw), where + "quantities")
        settings = self._settings(entry.get("settings", {}), driver, where + "settings.")
        if "fill_level" in quantities and "empty_mm" not in settings:
            key = where + "settings.empty_mm"
            raise self._refuse("setting_needed", key, value="...", quantity="fill_level")
        stale_after = self._integer(
            entry.get("stale_after", facts.stale_after), where + "stale_after", 0, 255
        )
        if stale_after == 1:  # every reading would be
            raise self._refuse("value_wrong", where + "stale_after", value=1, expected="0, 2..255")
        return Sensor(driver, bus, quantities, power, settings, tuple(calibrations.values()), stale_after)

    def _calibrations(self, entries: Any, facts: DriverFacts, where: str) -> dict[str, bytes]:
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            expected = "[[sensor.calibration]]"
            raise self._refuse("value_wrong", where + "calibration", value=entries, expected=expected)
        found: dict[str, bytes] = {}
        for n, entry in enumerate(entries):
            key = f"{where}calibration[{n}]"
            name = entry.get("quantity")
            if name not in facts.quantities or name in found:
                expected = ", ".join(facts.quantities)
                raise self._refuse("value_wrong", f"{key}.quantity", value=name, expected=expected)
            found[name] = read_calibration(self._path, key, entry, date.today())
        return found

    def _quantities(self, names: Any, offered: tuple[str, ...], key: str) -> tuple[str, ...]:
        if not isinstance(names, list) or not names:
            raise self._refuse("value_wrong", key, value=names, expected=str(list(offered)))
        for name in names:
            if name not in offered:
                raise self._refuse("value_wrong", key, value=name, expected=", ".join(offered))
        return tuple(names)

    def _settings(self, table: Any, driver: str, where: str) -> dict[str, int]:
        if not isinstance(table, dict):
            raise self._refuse("value_wrong", where[:-1], value=table, expected="[sensor.settings]")
        ranges = DRIVERS[driver].settings
        self._keys(table, where, set(), set(ranges))
        settings = {key: self._integer(value, where + key, *ranges[key]) for key, value in table.items()}
        for less, more in (("full_mm", "empty_mm"), ("near_mm", "far_mm"), ("zero_uv", "full_scale_uv")):
            if less in settings and settings[less] >= settings.get(more, 1 << 30):
                expected = f"< {settings[more]}"
                raise self._refuse("value_wrong", where + less, value=settings[less], expected=expected)
        if abs(settings.get("uv_per_ph", 10_000)) < 10_000:
            key, value = where + "uv_per_ph", settings["uv_per_ph"]
            raise self._refuse("value_wrong", key, value=value, expected="<= -10000, >= 10000")
        return settings
