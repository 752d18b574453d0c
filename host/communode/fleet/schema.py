# SPDX-License-Identifier: MIT
"""The tables of the register.

A node is a LoRaWAN identity (DevEUI), hardware is a board (MAC address), a site is a place. A node sits on
one board and at one site at a time, and a site has one node; ``placements`` remembers which nodes were at a
site and when, so that readings, which come by DevEUI, belong to the site for ever. Times are UTC, ISO 8601.
No column holds a key.

``events`` can only be added to: triggers refuse the rest.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

VERSION = 1

NODE_STATES = ("drawn", "provisioned", "in_service", "replaced", "retired")
HARDWARE_STATES = ("in_use", "spare", "replaced")
KEY_STATES = ("vault", "due", "elsewhere")  # kept here; new ones are to be written; known to somebody else
NONCE_STATES = ("rising", "wiped")  # wiped: the node begins at 0 again, which the network server must be told
STEPS = ("drawn", "registered", "written", "joined", "labelled", "done")


# What may be asked for and changed by name. No text of a user becomes SQL.
FILTERS = {
    "tenant": "n.tenant",
    "site": "s.name",
    "batch": "n.batch",
    "state": "n.state",
    "profile": "n.profile",
    "network": "n.network",
    "keys": "n.keys",
    "nonces": "n.nonces",
    "board": "h.board",
}
_CHANGEABLE = frozenset(
    ("name", "state", "keys", "key_generation", "nonces", "joined_at", "network", "profile", "batch")
)


def changeable(name: str) -> str:
    """A column of ``nodes`` that may be changed; KeyError for any other."""
    if name not in _CHANGEABLE:
        raise KeyError(name)
    return name


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"CHECK({column} IN ({', '.join(repr(value) for value in values)}))"


TABLES = f"""
CREATE TABLE tenants(name TEXT PRIMARY KEY) STRICT;
CREATE TABLE sites(
    id INTEGER PRIMARY KEY, tenant TEXT NOT NULL REFERENCES tenants, name TEXT NOT NULL,
    latitude REAL CHECK(latitude BETWEEN -90 AND 90), longitude REAL CHECK(longitude BETWEEN -180 AND 180),
    address TEXT NOT NULL DEFAULT '', UNIQUE(tenant, name)) STRICT;
CREATE TABLE hardware(
    mac TEXT PRIMARY KEY, serial TEXT NOT NULL DEFAULT '', board TEXT NOT NULL,
    firmware TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL {_one_of("state", HARDWARE_STATES)}) STRICT;
CREATE TABLE nodes(
    id INTEGER PRIMARY KEY, dev_eui TEXT NOT NULL UNIQUE, join_eui TEXT NOT NULL, name TEXT NOT NULL,
    profile TEXT NOT NULL, tenant TEXT REFERENCES tenants, site INTEGER REFERENCES sites,
    mac TEXT UNIQUE REFERENCES hardware, batch TEXT NOT NULL DEFAULT '', network TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL {_one_of("state", NODE_STATES)},
    keys TEXT NOT NULL {_one_of("keys", KEY_STATES)}, key_generation INTEGER NOT NULL DEFAULT 0,
    nonces TEXT NOT NULL DEFAULT 'rising' {_one_of("nonces", NONCE_STATES)},
    joined_at TEXT NOT NULL DEFAULT '') STRICT;
CREATE UNIQUE INDEX nodes_by_site ON nodes(site);
CREATE INDEX nodes_by_tenant ON nodes(tenant);
CREATE INDEX nodes_by_batch ON nodes(batch);
CREATE TABLE placements(
    id INTEGER PRIMARY KEY, site INTEGER NOT NULL REFERENCES sites, dev_eui TEXT NOT NULL, mac TEXT,
    since TEXT NOT NULL, until TEXT) STRICT;
CREATE INDEX placements_by_site ON placements(site, since);
CREATE TABLE events(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL,
    dev_eui TEXT NOT NULL DEFAULT '', mac TEXT NOT NULL DEFAULT '', site INTEGER,
    detail TEXT NOT NULL DEFAULT '{{}}') STRICT;
CREATE INDEX events_by_node ON events(dev_eui);
CREATE INDEX events_by_site ON events(site);
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events stay'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events stay'); END;
CREATE TABLE jobs(
    dev_eui TEXT PRIMARY KEY REFERENCES nodes(dev_eui), mac TEXT NOT NULL UNIQUE, batch TEXT NOT NULL,
    step TEXT NOT NULL {_one_of("step", STEPS)}, renew INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE VIRTUAL TABLE words USING fts5(text, prefix='2 3 4', tokenize='unicode61 remove_diacritics 2');
"""


def statements() -> Iterator[str]:
    """The statements of `TABLES` (triggers hold semicolons of their own)."""
    held = ""
    for line in TABLES.splitlines():
        held += line + "\n"
        if sqlite3.complete_statement(held):
            yield held
            held = ""
