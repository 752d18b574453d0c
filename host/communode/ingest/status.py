# SPDX-License-Identifier: MIT
"""Daily status of a node: what a decoded status uplink says, and the store that keeps each once.

Counts are those since the status before it that the node knows to have arrived; so they may be added up.
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

from communode.errors import CommunodeError
from communode.node.codec import status as codec
from communode.node.schema.event_names import EVENTS
from communode.node.schema.events import PLAN_REFUSED, SENSOR_FAULT
from communode.node.schema.quantities import QUANTITIES

_RESETS = tuple(f"resets_{name}" for name in codec.RESETS)
_CHARGES = tuple(f"energy_{name}_mc" for name in codec.PHASES)
_COLUMNS = (
    "profile INTEGER",
    "version TEXT",
    "micropython TEXT",
    "configuration INTEGER",
    "uptime_s INTEGER",
    "span_s INTEGER",
    "wakings INTEGER",
    "battery_v REAL",
    *[f"{name} INTEGER" for name in _RESETS],
    "heap_low INTEGER",
    "airtime_ms INTEGER",
    *[f"{name} INTEGER" for name in _CHARGES],
    "lateness_us INTEGER",
    "pending INTEGER",
    "dropped INTEGER",
)
_NAMES = tuple(column.split()[0] for column in _COLUMNS)

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS status(
    dev_eui TEXT NOT NULL,
    time_utc TEXT NOT NULL,
    {", ".join(_COLUMNS)},
    PRIMARY KEY (dev_eui, time_utc)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS status_events(
    dev_eui TEXT NOT NULL,
    time_utc TEXT NOT NULL,
    event TEXT NOT NULL,
    detail TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (dev_eui, time_utc, event, detail)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Event:
    """So often since the last status; ``detail`` says of what, "" where there is nothing to say."""

    event: str
    detail: str
    count: int


@dataclass(frozen=True)
class StatusReport:
    """A decoded status uplink: ``values`` by the names of the table's columns, and the events."""

    values: dict[str, Any]
    events: tuple[Event, ...]

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return self.values | {"events": [asdict(event) for event in self.events]}


def decode_status(payload: bytes) -> StatusReport:
    """Decode a status uplink (FPort 6). `CommunodeError` ``payload.bad_status`` says what is wrong."""
    try:
        status, events = codec.decode(payload)
    except ValueError as error:
        raise CommunodeError("payload.bad_status", usage=True, reason=str(error)) from None
    values = vars(status) | {
        "version": ".".join(map(str, status.version)),
        "micropython": f"1.{status.micropython}",
        "battery_v": None if status.battery_mv is None else status.battery_mv / 1000,
        **dict(zip(_RESETS, status.resets, strict=True)),
        **dict(zip(_CHARGES, status.energy_mc, strict=True)),
    }
    return StatusReport({name: values[name] for name in _NAMES}, tuple(_event(*event) for event in events))


def _event(code: int, detail: int, count: int) -> Event:
    name = EVENTS[code] if code < len(EVENTS) else f"event{code}"
    if code in (SENSOR_FAULT, PLAN_REFUSED) and detail in QUANTITIES:
        return Event(name, QUANTITIES[detail][0], count)
    if code == PLAN_REFUSED and not detail:
        return Event(name, "interval_s", count)
    return Event(name, str(detail) if detail else "", count)


class StatusStore:
    """Status in an SQLite database; one writer."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._database.executescript(_SCHEMA)

    def add(self, dev_eui: str, time_utc: str, report: StatusReport) -> bool:
        """Store it under its time of reception; whether it was new. All or nothing."""
        with self._database:
            marks = ", ".join("?" * (len(_NAMES) + 2))
            row = (dev_eui, time_utc, *report.values.values())
            if not self._database.execute(f"INSERT OR IGNORE INTO status VALUES ({marks})", row).rowcount:
                return False
            self._database.executemany(
                "INSERT OR IGNORE INTO status_events VALUES (?, ?, ?, ?, ?)",
                [(dev_eui, time_utc, event.event, event.detail, event.count) for event in report.events],
            )
        return True

    def newest(self, dev_eui: str) -> dict[str, Any] | None:
        """The last status of a node by column, with ``time_utc``; None before the first."""
        row = self._database.execute(
            f"SELECT time_utc, {', '.join(_NAMES)} FROM status WHERE dev_eui = ?"
            " ORDER BY time_utc DESC LIMIT 1",
            (dev_eui,),
        ).fetchone()
        return dict(zip(("time_utc", *_NAMES), row, strict=True)) if row else None

    def events(self, dev_eui: str) -> dict[tuple[str, str], int]:
        """{(event, detail): how often in all} of a node."""
        rows = self._database.execute(
            "SELECT event, detail, sum(count) FROM status_events WHERE dev_eui = ? GROUP BY event, detail",
            (dev_eui,),
        )
        return {(event, detail): count for event, detail, count in rows}
