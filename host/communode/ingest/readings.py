# SPDX-License-Identifier: MIT
"""Readings: what a decoded uplink says, as rows with units and times, and the store that keeps each once.

A record is known by node and id (generation << 24 | number), so that a repeated or re-sent record changes
nothing. The store is SQLite; its table is a contract (interfaces: ``readings``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from communode.errors import CommunodeError
from communode.node.codec import uplink
from communode.node.codec.record import UNSYNCED
from communode.node.schema.quantities import QUALITIES, QUANTITIES
from communode.profiles import load_profile, profile_names

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_CODES = {facts[0]: code for code, facts in QUANTITIES.items()}

_SCHEMA = """
CREATE TABLE IF NOT EXISTS readings(
    dev_eui TEXT NOT NULL,
    record_id INTEGER NOT NULL,
    time_utc TEXT,
    quantity TEXT NOT NULL,
    value REAL,
    unit TEXT NOT NULL,
    quality TEXT NOT NULL,
    PRIMARY KEY (dev_eui, record_id, quantity)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records(
    dev_eui TEXT NOT NULL,
    generation INTEGER NOT NULL,
    number INTEGER NOT NULL,
    uncertainty_s INTEGER NOT NULL,
    PRIMARY KEY (dev_eui, generation, number)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Reading:
    """One value; ``value`` is in ``unit``, None where the sensor gave none."""

    quantity: str
    value: float | None
    unit: str
    quality: str


@dataclass(frozen=True)
class Record:
    """One sampling. ``time`` is right to ``uncertainty_s``, and None where the node never knew the time."""

    generation: int
    number: int
    time: datetime | None
    uncertainty_s: int
    readings: tuple[Reading, ...]

    @property
    def record_id(self) -> int:
        """The id of the store: generation and number in one."""
        return self.generation << 24 | self.number


@dataclass(frozen=True)
class Report:
    """A decoded readings uplink. ``floor`` is set where the node asks what the store has."""

    profile: str
    generation: int
    newest: int
    floor: int | None
    records: tuple[Record, ...]


@cache
def _profiles() -> dict[int, tuple[str, tuple[int, ...]]]:
    found: dict[int, tuple[str, tuple[int, ...]]] = {}
    for name in profile_names():
        profile = load_profile(name)
        found[profile.id] = (name, tuple(_CODES[quantity] for quantity in profile.quantities))
    return found


def quantities_of(profile_id: int) -> tuple[int, ...]:
    """Quantity codes of a profile, in payload order. ValueError for an unknown profile."""
    if profile_id not in _profiles():
        raise ValueError(f"unknown profile {profile_id}")
    return _profiles()[profile_id][1]


def decode_readings(payload: bytes) -> Report:
    """Decode a readings uplink (FPort 2). `CommunodeError` ``payload.bad`` says what is wrong with it."""
    try:
        decoded: dict[str, Any] = uplink.decode(payload, quantities_of)
    except ValueError as error:
        raise CommunodeError("payload.bad", usage=True, reason=str(error)) from None
    records = tuple(_record(decoded["generation"], fields) for fields in decoded["records"])
    return Report(
        profile=_profiles()[decoded["profile"]][0],
        generation=decoded["generation"],
        newest=decoded["newest"],
        floor=decoded["floor"],
        records=records,
    )


def _record(generation: int, fields: dict[str, Any]) -> Record:
    readings = []
    for code, (value, quality) in fields["readings"].items():
        name, unit, per_unit, *_ = QUANTITIES[code]
        number = None if value is None else value / per_unit
        readings.append(Reading(name, number, unit, QUALITIES[quality]))
    synced = not fields["flags"] & UNSYNCED
    time = _EPOCH + timedelta(seconds=fields["time_s"]) if synced else None
    return Record(generation, fields["id"], time, 1 << (fields["flags"] & 0x0F), tuple(readings))


class ReadingStore:
    """Readings in SQLite at ``path``; one writer."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(_SCHEMA)

    @property
    def database(self) -> sqlite3.Connection:
        """The database, for what is kept beside the readings."""
        return self._database

    def close(self) -> None:
        """Close, leaving one file."""
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._database.execute("PRAGMA journal_mode = DELETE")
        self._database.close()

    def add(self, dev_eui: str, records: Iterable[Record]) -> int:
        """Store what is new; return how many records that were. All or nothing."""
        added = 0
        with self._database:
            for record in records:
                known = self._database.execute(
                    "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?)",
                    (dev_eui, record.generation, record.number, record.uncertainty_s),
                ).rowcount
                if not known:
                    continue
                added += 1
                time = (
                    record.time.isoformat(timespec="seconds").replace("+00:00", "Z") if record.time else None
                )
                self._database.executemany(
                    "INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [
                        (dev_eui, record.record_id, time, item.quantity, item.value, item.unit, item.quality)
                        for item in record.readings
                    ],
                )
        return added

    def count(self, dev_eui: str) -> int:
        """Records of a node."""
        query = "SELECT count(*) FROM records WHERE dev_eui = ?"
        return int(self._database.execute(query, (dev_eui,)).fetchone()[0])

    def missing(
        self, dev_eui: str, generation: int, floor: int, newest: int
    ) -> tuple[int, list[tuple[int, int]]]:
        """What of ``floor..newest`` is not stored: the lowest such id, and runs (id, count) downwards.

        Where all is stored, the id after ``newest`` and no runs.
        """
        rows = self._database.execute(
            "SELECT number FROM records WHERE dev_eui = ? AND generation = ? AND number BETWEEN ? AND ?"
            " ORDER BY number DESC",
            (dev_eui, generation, floor, newest),
        )
        runs = []
        expected = newest
        for (number,) in rows:
            if number < expected:
                runs.append((expected, expected - number))
            expected = number - 1
        if expected >= floor:
            runs.append((expected, expected - floor + 1))
        if not runs:
            return newest + 1, []
        last, count = runs[-1]
        return last - count + 1, runs

    def rows(self, dev_eui: str) -> list[tuple[int, str | None, str, float | None, str, str, int]]:
        """(record_id, time_utc, quantity, value, unit, quality, uncertainty_s) of a node, in order of id."""
        return list(
            self._database.execute(
                "SELECT record_id, time_utc, quantity, value, unit, quality, uncertainty_s FROM readings"
                " JOIN records"
                " ON records.dev_eui = readings.dev_eui AND record_id = generation << 24 | number"
                " WHERE readings.dev_eui = ? ORDER BY record_id, quantity",
                (dev_eui,),
            )
        )
