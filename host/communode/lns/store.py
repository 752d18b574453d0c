# SPDX-License-Identifier: MIT
"""Devices, sessions, nonces, queues and frames of the bench server in one SQLite file.

The file holds keys: it is created with mode 0600 and belongs in no backup that others read. Every change is
committed before the server answers, so that a crash skips counters and never repeats one.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from communode.errors import CommunodeError
from communode.lns.session import Device, Downlink, Heard, Session

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS devices(
    dev_eui TEXT PRIMARY KEY, join_eui TEXT NOT NULL, app_key BLOB NOT NULL, name TEXT NOT NULL,
    last_dev_nonce INTEGER NOT NULL, last_join_nonce INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS sessions(
    dev_eui TEXT NOT NULL REFERENCES devices ON DELETE CASCADE, dev_addr INTEGER NOT NULL,
    pending INTEGER NOT NULL, state TEXT NOT NULL, nwk_s_key BLOB NOT NULL, app_s_key BLOB NOT NULL,
    PRIMARY KEY(dev_eui, pending)) STRICT;
CREATE INDEX IF NOT EXISTS sessions_by_address ON sessions(dev_addr);
CREATE TABLE IF NOT EXISTS queue(
    id INTEGER PRIMARY KEY AUTOINCREMENT, dev_eui TEXT NOT NULL REFERENCES devices ON DELETE CASCADE,
    f_port INTEGER NOT NULL, payload BLOB NOT NULL, confirmed INTEGER NOT NULL, item TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS queue_by_device ON queue(dev_eui, id);
CREATE TABLE IF NOT EXISTS frames(
    id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, dev_eui TEXT NOT NULL, direction TEXT NOT NULL,
    fcnt INTEGER, phy BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS counters(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
"""
_FRAMES_KEPT = 10_000
_KEYS = ("nwk_s_key", "app_s_key")


class Store:
    """The server's memory. ``path`` None keeps it in RAM; ``durable`` False trusts the machine not to lose
    power (fit for throw-away benches).

    CommunodeError ``network.store_unusable`` when the file cannot be used.
    """

    def __init__(self, path: Path | None = None, *, durable: bool = True) -> None:
        self.path = path
        try:
            if path is not None:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(
                path or ":memory:", isolation_level=None, check_same_thread=False, timeout=5.0
            )
            self._db.execute("PRAGMA foreign_keys=ON")
            if path is not None:
                self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _SCHEMA_VERSION):
                raise sqlite3.DatabaseError(f"schema {version}")
            self._db.executescript(_SCHEMA)
            self._db.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
        except (OSError, sqlite3.Error) as error:
            raise CommunodeError(
                "network.store_unusable", usage=True, path=str(path), reason=str(error)
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # --- devices ------------------------------------------------------------------------------------------

    def add(self, device: Device, *, replace: bool = False) -> None:
        """Register a device. The same identity and key again changes nothing but the name; another JoinEUI or
        key is CommunodeError ``network.device_exists`` unless ``replace`` drops what was known."""
        known = self.device(device.dev_eui)
        if known and (known.join_eui, known.app_key) == (device.join_eui, device.app_key):
            self._db.execute("UPDATE devices SET name=? WHERE dev_eui=?", (device.name, device.dev_eui))
            return
        if known and not replace:
            raise CommunodeError("network.device_exists", dev_eui=device.dev_eui)
        with self.transaction():
            self._db.execute("DELETE FROM devices WHERE dev_eui=?", (device.dev_eui,))
            self._db.execute(
                "INSERT INTO devices"
                " VALUES(:dev_eui, :join_eui, :app_key, :name, :last_dev_nonce, :last_join_nonce)",
                asdict(device),
            )

    def device(self, dev_eui: str) -> Device | None:
        """The registered device, None when unknown."""
        row = self._db.execute("SELECT * FROM devices WHERE dev_eui=?", (dev_eui,)).fetchone()
        return Device(*row) if row else None

    def devices(self) -> list[Device]:
        """All devices by DevEUI."""
        return [Device(*row) for row in self._db.execute("SELECT * FROM devices ORDER BY dev_eui")]

    def forget(self, dev_eui: str) -> bool:
        """Remove a device with its session and queue; whether it was known."""
        return self._db.execute("DELETE FROM devices WHERE dev_eui=?", (dev_eui,)).rowcount > 0

    def save_nonces(self, device: Device) -> None:
        """Keep the nonces of a join."""
        self._db.execute(
            "UPDATE devices SET last_dev_nonce=?, last_join_nonce=? WHERE dev_eui=?",
            (device.last_dev_nonce, device.last_join_nonce, device.dev_eui),
        )

    # --- sessions -----------------------------------------------------------------------------------------

    def save_session(self, session: Session) -> None:
        """Insert or replace the device's pending or active session."""
        state = asdict(session)
        fixed = [state.pop(name) for name in ("dev_eui", "dev_addr", "pending", *_KEYS)]
        text = json.dumps(state, default=bytes.hex)
        self._db.execute(
            "INSERT OR REPLACE INTO sessions(dev_eui, dev_addr, pending, nwk_s_key, app_s_key, state)"
            " VALUES(?,?,?,?,?,?)",
            (*fixed[:2], int(fixed[2]), *fixed[3:], text),
        )

    def activate(self, session: Session) -> None:
        """The first uplink under a pending session: it becomes the only one."""
        self._db.execute("DELETE FROM sessions WHERE dev_eui=?", (session.dev_eui,))
        session.pending = False
        self.save_session(session)

    def sessions_of_address(self, dev_addr: int) -> list[Session]:
        """All sessions with this DevAddr, pending ones first."""
        return self._sessions("WHERE dev_addr=? ORDER BY pending DESC, dev_eui", (dev_addr,))

    def session(self, dev_eui: str) -> Session | None:
        """The device's newest session, None before its first join."""
        found = self._sessions("WHERE dev_eui=? ORDER BY pending DESC", (dev_eui,))
        return found[0] if found else None

    def _sessions(self, where: str, values: tuple[object, ...]) -> list[Session]:
        columns = "dev_eui, dev_addr, pending, nwk_s_key, app_s_key, state"
        found = []
        for row in self._db.execute(f"SELECT {columns} FROM sessions {where}", values):
            state = json.loads(row[5])
            state["history"] = [Heard(**heard) for heard in state["history"]]
            for name in ("queued_commands", "sent_commands", "adr_refused"):
                state[name] = bytes.fromhex(state[name])
            found.append(
                Session(row[0], row[1], nwk_s_key=row[3], app_s_key=row[4], pending=bool(row[2]), **state)
            )
        return found

    def next_dev_addr(self, net_id: int) -> int:
        """A DevAddr never given before (until 2^25 joins wrap) under a type-0 NetID (TS001 6.1.1)."""
        number = self.count("dev_addr") & 0x1FFFFFF
        return (net_id & 0x3F) << 25 | number

    def count(self, name: str) -> int:
        """The next value of a counter that survives restarts, from 1."""
        row = self._db.execute(
            "INSERT INTO counters VALUES(?, 1) ON CONFLICT(name) DO UPDATE SET value=value+1 RETURNING value",
            (name,),
        ).fetchone()
        return int(row[0])

    # --- queue and frames ---------------------------------------------------------------------------------

    def enqueue(self, dev_eui: str, downlink: Downlink) -> str:
        """Append to the device's queue; the item's name."""
        item = downlink.item or f"{dev_eui}-{self.count('item')}"
        self._db.execute(
            "INSERT INTO queue(dev_eui, f_port, payload, confirmed, item) VALUES(?,?,?,?,?)",
            (dev_eui, downlink.f_port, downlink.payload, int(downlink.confirmed), item),
        )
        return item

    def queue(self, dev_eui: str) -> list[Downlink]:
        """What waits for the device, oldest first."""
        rows = self._db.execute(
            "SELECT f_port, payload, confirmed, item FROM queue WHERE dev_eui=? ORDER BY id", (dev_eui,)
        )
        return [Downlink(port, payload, bool(confirmed), item) for port, payload, confirmed, item in rows]

    def dequeue(self, item: str) -> None:
        """The item went out, or never will."""
        self._db.execute("DELETE FROM queue WHERE item=?", (item,))

    def log_frame(self, time: str, dev_eui: str, direction: str, fcnt: int | None, phy: bytes) -> None:
        """Remember a PHYPayload (the newest 10 000 are kept)."""
        cursor = self._db.execute(
            "INSERT INTO frames(time, dev_eui, direction, fcnt, phy) VALUES(?,?,?,?,?)",
            (time, dev_eui, direction, fcnt, phy),
        )
        if cursor.lastrowid and cursor.lastrowid % 256 == 0:
            self._db.execute("DELETE FROM frames WHERE id<=?", (cursor.lastrowid - _FRAMES_KEPT,))

    def frames(self, dev_eui: str = "") -> list[tuple[str, str, str, int | None, bytes]]:
        """Kept frames as ``(time, dev_eui, direction, fcnt, phy)``, oldest first."""
        return list(
            self._db.execute(
                "SELECT time, dev_eui, direction, fcnt, phy FROM frames WHERE ?='' OR dev_eui=? ORDER BY id",
                (dev_eui, dev_eui),
            )
        )
