# SPDX-License-Identifier: MIT
"""Alarms on the host: their names and units, and the ``[[alarm]]`` tables of a profile.

The table of kinds and states is ``node/schema/alarms.py``. An alarm is named by kind and quantity,
``above.co2``; a tamper contact is ``tamper``. Codes that are newer than this version are named by number,
``kind12.quantity200``: an alarm that nobody has a word for is still an alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from communode.errors import CommunodeError
from communode.node.schema import alarms as schema
from communode.node.schema.quantities import QUANTITIES

_KINDS = {name: kind for kind, name in enumerate(schema.KINDS) if name}
_QUANTITIES = {facts[0]: code for code, facts in QUANTITIES.items()}
_RATES = (schema.RISE, schema.FALL, schema.FLOOD)
_CRITICAL = ("leak", "flood", "tilt", "fire", "tamper")


def name_alarm(kind: int, quantity: int) -> str:
    """``above.co2`` for its codes."""
    named = schema.KINDS[kind] if kind < len(schema.KINDS) else f"kind{kind}"
    if not quantity:
        return named
    return f"{named}.{QUANTITIES[quantity][0] if quantity in QUANTITIES else f'quantity{quantity}'}"


def codes_of(name: str) -> tuple[int, int]:
    """(kind, quantity) of ``above.co2``, the reverse of `name_alarm`. KeyError for what is no alarm."""
    kind, _, quantity = name.partition(".")
    return _code(kind, "kind", _KINDS), _code(quantity, "quantity", _QUANTITIES | {"": 0})


def _code(name: str, prefix: str, known: dict[str, int]) -> int:
    number = name.removeprefix(prefix)
    if name not in known and number != name and number.isdecimal() and int(number) < 256:
        return int(number)
    return known[name]


def scale_of(kind: int, quantity: int) -> tuple[str, int]:
    """(unit, base units in one) of an alarm's threshold and value; ("", 1) for what is not known."""
    if kind == schema.LEAK:
        return "L/h", 1
    if kind == schema.SENSOR_FAULT:
        return "quality", 1
    if quantity not in QUANTITIES or kind == schema.TAMPER:
        return "", 1
    _, unit, per_unit, *_ = QUANTITIES[quantity]
    return (f"{unit}/h" if kind in _RATES else unit), per_unit


def severity_of(name: str) -> str:
    """``critical`` for what calls somebody out, else ``warning``; what is not known is taken for critical."""
    kind = name.partition(".")[0]
    return "critical" if kind in _CRITICAL or kind not in _KINDS else "warning"


@dataclass(frozen=True)
class AlarmRow:
    """One alarm of a profile, in the base units of `scale_of`."""

    quantity: int  # code; 0 for a tamper contact
    kind: int
    threshold: int
    hysteresis: int
    hold_off_s: int

    @property
    def name(self) -> str:
        """Say, ``above.co2``."""
        return name_alarm(self.kind, self.quantity)

    def as_tuple(self) -> tuple[int, int, int, int, int]:
        """The row as `node/schema/alarms.py` has it."""
        return self.quantity, self.kind, self.threshold, self.hysteresis, self.hold_off_s


def read_alarms(path: Path, entries: Any, quantities: Sequence[str]) -> tuple[AlarmRow, ...]:
    """The ``[[alarm]]`` tables of profile ``path``, which measures ``quantities``; ``profile.*`` errors."""
    return _Reader(path, tuple(_QUANTITIES[name] for name in quantities)).rows(entries)


class _Reader:
    def __init__(self, path: Path, codes: tuple[int, ...]) -> None:
        self._path = path
        self._codes = codes

    def _refuse(self, code: str, key: str, **values: Any) -> CommunodeError:
        return CommunodeError(f"profile.{code}", usage=True, file=self._path, key=key, **values)

    def rows(self, entries: Any) -> tuple[AlarmRow, ...]:
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self._refuse("value_wrong", "alarm", value=entries, expected="[[alarm]]")
        rows: list[AlarmRow] = []
        for number, entry in enumerate(entries):
            row = self._row(entry, f"alarm[{number}].")
            if any(row.name == other.name for other in rows):
                raise self._refuse("alarm_twice", f"alarm[{number}]", alarm=row.name)
            rows.append(row)
        if schema.rows_fault(tuple(row.as_tuple() for row in rows), self._codes):
            rates = sum(row.kind in (schema.RISE, schema.FALL) for row in rows)
            limits = {"most": schema.MAX_ALARMS, "most_rates": schema.MAX_RATES}
            raise self._refuse("alarms_many", "alarm", count=len(rows), rates=rates, **limits)
        return tuple(rows)

    def _row(self, entry: dict[str, Any], where: str) -> AlarmRow:
        known = ("kind", "quantity", "threshold", "hysteresis", "hold_off_s")
        for key in entry:
            if key not in known:
                raise self._refuse("key_unknown", where + key, known=", ".join(known))
        for key in ("kind", "quantity")[: 1 if entry.get("kind") == "tamper" else 2]:
            if key not in entry:
                raise self._refuse("key_missing", where + key)
        if not isinstance(entry["kind"], str) or entry["kind"] not in _KINDS:
            raise self._refuse("value_wrong", where + "kind", value=entry["kind"], expected=", ".join(_KINDS))
        kind, name = _KINDS[entry["kind"]], entry.get("quantity", "")
        if not isinstance(name, str) or (name and name not in _QUANTITIES):
            raise self._refuse("value_wrong", where + "quantity", value=name, expected=self._suited(kind))
        quantity = _QUANTITIES[name] if name else 0
        _, per_unit = scale_of(kind, quantity)
        numbers = [self._number(entry, key, where) for key in ("threshold", "hysteresis", "hold_off_s")]
        row = AlarmRow(
            quantity, kind, *(round(n * s) for n, s in zip(numbers, (per_unit, per_unit, 1), strict=True))
        )
        fault = schema.row_fault(row.as_tuple(), self._codes)
        if fault:
            value = entry.get(fault, "-")
            raise self._refuse("value_wrong", where + fault, value=value, expected=self._range(row, fault))
        return row

    def _number(self, entry: dict[str, Any], key: str, where: str) -> float:
        value = entry.get(key, 0)
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e9:
            raise self._refuse("value_wrong", where + key, value=value, expected="-1e9 .. 1e9")
        return value

    def _suited(self, kind: int) -> str:
        """What this node measures that suits a kind of alarm."""
        suited = schema.SUITED.get(kind, self._codes)
        return ", ".join(QUANTITIES[code][0] for code in suited if code in self._codes) or "-"

    def _range(self, row: AlarmRow, fault: str) -> str:
        """What a field may be, in words that need no translation."""
        unit, per_unit = scale_of(row.kind, row.quantity)
        if fault == "quantity":
            return self._suited(row.kind)
        if fault == "hold_off_s":  # a rate is measured over it
            return f"{60 if row.kind in (schema.RISE, schema.FALL) else 0}..{schema.MAX_HOLD_OFF_S}"
        if fault == "threshold":
            low, high = schema.threshold_range(row.kind, row.quantity)
        else:
            low, high = schema.hysteresis_range(row.kind, row.quantity, row.threshold)
        return f"{low / per_unit:g}..{high / per_unit:g} {unit}".rstrip()
