# SPDX-License-Identifier: MIT
"""Calibrations as people write them, in a profile: ``[[sensor.calibration]]``.

    quantity = "ph"                          quantity = "turbidity"
    kind = "two_point"                       kind = "polynomial"
    points = [[4.12, 4.01], [6.95, 7.00]]    centre = 500.0     # of the sensor's own values
    day = 2026-03-02                         span = 500.0       # u = (value - centre) / span, -1 .. 1
    by = "J.M."                              coefficients = [480.0, 510.0, 12.0]   # of u: constant first
    valid_days = 180

Points are [what the sensor said, what it was], in the quantity's unit. ``kind = "epa_2021"`` (PM2.5 only) has
nothing else. Judged with the node's own code, `communode.node.sampling.calibration`.
"""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

from communode.errors import CommunodeError
from communode.node.sampling.calibration import (
    EPA_2021,
    POLYNOMIAL,
    TWO_POINT,
    Calibration,
    refusal,
)
from communode.node.schema.quantities import QUANTITIES

_KINDS = {"two_point": TWO_POINT, "polynomial": POLYNOMIAL, "epa_2021": EPA_2021}
_OWN_KEYS: dict[str, set[str]] = {
    "two_point": {"points"},
    "polynomial": {"centre", "span", "coefficients"},
    "epa_2021": set(),
}
_EPOCH = date(2000, 1, 1)
_CODES = {facts[0]: code for code, facts in QUANTITIES.items()}


def read_calibration(file: Path, key: str, entry: dict[str, Any], today: date) -> bytes:
    """One entry as the bytes that the node keeps. CommunodeError ``calibration.*`` or ``profile.*``."""
    return _Entry(file, key, entry).calibration(today).to_bytes()


class _Entry:
    def __init__(self, file: Path, key: str, entry: dict[str, Any]) -> None:
        self._file = file
        self._key = key
        self._entry = entry

    def _wrong(self, key: str, expected: str) -> CommunodeError:
        value = self._entry.get(key)
        where = {"file": self._file, "key": f"{self._key}.{key}"}
        return CommunodeError("profile.value_wrong", usage=True, value=value, expected=expected, **where)

    def calibration(self, today: date) -> Calibration:
        """The calibration, possible and signed."""
        kind = self._entry.get("kind")
        if kind not in _KINDS:
            raise self._wrong("kind", ", ".join(_KINDS))
        known = {"quantity", "kind", "day", "by", "valid_days"} | _OWN_KEYS[kind]
        for key in sorted(self._entry.keys() - known):
            where = {"file": self._file, "key": f"{self._key}.{key}"}
            raise CommunodeError("profile.key_unknown", usage=True, known=", ".join(sorted(known)), **where)
        code = _CODES[self._entry["quantity"]]
        day = self._day(today)
        by = self._entry.get("by")
        if not isinstance(by, str) or not by.isascii() or not 0 < len(by) <= 8:
            raise self._wrong("by", '"J.M." (1 to 8 ASCII characters)')
        valid_days = self._entry.get("valid_days", 0)
        if not isinstance(valid_days, int) or isinstance(valid_days, bool) or not 0 <= valid_days <= 3650:
            raise self._wrong("valid_days", "0..3650")
        coefficients = self._coefficients(kind, QUANTITIES[code][2])
        made = Calibration(code, _KINDS[kind], coefficients, (day - _EPOCH).days, by, valid_days)
        reason = refusal(made)
        if reason:
            where = {"file": self._file, "key": self._key, "quantity": self._entry["quantity"]}
            raise CommunodeError(f"calibration.{reason}", usage=True, **where)
        return made

    def _day(self, today: date) -> date:
        day = self._entry.get("day")
        if not isinstance(day, date) or isinstance(day, datetime) or not _EPOCH < day <= today:
            raise self._wrong("day", f"2026-03-02, <= {today}")
        return day

    def _numbers(self, key: str, value: Any, expected: str) -> list[float]:
        if not isinstance(value, list) or not all(
            isinstance(n, (int, float)) and not isinstance(n, bool) and abs(n) < 1e6 for n in value
        ):
            raise self._wrong(key, expected)
        return [float(n) for n in value]

    def _coefficients(self, kind: str, per_unit: int) -> tuple[int, ...]:
        if kind == "two_point":
            points, expected = self._entry.get("points"), "[[4.12, 4.01], [6.95, 7.00]]"
            if not isinstance(points, list) or len(points) != 2:
                raise self._wrong("points", expected)
            pairs = [self._numbers("points", pair, expected) for pair in points]
            if any(len(pair) != 2 for pair in pairs):
                raise self._wrong("points", expected)
            return tuple(round(number * per_unit) for pair in pairs for number in pair)
        if kind == "polynomial":
            ends = self._numbers("centre", [self._entry.get("centre")], "500.0")
            ends += self._numbers("span", [self._entry.get("span")], "500.0")
            given = self._numbers("coefficients", self._entry.get("coefficients"), "[480.0, 510.0, 12.0]")
            return tuple(round(number * per_unit) for number in [*ends, *given])
        return ()
