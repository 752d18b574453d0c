# SPDX-License-Identifier: MIT
"""Recorded series and what is derived from them: columns of CSV files as circles of whole days.

The recordings and their licences are described in ``series/README.md``. Derived here, by assumption and not
by measurement: PM1 and PM4 from PM2.5 and PM10, the hour of a bin's collection, its tilt while it is lifted.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path

from communode.virtual.polyline import Circle, Polyline

DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Urban background: most of the mass below 2.5 um is below 1 um. An assumption that keeps the sizes in order.
PM1_OF_PM25 = 0.8
# Of what lies between 2.5 um and 10 um, so much is below 4 um. An assumption too.
PM4_OF_COARSE = 0.4

# Bins: collected shortly after 06:00 UTC; lifted and tipped for a minute, then empty.
COLLECTION_US = 21_870_000_000  # 06:04:30
_LIFT = ((-30, 0.0), (-20, 110.0), (-5, 110.0), (5, 0.0))  # seconds around the emptying, degrees


def _microseconds(stamp: str) -> int:
    moment = datetime.fromisoformat(stamp)
    if moment.tzinfo is None:
        raise ValueError(f"{stamp} lacks a time zone")
    return int((moment - _EPOCH).total_seconds()) * 1_000_000 + moment.microsecond


def _text(file: str) -> str:
    path = Path(file)
    if path.is_absolute():
        return path.read_text("utf-8")
    return resources.files("communode.virtual").joinpath("series", file).read_text("utf-8")


@cache
def columns(file: str) -> dict[str, list[tuple[int, float]]]:
    """All columns of a CSV file as points (microseconds since 1970, value); empty cells are left out.

    ``file`` is a shipped file's name or an absolute path. Raises OSError, ValueError.
    """
    rows = csv.reader(_text(file).splitlines())
    header = next(rows, [])
    if len(header) < 2:
        raise ValueError("no columns")
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in header[1:]}
    for row in rows:
        time_us = _microseconds(row[0])
        for name, cell in zip(header[1:], row[1:], strict=True):
            if cell:
                found[name].append((time_us, float(cell)))
    return found


def circle(points: list[tuple[int, float]], register: bool = False) -> Circle:
    """A circle of whole UTC days, from the first midnight in the recording to the last one.

    A recording shorter than that becomes one day with constant ends. With ``register`` the value goes on
    growing from lap to lap instead of falling back.
    """
    first = -(-points[0][0] // DAY_US) * DAY_US
    days = max((points[-1][0] - first) // DAY_US, 1)
    whole = Polyline(points)
    period = days * DAY_US
    inside = [(time - first, value) for time, value in points if 0 < time - first < period]
    begin, end = whole.value(first), whole.value(first + period)
    line = Polyline([(0, begin), *inside, (period, end)])
    return Circle(line, period, end - begin if register else 0.0)


@cache
def recorded(file: str, column: str, register: bool = False) -> Circle:
    """A recorded column. Raises OSError, ValueError, KeyError."""
    return circle(columns(file)[column], register)


@cache
def particulate(size: str) -> Circle:
    """Mass concentration (ug/m3) of ``pm1``, ``pm25``, ``pm4`` or ``pm10``."""
    table = columns("outdoor_air.csv")
    if size in ("pm25", "pm10"):
        return circle(table[f"{size}_ug_m3"])
    if size == "pm1":
        return circle([(time, PM1_OF_PM25 * fine) for time, fine in table["pm25_ug_m3"]])
    all_coarse = dict(table["pm10_ug_m3"])
    both = [(time, fine, all_coarse[time]) for time, fine in table["pm25_ug_m3"] if time in all_coarse]
    return circle([(time, fine + PM4_OF_COARSE * max(ten - fine, 0.0)) for time, fine, ten in both])


def _days_of_bin(column: str) -> list[tuple[int, float, float, bool]]:
    """Per day: midnight, level then, level at the next midnight, whether it was collected between."""
    points = columns("bin_fill.csv")[column]
    return [(time, now, later, later < now) for (time, now), (_, later) in itertools.pairwise(points)]


def bin_columns() -> list[str]:
    """The recorded bins."""
    return list(columns("bin_fill.csv"))


@cache
def bin_fill(column: str) -> Circle:
    """Fill level (%): ramps between the daily values; a lower next value means that it was emptied."""
    points: list[tuple[int, float]] = []
    for time, now, _, collected in _days_of_bin(column):
        points.append((time, now))
        if collected:
            emptied = time + COLLECTION_US
            points += [(emptied, now), (emptied, 0.0)]
    return circle([*points, columns("bin_fill.csv")[column][-1]])


@cache
def bin_lift(column: str) -> Circle:
    """Tilt (degrees) beyond the bin's own: it is tipped over when it is collected."""
    days = _days_of_bin(column)
    points = [(days[0][0], 0.0)]
    for time, _, _, collected in days:
        if collected:
            points += [(time + COLLECTION_US + second * 1_000_000, tilt) for second, tilt in _LIFT]
    return circle([*points, (days[-1][0] + DAY_US, 0.0)])


def line(function: Callable[[float], float], days: int) -> Circle:
    """A function of the day (0.0 .. days) as a circle with a point a day."""
    return Circle(Polyline([(day * DAY_US, function(day)) for day in range(days + 1)]), days * DAY_US)
