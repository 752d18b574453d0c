# SPDX-License-Identifier: MIT
"""The vault: opened by what locked it and by nothing else, silent about what it holds, intact or refused."""

from __future__ import annotations

import os
import sqlite3
import stat
import traceback
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from communode.errors import CommunodeError
from communode.identity import Identity, new_identity
from communode.vault import Lock, Vault
from communode.vault_locks import (
    AgeLock,
    KeyringLock,
    PassphraseLock,
    default_lock,
    passphrase_from,
    read_private,
    ways,
)
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring

PHRASE = "correct horse battery staple"
EUI = bytes.fromhex("70b3d57ed0001234")
MAC = bytes.fromhex("020000000001")


def lock(phrase: str = PHRASE) -> PassphraseLock:
    """A passphrase lock that costs next to nothing."""
    return PassphraseLock(lambda: phrase, cost=2)


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    with Vault.create(tmp_path / "vault.sqlite", lock()) as made:
        yield made


class MemoryKeyring(KeyringBackend):
    """A keyring that a test can look into."""

    priority = 5

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def memory_keyring() -> Iterator[MemoryKeyring]:
    before = keyring.get_keyring()
    memory = MemoryKeyring()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


@pytest.fixture
def age_file(tmp_path: Path) -> Path:
    from pyrage import x25519

    path = tmp_path / "age.txt"
    path.touch(mode=0o600)
    path.write_text(f"# created for a test\n{x25519.Identity.generate()}\n")
    return path


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_an_identity_comes_back_as_it_went_in(vault: Vault) -> None:
    identity = new_identity(EUI, b"\1" * 8)
    assert vault.keep_identity(identity, MAC) == 1
    assert vault.identity(EUI) == identity
    assert vault.owner(EUI) == MAC
    assert vault.names() == [EUI.hex()]


def test_generations_stay_until_they_are_forgotten(vault: Vault) -> None:
    first, second = new_identity(EUI), new_identity(EUI)
    vault.keep_identity(first, MAC)
    assert vault.keep_identity(second, MAC) == 2
    assert vault.identity(EUI) == second
    assert vault.identity(EUI, 1) == first
    vault.forget(EUI.hex(), before=2)
    assert vault.identity(EUI) == second
    with pytest.raises(CommunodeError) as caught:
        vault.identity(EUI, 1)
    assert caught.value.code == "vault.no_secret"


def test_no_secret_lies_in_the_files_in_any_spelling(vault: Vault, tmp_path: Path) -> None:
    identity = new_identity(EUI)
    vault.keep_identity(identity, MAC)
    vault.put("token:x", b"very-secret-token")
    kept = on_disk(tmp_path)
    assert b"token:x" in kept  # the names are there
    for secret in (identity.app_key, identity.command_key, b"very-secret-token", PHRASE.encode()):
        for spelling in (secret, secret.hex().encode(), secret.hex().upper().encode(), b64encode(secret)):
            assert spelling not in kept


def test_the_files_are_private(vault: Vault, tmp_path: Path) -> None:
    vault.put("x", b"y")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}


def test_a_wrong_passphrase_is_refused_and_not_repeated(vault: Vault) -> None:
    vault.put("x", b"y")
    wrong = os.urandom(8).hex()
    with pytest.raises(CommunodeError) as caught:
        Vault.open(vault.path, [lock(wrong)])
    assert caught.value.code == "vault.wrong_passphrase"
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value)
    assert wrong not in shown


def test_what_was_changed_or_swapped_is_refused(vault: Vault) -> None:
    vault.put("a", b"secret of a")
    vault.put("b", b"secret of b")
    database = sqlite3.connect(vault.path)
    (sealed,) = database.execute("SELECT sealed FROM secrets WHERE name='a'").fetchone()
    damaged = []
    for position in range(len(sealed)):
        changed = bytes(byte ^ (1 if index == position else 0) for index, byte in enumerate(sealed))
        database.execute("UPDATE secrets SET sealed=? WHERE name='a'", (changed,))
        database.commit()
        with pytest.raises(CommunodeError) as caught:
            vault.get("a")
        damaged.append(caught.value.code)
    assert set(damaged) == {"vault.damaged"}
    database.execute(
        "UPDATE secrets SET (data_key, sealed) = (SELECT data_key, sealed FROM secrets WHERE name='b')"
        " WHERE name='a'"
    )
    database.commit()
    with pytest.raises(CommunodeError):
        vault.get("a")
    assert vault.get("b") == b"secret of b"
    database.close()


def test_each_secret_has_a_data_key_of_its_own(vault: Vault) -> None:
    for number in range(20):
        vault.put(f"n{number}", b"the same")
    database = sqlite3.connect(vault.path)
    rows = database.execute("SELECT data_key, sealed FROM secrets").fetchall()
    database.close()
    assert len({row[0] for row in rows}) == len({row[1] for row in rows}) == 20


def test_another_lock_opens_it_after_relocking_and_the_old_one_does_not(vault: Vault, age_file: Path) -> None:
    vault.put("x", b"kept")
    vault.replace_locks(AgeLock(age_file))
    with Vault.open(vault.path, [AgeLock(age_file)]) as opened:
        assert opened.get("x") == b"kept"
        assert opened.locks() == ["age"]
    with pytest.raises(CommunodeError) as caught:
        Vault.open(vault.path, [lock()])
    assert caught.value.code == "vault.locked"


def test_two_locks_open_one_vault(vault: Vault, memory_keyring: MemoryKeyring) -> None:
    vault.put("x", b"kept")
    vault.add_lock(KeyringLock())
    for way in (lock(), KeyringLock()):
        with Vault.open(vault.path, [way]) as opened:
            assert opened.get("x") == b"kept"


def test_the_keyring_holds_a_key_and_no_secret(tmp_path: Path, memory_keyring: MemoryKeyring) -> None:
    chosen = default_lock(None, None, None)
    assert chosen.kind == "keyring"
    with Vault.create(tmp_path / "v", chosen) as vault:
        vault.put("x", b"kept")
    with Vault.open(tmp_path / "v", ways(None, None, None)) as vault:
        assert vault.get("x") == b"kept"
    memory_keyring.kept.clear()
    with pytest.raises(CommunodeError) as caught:
        Vault.open(tmp_path / "v", [KeyringLock()])
    assert caught.value.code == "vault.keyring_empty"


def test_another_age_identity_does_not_open_it(tmp_path: Path, age_file: Path) -> None:
    with Vault.create(tmp_path / "v", AgeLock(age_file)):
        pass
    from pyrage import x25519

    age_file.write_text(f"{x25519.Identity.generate()}\n")
    with pytest.raises(CommunodeError) as caught:
        Vault.open(tmp_path / "v", [AgeLock(age_file)])
    assert caught.value.code == "vault.other_age_identity"


def test_a_bad_age_identity_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "age.txt"
    path.touch(mode=0o600)
    path.write_text("AGE-SECRET-KEY-1NOTREALLY\n")
    with pytest.raises(CommunodeError) as caught:
        Vault.create(tmp_path / "v", AgeLock(path))
    assert caught.value.code == "vault.bad_age_identity"
    assert "NOTREALLY" not in "".join(traceback.format_exception(caught.value))


def test_keys_are_never_kept_without_a_lock() -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(NoKeyring())  # type: ignore[no-untyped-call]
    try:
        with pytest.raises(CommunodeError) as caught:
            default_lock(None, None, None)  # and nobody to ask
    finally:
        keyring.set_keyring(before)
    assert caught.value.code == "vault.no_lock"


def test_a_passphrase_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "phrase.txt"
    path.write_text(PHRASE + "\n")
    path.chmod(0o640)
    with pytest.raises(CommunodeError) as caught:
        read_private(path)
    assert caught.value.code == "vault.file_exposed"
    path.chmod(0o600)
    assert passphrase_from(path)() == PHRASE


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommunodeError) as caught:
        Vault.create(tmp_path / "v", lock("short"))
    assert caught.value.code == "vault.short_passphrase"


def test_a_vault_is_not_made_over_another(vault: Vault) -> None:
    with pytest.raises(CommunodeError) as caught:
        Vault.create(vault.path, lock())
    assert caught.value.code == "vault.exists"


def test_nothing_prints_a_key(vault: Vault) -> None:
    identity: Identity = new_identity(EUI)
    vault.keep_identity(identity, MAC)
    shown = repr(vault) + repr(vault.identity(EUI)) + repr(lock())
    assert identity.app_key.hex() not in shown
    assert repr(identity.app_key) not in shown


def test_a_vault_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v"
    path.write_bytes(os.urandom(5000))
    way: Lock = lock()
    with pytest.raises(CommunodeError) as caught:
        Vault.open(path, [way])
    assert caught.value.code == "vault.unusable"
