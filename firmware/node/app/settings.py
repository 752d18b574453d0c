# SPDX-License-Identifier: MIT
# What the owner has set on this node: overrides of its profile, judged against what the node can do. Pure.
#
# Not here: the bytes of a part (codec/command.py), when settings come into force and how they are kept
# (config.py), what an alarm or a calibration does with its numbers.
#
# Settings are applied part by part, in order; each is judged against the profile that holds at that point. A
# profile brings its own interval and alarms, so changing it drops those set before; calibrations belong to
# the sensors and stay where the new profile measures the same quantity.

from micropython import const

from ..codec.command import (
    ALARM,
    ALARM_OFF,
    ASK_AFTER,
    CALIBRATION_OFF,
    DEFAULTS,
    INTERVAL,
    POLYNOMIAL,
    PROFILE,
    TWO_POINT,
    pack_part,
)
from ..schema.alarms import MAX_ALARMS, rows_fault
from ..schema.quantities import CALIBRATED, QUANTITIES

INTERVAL_FLOOR_S = const(10)  # where the profile names no higher one
INTERVAL_CEILING_S = const(86400)
ASK_AFTER_CEILING = const(100)  # who never asks never learns what is missing
MAX_CALIBRATIONS = const(12)
_GAIN = const(4)  # a calibration that bends more than this, or less than its inverse, is a mistake
_CHECKED = const(16)  # points at which a polynomial must rise


class Abilities:
    """What this image can do: its profiles by id, as `Profile.as_dict()` froze them."""

    def __init__(self, profiles: dict, default_id: int) -> None:
        self.profiles = profiles
        self.default_id = default_id

    def quantities(self, profile_id: int) -> tuple:
        """Codes of what a profile measures."""
        sensors = self.profiles[profile_id]["sensors"]
        return tuple([code for sensor in sensors for code in sensor["quantities"]])


class Settings:
    """The overrides. Nothing set is the profile that was flashed, as it is."""

    def __init__(self, abilities: Abilities) -> None:
        self._abilities = abilities
        self.clear()

    def clear(self) -> None:
        """Factory defaults."""
        self.profile_id = self._abilities.default_id
        self.own_interval_s = 0  # 0: the profile's
        self.ask_after = 0  # 0: the application's own measure
        self._alarms = {}  # (quantity, kind): (threshold, hysteresis, hold-off s), or None for switched off
        self._calibrations = {}  # quantity: (kind of part, its values)

    def copy(self) -> "Settings":
        """Settings that can be changed without touching these."""
        twin = Settings(self._abilities)
        twin.profile_id = self.profile_id
        twin.own_interval_s = self.own_interval_s
        twin.ask_after = self.ask_after
        twin._alarms = dict(self._alarms)
        twin._calibrations = dict(self._calibrations)
        return twin

    # --- what holds ---

    @property
    def profile(self) -> dict:
        """The profile in force."""
        return self._abilities.profiles[self.profile_id]

    @property
    def interval_s(self) -> int:
        """Seconds between two samplings."""
        return self.own_interval_s or self.profile["interval_s"]

    @property
    def alarms(self) -> list:
        """Rows as in schema/alarms.py: the profile's, under the overrides."""
        merged = {row[:2]: row[2:] for row in self.profile.get("alarms", ())}
        merged.update(self._alarms)
        return [key + merged[key] for key in sorted(merged) if merged[key] is not None]

    def calibration(self, quantity: int) -> "tuple | None":
        """(kind of part, values as in codec/command.py) of a quantity, or None."""
        return self._calibrations.get(quantity)

    def to_parts(self) -> bytes:
        """The overrides as parts of a command; the same settings always give the same bytes."""
        out = b""
        if self.profile_id != self._abilities.default_id:
            out += pack_part(PROFILE, (self.profile_id,))
        if self.own_interval_s:
            out += pack_part(INTERVAL, (self.own_interval_s,))
        if self.ask_after:
            out += pack_part(ASK_AFTER, (self.ask_after,))
        for key in sorted(self._alarms):
            values = self._alarms[key]
            out += pack_part(ALARM_OFF, key) if values is None else pack_part(ALARM, key + values)
        for quantity in sorted(self._calibrations):
            out += pack_part(*self._calibrations[quantity])
        return out

    # --- changing them ---

    def apply(self, kind: int, values: tuple) -> bool:
        """Carry out one part; False when its values are not possible here, or when `kind` is no setting."""
        if kind == DEFAULTS:
            self.clear()
            return True
        if kind == PROFILE:
            return self._set_profile(values[0])
        if kind == INTERVAL:
            self.own_interval_s = values[0]
            floor_s = self.profile.get("floor_s", INTERVAL_FLOOR_S)
            return floor_s <= values[0] <= INTERVAL_CEILING_S
        if kind == ASK_AFTER:
            self.ask_after = values[0]
            return 0 < values[0] <= ASK_AFTER_CEILING
        if kind in (ALARM, ALARM_OFF):
            return self._set_alarm(values[:2], values[2:] or None)
        if kind in (TWO_POINT, POLYNOMIAL, CALIBRATION_OFF):
            return self._set_calibration(kind, values)
        return False

    def _set_profile(self, profile_id: int) -> bool:
        abilities = self._abilities
        if profile_id not in abilities.profiles:
            return False
        if profile_id != self.profile_id:
            self.profile_id = profile_id
            self.own_interval_s = 0
            self._alarms = {}
            measured = abilities.quantities(profile_id)
            for quantity in list(self._calibrations):
                if quantity not in measured:
                    del self._calibrations[quantity]
        return True

    def _set_alarm(self, key: tuple, values: "tuple | None") -> bool:
        if values is None and not any(row[:2] == key for row in self.profile.get("alarms", ())):
            self._alarms.pop(key, None)
            return True
        self._alarms[key] = values
        fault = rows_fault(tuple(self.alarms), self._abilities.quantities(self.profile_id))
        return not fault and len(self._alarms) <= 2 * MAX_ALARMS

    def _set_calibration(self, kind: int, values: tuple) -> bool:
        quantity = values[0]
        if quantity not in CALIBRATED or quantity not in self._abilities.quantities(self.profile_id):
            return False
        if kind == CALIBRATION_OFF:
            self._calibrations.pop(quantity, None)
            return True
        _, _, _, low, step, bits = QUANTITIES[quantity]
        rises = _two_points_rise if kind == TWO_POINT else _polynomial_rises
        if not rises(values[3:], low, low + (step << bits)):
            return False
        self._calibrations[quantity] = (kind, values)
        return len(self._calibrations) <= MAX_CALIBRATIONS


def _two_points_rise(points: tuple, low: int, high: int) -> bool:
    """Whether two points in base units make a line that the range low..high can mean."""
    raw_low, true_low, raw_high, true_high = points
    if not all(low <= point <= high for point in points):
        return False
    raw = raw_high - raw_low
    true = true_high - true_low
    return raw > 0 and raw <= true * _GAIN and true <= raw * _GAIN


def _polynomial_rises(coefficients: tuple, low: int, high: int) -> bool:
    """Whether a polynomial rises over low..high and stays near it; not a number and infinity never do."""
    span = high - low
    last = None
    for index in range(_CHECKED + 1):
        x = low + span * index // _CHECKED
        value = 0.0
        for coefficient in reversed(coefficients):
            value = value * x + coefficient
        # Written so that a comparison with not-a-number refuses.
        if not low - span < value < high + span or not (last is None or value > last):
            return False
        last = value
    return True


def calibration_of(kind: int, values: tuple):  # type: ignore[no-untyped-def]
    """The calibration (sampling/calibration.py) that a part of a command asks for.

    A polynomial comes in base units; the node computes with its deviation from the middle of the quantity's
    range, so that integers do.
    """
    from ..sampling import calibration as made

    quantity, when_s, who = values[:3]
    if kind == TWO_POINT:
        return made.Calibration(quantity, made.TWO_POINT, values[3:], when_s // 86400, str(who))
    _, _, _, low, step, bits = QUANTITIES[quantity]
    span = (step << bits) // 2
    centre = low + span
    c0, c1, c2, c3 = tuple(values[3:]) + (0.0,) * (7 - len(values))
    coefficients = (
        centre,
        span,
        round(c0 + centre * (c1 + centre * (c2 + centre * c3))),
        round(span * (c1 + centre * (2 * c2 + centre * 3 * c3))),
        round(span * span * (c2 + 3 * centre * c3)),
        round(span * span * span * c3),
    )
    return made.Calibration(quantity, made.POLYNOMIAL, coefficients, when_s // 86400, str(who))
