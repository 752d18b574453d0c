# SPDX-License-Identifier: MIT
"""The register's file: transactions, events, and the nodes, hardware and sites in it.

Every public method is one transaction, durable on return, with the event that tells of it: whoever is killed
between two of them leaves a register that is consistent. Several processes may use one file at once.
"""

from __future__ import annotations

import getpass
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from communode.errors import CommunodeError
from communode.fleet import schema, words

_NODE_COLUMNS = (
    "n.dev_eui, n.join_eui, n.name, n.profile, n.tenant, s.name AS site, n.mac, h.serial, h.board,"
    " h.firmware, n.batch, n.network, n.state, n.keys, n.key_generation, n.nonces, n.joined_at,"
    " s.latitude, s.longitude"
)
_NODES = (
    f"SELECT {_NODE_COLUMNS} FROM nodes n LEFT JOIN sites s ON s.id=n.site LEFT JOIN hardware h USING(mac)"
)

Row = dict[str, Any]


@dataclass(frozen=True)
class NewNode:
    """A node as it is entered: EUIs and MAC as hex without separators (the register's spelling)."""

    dev_eui: str
    join_eui: str
    name: str
    profile: str
    board: str
    mac: str
    tenant: str = ""
    site: str = ""
    serial: str = ""
    batch: str = ""
    network: str = ""


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Register:
    """The register at ``path``. CommunodeError ``fleet.unusable`` when the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self.db = sqlite3.connect(path, isolation_level=None, timeout=10.0, check_same_thread=False)
            self.db.row_factory = sqlite3.Row
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=FULL")
            self.db.execute("PRAGMA foreign_keys=ON")
            self._create()
        except (OSError, sqlite3.Error) as error:
            raise CommunodeError("fleet.unusable", usage=True, file=path, reason=str(error)) from None
        self._actor = _user()
        self._depth = 0

    def _create(self) -> None:
        """Make the tables, once, whoever else does so at the same time."""
        self.db.execute("BEGIN IMMEDIATE")
        version = self.db.execute("PRAGMA user_version").fetchone()[0]
        try:
            if version == 0:
                for statement in schema.statements():
                    self.db.execute(statement)
                self.db.execute(f"PRAGMA user_version={schema.VERSION}")
            elif version != schema.VERSION:
                raise sqlite3.DatabaseError(f"schema {version}")
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    def __enter__(self) -> Register:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; an inner one belongs to the outer."""
        if self._depth:
            yield
            return
        self.db.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        else:
            self.db.execute("COMMIT")
        finally:
            self._depth = 0

    def record(
        self, kind: str, dev_eui: str = "", mac: str = "", site: int | None = None, **detail: Any
    ) -> None:
        """Add an event to the history."""
        if site is None and dev_eui:
            row = self.db.execute("SELECT site FROM nodes WHERE dev_eui=?", (dev_eui,)).fetchone()
            site = row["site"] if row else None
        self.db.execute(
            "INSERT INTO events(at, actor, kind, dev_eui, mac, site, detail) VALUES(?,?,?,?,?,?,?)",
            (now(), self._actor, kind, dev_eui, mac, site, json.dumps(detail, ensure_ascii=False)),
        )

    # --- reading ------------------------------------------------------------------------------------------

    def nodes(self, **filters: str) -> list[Row]:
        """All nodes, by tenant, site and name; ``filters``: tenant, batch, state, profile ..."""
        where = " AND ".join(f"{schema.FILTERS[name]}=?" for name in filters)
        query = f"{_NODES} {'WHERE ' + where if where else ''} ORDER BY n.tenant, s.name, n.name, n.dev_eui"
        return [dict(row) for row in self.db.execute(query, tuple(filters.values()))]

    def find_node(self, name: str) -> Row | None:
        """The node with this DevEUI, MAC address or name (of several with that name, none)."""
        bare = name.replace(":", "").replace("-", "").lower()
        for column, value in (("n.dev_eui", bare), ("n.mac", bare), ("n.name", name)):
            rows = self.db.execute(f"{_NODES} WHERE {column}=? LIMIT 2", (value,)).fetchall()
            if len(rows) == 1:
                return dict(rows[0])
        return None

    def node(self, name: str) -> Row:
        """As `find_node`; ``fleet.unknown_node``."""
        found = self.find_node(name)
        if found is None:
            raise CommunodeError("fleet.unknown_node", usage=True, name=name)
        return found

    def search(self, wanted: str, limit: int = 1000) -> list[Row]:
        """Nodes in which every word occurs, by its beginning, or as the end of a DevEUI or MAC address."""
        terms = words.terms_of(wanted)
        if not terms:
            return []
        query = " ".join(f'"{term}"*' for term in terms)
        rows = self.db.execute(
            f"{_NODES} WHERE n.id IN (SELECT rowid FROM words WHERE words MATCH ?)"
            " ORDER BY n.tenant, s.name, n.name LIMIT ?",
            (query, limit),
        )
        return [dict(row) for row in rows]

    def sites(self) -> list[Row]:
        """All sites, with the DevEUI of the node that is there now."""
        rows = self.db.execute(
            "SELECT s.tenant, s.name, s.latitude, s.longitude, s.address, n.dev_eui FROM sites s"
            " LEFT JOIN nodes n ON n.site=s.id ORDER BY s.tenant, s.name"
        )
        return [dict(row) for row in rows]

    def site_id(self, name: str) -> int:
        """The key of a site given as ``tenant/site``, or as ``site`` where only one has that name.

        CommunodeError ``fleet.unknown_site``.
        """
        tenant, slash, place = name.rpartition("/")
        rows = self.db.execute(
            "SELECT id FROM sites WHERE name=? AND (?='' OR tenant=?)",
            (place if slash else name, tenant, tenant),
        ).fetchall()
        if len(rows) != 1:
            raise CommunodeError("fleet.unknown_site", usage=True, name=name, found=len(rows))
        return int(rows[0]["id"])

    def history(self, node: str = "", site: str = "") -> list[Row]:
        """Events of a node, of a site (whichever nodes were there), or all, oldest first."""
        if node:
            where, value = "WHERE dev_eui=?", [self.node(node)["dev_eui"]]
        elif site:
            where, value = "WHERE e.site=?", [str(self.site_id(site))]
        else:
            where, value = "", []
        rows = self.db.execute(
            "SELECT e.at, e.actor, e.kind, e.dev_eui, e.mac, s.name AS site, e.detail FROM events e"
            f" LEFT JOIN sites s ON s.id=e.site {where} ORDER BY e.id",
            value,
        )
        return [{**dict(row), "detail": json.loads(row["detail"])} for row in rows]

    def placements(self, site: str) -> list[Row]:
        """Which node was at a site from when until when, oldest first."""
        rows = self.db.execute(
            "SELECT dev_eui, mac, since, until FROM placements WHERE site=? ORDER BY id",
            (self.site_id(site),),
        )
        return [dict(row) for row in rows]

    # --- writing ------------------------------------------------------------------------------------------

    def add_site(
        self,
        tenant: str,
        name: str,
        latitude: float | None = None,
        longitude: float | None = None,
        address: str = "",
    ) -> int:
        """A site, or news of one that is known; its key. ``fleet.bad_place``."""
        if (latitude is None) != (longitude is None) or not name or "/" in name or "/" in tenant:
            raise CommunodeError("fleet.bad_place", usage=True, name=f"{tenant}/{name}")
        try:
            with self.transaction():
                self.db.execute("INSERT OR IGNORE INTO tenants VALUES(?)", (tenant,))
                row = self.db.execute(
                    "INSERT INTO sites(tenant, name, latitude, longitude, address) VALUES(?,?,?,?,?)"
                    " ON CONFLICT(tenant, name) DO UPDATE SET latitude=coalesce(excluded.latitude, latitude),"
                    " longitude=coalesce(excluded.longitude, longitude),"
                    " address=iif(excluded.address='', address, excluded.address) RETURNING id",
                    (tenant, name, latitude, longitude, address),
                ).fetchone()
                key = int(row["id"])
                self.record(
                    "site", site=key, tenant=tenant, name=name, latitude=latitude, longitude=longitude
                )
        except sqlite3.IntegrityError:
            raise CommunodeError("fleet.bad_place", usage=True, name=f"{tenant}/{name}") from None
        return key

    def add_node(
        self, node: NewNode, *, keys: str = "vault", key_generation: int = 0, state: str = "drawn"
    ) -> None:
        """A new node with its hardware. ``fleet.node_exists`` when its DevEUI, or its board, has one."""
        with self.transaction():
            self.db.execute(
                "INSERT INTO hardware(mac, serial, board, state) VALUES(?,?,?,'in_use') ON CONFLICT(mac)"
                " DO UPDATE SET serial=iif(excluded.serial='', serial, excluded.serial),"
                " board=excluded.board, state='in_use'",
                (node.mac, node.serial, node.board),
            )
            site = None
            if node.tenant:
                self.db.execute("INSERT OR IGNORE INTO tenants VALUES(?)", (node.tenant,))
            if node.site:
                site = self.add_site(node.tenant, node.site)
            values = {
                **{name: getattr(node, name) for name in ("dev_eui", "join_eui", "name", "profile", "mac")},
                "tenant": node.tenant or None,
                "batch": node.batch,
                "network": node.network,
                "state": state,
                "keys": keys,
                "key_generation": key_generation,
            }
            try:
                self.db.execute(
                    f"INSERT INTO nodes({', '.join(values)}) VALUES({', '.join('?' * len(values))})",
                    tuple(values.values()),
                )
            except sqlite3.IntegrityError:
                raise CommunodeError("fleet.node_exists", dev_eui=node.dev_eui, mac=node.mac) from None
            self.record("drawn", node.dev_eui, node.mac, name=node.name, batch=node.batch)
            if site is not None:
                self._place(node.dev_eui, site)
            self.index(node.dev_eui)

    def change_node(self, dev_eui: str, kind: str, **changes: Any) -> None:
        """Change columns of a node, and tell it as an event of ``kind``."""
        columns = ", ".join(f"{schema.changeable(name)}=?" for name in changes)
        with self.transaction():
            self.db.execute(f"UPDATE nodes SET {columns} WHERE dev_eui=?", (*changes.values(), dev_eui))
            self.record(kind, dev_eui, **changes)
            self.index(dev_eui)

    def place(self, node: str, site: str) -> None:
        """Put a node at a site that has none (`replace` is for one that has); ``fleet.site_taken``."""
        found, key = self.node(node), self.site_id(site)
        with self.transaction():
            self._place(found["dev_eui"], key)
            self.index(found["dev_eui"])

    def _place(self, dev_eui: str, site: int) -> None:
        taken = self.db.execute("SELECT dev_eui FROM nodes WHERE site=?", (site,)).fetchone()
        if taken and taken["dev_eui"] == dev_eui:
            return
        if taken:
            place = self.db.execute("SELECT tenant, name FROM sites WHERE id=?", (site,)).fetchone()
            raise CommunodeError("fleet.site_taken", site="/".join(place), dev_eui=taken["dev_eui"])
        self._end_placement(dev_eui)
        self.db.execute("UPDATE nodes SET site=? WHERE dev_eui=?", (site, dev_eui))
        self.db.execute(
            "INSERT INTO placements(site, dev_eui, mac, since)"
            " SELECT ?, dev_eui, mac, ? FROM nodes WHERE dev_eui=?",
            (site, now(), dev_eui),
        )
        self.record("placed", dev_eui, site=site)

    def _end_placement(self, dev_eui: str) -> None:
        self.db.execute("UPDATE placements SET until=? WHERE dev_eui=? AND until IS NULL", (now(), dev_eui))

    def replace(self, site: str, node: str, reason: str = "") -> tuple[str, str]:
        """Swap the node at ``site`` for ``node``; the DevEUIs, old and new. The site keeps its history.

        The new node has its own DevEUI, keys and counters, so that no DevNonce is used twice; the old one is
        to be removed from the network server. CommunodeError ``fleet.site_empty``, ``fleet.node_elsewhere``.
        """
        key, new = self.site_id(site), self.node(node)
        with self.transaction():
            old = self.db.execute(
                "SELECT dev_eui, mac, name, tenant FROM nodes WHERE site=?", (key,)
            ).fetchone()
            if old is None:
                raise CommunodeError("fleet.site_empty", site=site)
            if new["site"] is not None or new["state"] in ("replaced", "retired"):
                raise CommunodeError(
                    "fleet.node_elsewhere",
                    dev_eui=new["dev_eui"],
                    site=new["site"] or "-",
                    state=new["state"],
                )
            self._end_placement(old["dev_eui"])
            self.record("replaced", old["dev_eui"], old["mac"] or "", key, by=new["dev_eui"], reason=reason)
            self.db.execute("UPDATE nodes SET site=NULL, state='replaced' WHERE dev_eui=?", (old["dev_eui"],))
            self.db.execute("UPDATE hardware SET state='replaced' WHERE mac=?", (old["mac"],))
            self.db.execute("UPDATE nodes SET tenant=? WHERE dev_eui=?", (old["tenant"], new["dev_eui"]))
            self._place(new["dev_eui"], key)
            for dev_eui in (old["dev_eui"], new["dev_eui"]):
                self.index(dev_eui)
        return str(old["dev_eui"]), str(new["dev_eui"])

    def note_wiped(self, name: str) -> bool:
        """A board's memory was erased: its node begins with DevNonce 0. False for a board that is unknown."""
        found = self.find_node(name)
        if found:
            self.change_node(found["dev_eui"], "state_wiped", nonces="wiped")
        return found is not None

    def note_firmware(self, mac: str, version: str) -> bool:
        """A board was flashed. False for a board that is unknown."""
        with self.transaction():
            changed = self.db.execute("UPDATE hardware SET firmware=? WHERE mac=?", (version, mac)).rowcount
            if changed:
                owner = self.db.execute("SELECT dev_eui FROM nodes WHERE mac=?", (mac,)).fetchone()
                self.record("flashed", owner["dev_eui"] if owner else "", mac, firmware=version)
        return changed > 0

    def note_export(self, dev_eui: str, file: Path) -> None:
        """The keys of a node are about to leave: into a file that was asked for by name."""
        self.record("keys_exported", dev_eui, to=str(file))

    def index(self, dev_eui: str) -> None:
        """Bring the words by which a node is found up to date."""
        row = self.db.execute(
            f"SELECT n.id, {_NODE_COLUMNS} FROM nodes n LEFT JOIN sites s ON s.id=n.site"
            " LEFT JOIN hardware h USING(mac) WHERE n.dev_eui=?",
            (dev_eui,),
        ).fetchone()
        if row is None:
            return
        self.db.execute("DELETE FROM words WHERE rowid=?", (row["id"],))
        self.db.execute("INSERT INTO words(rowid, text) VALUES(?, ?)", (row["id"], words.text_of(dict(row))))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid()) if hasattr(os, "getuid") else "?"
