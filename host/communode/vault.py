# SPDX-License-Identifier: MIT
"""The vault: root keys and network tokens, encrypted at rest. There is no mode without encryption.

Each secret is sealed with a data key of its own, each data key with the vault's key, and the vault's key with
one or several locks (`communode.vault_locks`): changing a passphrase rewrites one row, and a secret that is
removed is gone when its data key is. What is sealed is bound to its name and generation, so that rows cannot
be swapped. A secret leaves by `get` only; nothing here prints, logs or passes one to another process.

Not a defence against somebody who runs code as the same user while the vault is open.

Sources: NIST SP 800-38D (AES-GCM: 96-bit nonces, a key for fewer than 2^32 of them), RFC 7914 (scrypt).
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from communode.errors import CommunodeError
from communode.identity import Identity

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS locks(
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, parameters TEXT NOT NULL, wrapped BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS secrets(
    name TEXT NOT NULL, generation INTEGER NOT NULL, data_key BLOB NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY(name, generation)) STRICT;
"""
_NONCE = 12
_KEY = 32
_EUI, _ROOT_KEY = 8, 16


class Lock(Protocol):
    """One way to the vault's key."""

    kind: str

    def close(self, key: bytes) -> tuple[dict[str, object], bytes]:
        """What to keep so that `open` finds ``key`` again: parameters that are no secret, and a blob."""

    def open(self, parameters: dict[str, object], wrapped: bytes) -> bytes:
        """The vault's key; CommunodeError ``vault.locked`` where this is not the way."""


def seal(key: bytes, data: bytes, bound_to: bytes) -> bytes:
    """AES-256-GCM under a fresh nonce: nonce, ciphertext, tag. ``bound_to`` must be the same to unseal."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, data, bound_to)


def unseal(key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    """The data; `InvalidTag` for a wrong key or anything that was changed."""
    return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], bound_to)


class Vault:
    """An open vault. `create` and `open` make one; both take the file's path."""

    def __init__(self, path: Path, database: sqlite3.Connection, key: bytes) -> None:
        self.path = path
        self._db = database
        self._key = key

    def __repr__(self) -> str:
        return f"Vault({str(self.path)!r})"

    @classmethod
    def create(cls, path: Path, lock: Lock) -> Vault:
        """A new vault, mode 0600; ``vault.exists`` when there is one already."""
        database = _connect(path)
        key = secrets.token_bytes(_KEY)
        with _transaction(database):
            if database.execute("SELECT 1 FROM locks").fetchone():
                raise CommunodeError("vault.exists", usage=True, file=path)
            _keep_lock(database, lock, key)
        return cls(path, database, key)

    @classmethod
    def open(cls, path: Path, ways: Sequence[Lock]) -> Vault:
        """An existing vault by the first of ``ways`` that fits one of its locks.

        CommunodeError ``vault.missing``, ``vault.locked``.
        """
        if not path.exists():
            raise CommunodeError("vault.missing", usage=True, file=path)
        database = _connect(path)
        kinds = []
        for kind, parameters, wrapped in database.execute("SELECT kind, parameters, wrapped FROM locks"):
            kinds.append(kind)
            for way in ways:
                if way.kind == kind:
                    return cls(path, database, way.open(json.loads(parameters), wrapped))
        database.close()
        raise CommunodeError("vault.locked", file=path, locks=", ".join(kinds) or "-")

    def close(self) -> None:
        """Close the file and forget the key."""
        self._key = b""
        self._db.close()

    def __enter__(self) -> Vault:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- locks --------------------------------------------------------------------------------------------

    def locks(self) -> list[str]:
        """The kinds of its locks."""
        return [kind for (kind,) in self._db.execute("SELECT kind FROM locks ORDER BY id")]

    def replace_locks(self, lock: Lock) -> None:
        """From now on ``lock`` alone opens the vault. Secrets are not touched."""
        with _transaction(self._db):
            self._db.execute("DELETE FROM locks")
            _keep_lock(self._db, lock, self._key)

    def add_lock(self, lock: Lock) -> None:
        """Another way in, beside those that there are."""
        with _transaction(self._db):
            _keep_lock(self._db, lock, self._key)

    # --- secrets ------------------------------------------------------------------------------------------

    def put(self, name: str, secret: bytes) -> int:
        """Keep a secret; its generation, one more than the last of that name. Durable on return."""
        data_key = secrets.token_bytes(_KEY)
        with _transaction(self._db):
            generation = self.generation(name) + 1
            bound_to = _binding(name, generation)
            row = (name, generation, seal(self._key, data_key, bound_to), seal(data_key, secret, bound_to))
            self._db.execute("INSERT INTO secrets VALUES(?, ?, ?, ?)", row)
        return generation

    def get(self, name: str, generation: int | None = None) -> bytes:
        """A secret, the newest generation unless one is named; ``vault.no_secret``, ``vault.damaged``."""
        wanted = self.generation(name) if generation is None else generation
        row = self._db.execute(
            "SELECT data_key, sealed FROM secrets WHERE name=? AND generation=?", (name, wanted)
        ).fetchone()
        if row is None:
            raise CommunodeError("vault.no_secret", name=name, file=self.path)
        bound_to = _binding(name, wanted)
        try:
            return unseal(unseal(self._key, row[0], bound_to), row[1], bound_to)
        except InvalidTag:
            raise CommunodeError("vault.damaged", name=name, file=self.path) from None

    def generation(self, name: str) -> int:
        """The newest generation of a secret, 0 where there is none."""
        row = self._db.execute("SELECT max(generation) FROM secrets WHERE name=?", (name,)).fetchone()
        return int(row[0] or 0)

    def names(self) -> list[str]:
        """All names, sorted."""
        return [name for (name,) in self._db.execute("SELECT DISTINCT name FROM secrets ORDER BY name")]

    def forget(self, name: str, before: int | None = None) -> None:
        """Remove a secret, or its generations before ``before``; freed pages are overwritten."""
        limit = self.generation(name) + 1 if before is None else before
        with _transaction(self._db):
            self._db.execute("DELETE FROM secrets WHERE name=? AND generation<?", (name, limit))

    # --- identities ---------------------------------------------------------------------------------------

    def keep_identity(self, identity: Identity, mac: bytes = b"") -> int:
        """Keep a node's JoinEUI, keys and board (MAC address) under its DevEUI; the generation."""
        data = identity.join_eui + identity.app_key + identity.command_key + mac
        return self.put(identity.dev_eui.hex(), data)

    def identity(self, dev_eui: bytes, generation: int | None = None) -> Identity:
        """A node's identity with its keys."""
        data = self.get(dev_eui.hex(), generation)
        middle, end = _EUI + _ROOT_KEY, _EUI + 2 * _ROOT_KEY
        return Identity(dev_eui, data[:_EUI], data[_EUI:middle], data[middle:end])

    def owner(self, dev_eui: bytes) -> bytes:
        """The MAC address (6 bytes, or none) of the board that a DevEUI was drawn for."""
        return self.get(dev_eui.hex())[_EUI + 2 * _ROOT_KEY :]


def _connect(path: Path) -> sqlite3.Connection:
    """The file, private from its first byte; ``vault.unusable``."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        database = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("PRAGMA secure_delete=ON")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _SCHEMA_VERSION):
            raise sqlite3.DatabaseError(f"schema {version}")
        database.executescript(_SCHEMA)
        database.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
    except (OSError, sqlite3.Error) as error:
        raise CommunodeError("vault.unusable", usage=True, file=path, reason=str(error)) from None
    return database


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _keep_lock(database: sqlite3.Connection, lock: Lock, key: bytes) -> None:
    parameters, wrapped = lock.close(key)
    database.execute(
        "INSERT INTO locks(kind, parameters, wrapped) VALUES(?, ?, ?)",
        (lock.kind, json.dumps(parameters), wrapped),
    )


def _binding(name: str, generation: int) -> bytes:
    return f"communode vault 1|{name}|{generation}".encode()
