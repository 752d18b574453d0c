# SPDX-License-Identifier: MIT
"""Alarms: what a decoded alarm uplink says, the store of every occurrence, and acknowledging one.

An occurrence only moves forward (active, then latched or acknowledged, then idle) and each of its states is
stored once, so that repeats and reminders change nothing. Only an operator acknowledges: the call is kept and
sent with the node's uplinks until the node says that it knows, ten times at most after each of its reports.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from communode.alarms import codes_of, name_alarm, scale_of, severity_of
from communode.errors import CommunodeError
from communode.node.codec import alarm as codec
from communode.node.codec.record import UNSYNCED
from communode.node.schema.alarms import MAX_ALARMS, STATES

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_OPEN = ("active", "latched")
_TRIES = 10

_SCHEMA = """
CREATE TABLE IF NOT EXISTS alarms(
    dev_eui TEXT NOT NULL,
    alarm TEXT NOT NULL,
    occurrence INTEGER NOT NULL,
    state TEXT NOT NULL,
    time_utc TEXT,
    value REAL,
    unit TEXT NOT NULL,
    PRIMARY KEY (dev_eui, alarm, occurrence, state)
);
CREATE TABLE IF NOT EXISTS alarm_acknowledgements(
    dev_eui TEXT NOT NULL,
    alarm TEXT NOT NULL,
    occurrence INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    PRIMARY KEY (dev_eui, alarm, occurrence)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class AlarmReport:
    """One alarm of an uplink. ``time`` of its last change and ``value`` are None where the node knew none."""

    alarm: str
    occurrence: int  # generation of the node's journal << 16 | the node's number
    state: str
    time: datetime | None
    value: float | None
    unit: str

    @property
    def severity(self) -> str:
        """``critical`` or ``warning``."""
        return severity_of(self.alarm)

    @property
    def time_utc(self) -> str | None:
        """``time`` as the store has it."""
        return self.time.isoformat(timespec="seconds").replace("+00:00", "Z") if self.time else None


@dataclass(frozen=True)
class AlarmUplink:
    """A decoded alarm uplink. ``record_id`` is the newest record when it was sent; None before the first."""

    record_id: int | None
    reports: tuple[AlarmReport, ...]


def decode_alarms(payload: bytes) -> AlarmUplink:
    """Decode an alarm uplink (FPort 5). `CommunodeError` ``payload.bad_alarm`` says what is wrong with it."""
    try:
        generation, record, time_s, flags, reports = codec.decode(payload)
    except ValueError as error:
        raise CommunodeError("payload.bad_alarm", usage=True, reason=str(error)) from None
    found = []
    for kind, quantity, state, occurrence, value, age_s in reports:
        unit, per_unit = scale_of(kind, quantity)
        time = None
        if age_s is not None and not flags & UNSYNCED:
            time = _EPOCH + timedelta(seconds=time_s - age_s)
        found.append(
            AlarmReport(
                name_alarm(kind, quantity),
                generation << 16 | occurrence,
                STATES[state],
                time,
                None if value is None else value / per_unit,
                unit,
            )
        )
    return AlarmUplink(None if record is None else generation << 24 | record, tuple(found))


class AlarmStore:
    """Alarms and their acknowledgements in an SQLite database; one writer."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._database.executescript(_SCHEMA)

    def add(self, dev_eui: str, reports: Iterable[AlarmReport]) -> list[AlarmReport]:
        """Store what is new, and return it. All or nothing."""
        new = []
        with self._database:
            for report in reports:
                name = (dev_eui, report.alarm, report.occurrence)
                row = (*name, report.state, report.time_utc, report.value, report.unit)
                if self._database.execute(
                    "INSERT OR IGNORE INTO alarms VALUES (?, ?, ?, ?, ?, ?, ?)", row
                ).rowcount:
                    new.append(report)
                    # The node knows, or has another occurrence to tell of. (A late copy of an old report is
                    # not new and takes nothing back.)
                    self._database.execute(
                        "DELETE FROM alarm_acknowledgements WHERE dev_eui = ? AND alarm = ? AND"
                        " (occurrence != ? OR ?)",
                        (*name, report.state not in _OPEN),
                    )
                self._database.execute(
                    "UPDATE alarm_acknowledgements SET tries = 0"
                    " WHERE dev_eui = ? AND alarm = ? AND occurrence = ?",
                    name,
                )
        return new

    def open(self, dev_eui: str) -> dict[str, int]:
        """{alarm: occurrence} of what is active or latched at the node, as far as it told."""
        rows = self._database.execute(
            "SELECT alarm, occurrence, state FROM alarms WHERE dev_eui = ? ORDER BY rowid", (dev_eui,)
        )
        newest: dict[str, tuple[int, set[str]]] = {}
        for name, occurrence, state in rows:
            if name not in newest or newest[name][0] != occurrence:
                newest[name] = (occurrence, set())
            newest[name][1].add(state)
        return {
            name: occurrence for name, (occurrence, states) in sorted(newest.items()) if states <= set(_OPEN)
        }

    def acknowledge(self, dev_eui: str, alarm: str) -> int:
        """An operator knows of the open ``alarm``: tell the node after its next uplinks; the occurrence.

        `CommunodeError` ``alarm.not_open`` where there is nothing to acknowledge.
        """
        open_alarms = self.open(dev_eui)
        if alarm not in open_alarms:
            names = ", ".join(open_alarms) or "-"
            raise CommunodeError("alarm.not_open", dev_eui=dev_eui, alarm=alarm, open=names)
        with self._database:
            self._database.execute(
                "INSERT OR REPLACE INTO alarm_acknowledgements VALUES (?, ?, ?, 0)",
                (dev_eui, alarm, open_alarms[alarm]),
            )
        return open_alarms[alarm]

    def answer(self, dev_eui: str) -> bytes | None:
        """The acknowledgement (FPort 5) that is to follow an uplink of this node; None when there is none."""
        with self._database:
            rows = self._database.execute(
                "SELECT alarm, occurrence FROM alarm_acknowledgements WHERE dev_eui = ? AND tries < ?"
                " ORDER BY occurrence DESC",
                (dev_eui, _TRIES),
            ).fetchall()
            if not rows:
                return None
            generation = rows[0][1] >> 16
            rows = [row for row in rows if row[1] >> 16 == generation][:MAX_ALARMS]
            self._database.executemany(
                "UPDATE alarm_acknowledgements SET tries = tries + 1"
                " WHERE dev_eui = ? AND alarm = ? AND occurrence = ?",
                [(dev_eui, *row) for row in rows],
            )
        answers = [(*codes_of(alarm), occurrence & 0xFFFF) for alarm, occurrence in rows]
        return codec.encode_acknowledgement(generation, answers)

    def rows(self, dev_eui: str) -> list[tuple[str, int, str, str | None, float | None, str]]:
        """(alarm, occurrence, state, time_utc, value, unit) of a node, in the order of their coming."""
        return list(
            self._database.execute(
                "SELECT alarm, occurrence, state, time_utc, value, unit FROM alarms WHERE dev_eui = ?"
                " ORDER BY rowid",
                (dev_eui,),
            )
        )
