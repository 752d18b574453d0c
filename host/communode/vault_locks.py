# SPDX-License-Identifier: MIT
"""The locks of a vault: the operating system's keyring, a passphrase, an age identity.

`default_lock` takes the keyring where there is one, else a passphrase that a person types or that lies in a
file which only its owner can read. A passphrase is neither an argument nor in the environment: there other
programs can see it.

Sources: RFC 7914 (scrypt) with N=2^17, r=8, p=1 (OWASP Password Storage Cheat Sheet, 2024); the age format is
age-encryption.org/v1, through `pyrage`.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from communode.errors import CommunodeError
from communode.vault import Lock, seal, unseal

SCRYPT_COST = 1 << 17  # 128 MB and about 0.4 s: once a command
_BOUND_TO = b"communode vault key 1"
_SERVICE = "communode vault"
_SHORTEST = 8

Ask = Callable[[], str]


class PassphraseLock:
    """A key from a passphrase; ``ask`` is called only when the passphrase is needed."""

    kind = "passphrase"

    def __init__(self, ask: Ask, cost: int = SCRYPT_COST) -> None:
        self._ask = ask
        self._cost = cost

    def close(self, key: bytes) -> tuple[dict[str, object], bytes]:
        """See `communode.vault.Lock`; ``vault.short_passphrase``."""
        phrase = self._ask()
        if len(phrase) < _SHORTEST:
            raise CommunodeError("vault.short_passphrase", usage=True, shortest=_SHORTEST)
        salt = secrets.token_bytes(16)
        parameters: dict[str, object] = {"salt": salt.hex(), "cost": self._cost}
        return parameters, seal(_derived(phrase, salt, self._cost), key, _BOUND_TO)

    def open(self, parameters: dict[str, object], wrapped: bytes) -> bytes:
        """See `communode.vault.Lock`; ``vault.wrong_passphrase``."""
        salt, cost = bytes.fromhex(str(parameters["salt"])), int(str(parameters["cost"]))
        try:
            return unseal(_derived(self._ask(), salt, cost), wrapped, _BOUND_TO)
        except InvalidTag:
            raise CommunodeError("vault.wrong_passphrase") from None


def _derived(phrase: str, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(phrase.encode())


class KeyringLock:
    """A random key in the operating system's keyring (Keychain, Credential Locker, Secret Service)."""

    kind = "keyring"

    def close(self, key: bytes) -> tuple[dict[str, object], bytes]:
        """See `communode.vault.Lock`."""
        name, own = secrets.token_hex(8), secrets.token_bytes(32)
        self._call("set_password", _SERVICE, name, base64.b64encode(own).decode("ascii"))
        return {"name": name}, seal(own, key, _BOUND_TO)

    def open(self, parameters: dict[str, object], wrapped: bytes) -> bytes:
        """See `communode.vault.Lock`; ``vault.keyring_empty`` on another computer or account."""
        found = self._call("get_password", _SERVICE, str(parameters["name"]))
        try:
            return unseal(base64.b64decode(found or ""), wrapped, _BOUND_TO)
        except (InvalidTag, ValueError):
            raise CommunodeError("vault.keyring_empty") from None

    @staticmethod
    def _call(method: str, *values: str) -> Any:
        keyring = _optional("keyring", "vault")
        try:
            return getattr(keyring, method)(*values)
        except keyring.errors.KeyringError as error:
            raise CommunodeError("vault.keyring_failed", reason=type(error).__name__) from None


def keyring_works() -> bool:
    """Whether this computer has a keyring that keeps secrets (a headless one has none)."""
    try:
        import keyring
    except ImportError:
        return False
    return bool(keyring.get_keyring().priority >= 1)


class AgeLock:
    """The vault's key as a message to the owner of an age identity file."""

    kind = "age"

    def __init__(self, identity_file: Path) -> None:
        self._file = identity_file

    def _identity(self) -> Any:
        x25519 = _optional("pyrage", "vault").x25519
        lines = read_private(self._file).splitlines()
        found = [line.strip() for line in lines if line.startswith("AGE-SECRET-KEY-")]
        try:
            return x25519.Identity.from_str(found[0])
        except Exception:  # pyrage's errors derive from Exception, and may quote the line
            raise CommunodeError("vault.bad_age_identity", usage=True, file=self._file) from None

    def close(self, key: bytes) -> tuple[dict[str, object], bytes]:
        """See `communode.vault.Lock`."""
        recipient = self._identity().to_public()
        return {"recipient": str(recipient)}, bytes(_optional("pyrage", "vault").encrypt(key, [recipient]))

    def open(self, parameters: dict[str, object], wrapped: bytes) -> bytes:
        """See `communode.vault.Lock`; ``vault.other_age_identity``."""
        pyrage = _optional("pyrage", "vault")
        try:
            return bytes(pyrage.decrypt(wrapped, [self._identity()]))
        except pyrage.DecryptError:
            recipient = str(parameters["recipient"])
            raise CommunodeError("vault.other_age_identity", recipient=recipient) from None


def _optional(module: str, extra: str) -> Any:
    """A module of an extra; ``vault.extra_missing`` names the extra."""
    try:
        imported: Any = __import__(module)
    except ImportError:
        raise CommunodeError("vault.extra_missing", package=module, extra=extra) from None
    return imported


def read_private(file: Path) -> str:
    """The text of a file that only its owner can read; ``vault.file_unreadable``, ``vault.file_exposed``."""
    try:
        mode = file.stat().st_mode
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise CommunodeError("vault.file_exposed", usage=True, file=file)
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "UTF-8?"
        raise CommunodeError("vault.file_unreadable", usage=True, file=file, reason=reason) from None


def passphrase_from(file: Path) -> Ask:
    """Ask a file: its first line."""

    def ask() -> str:
        return (read_private(file).splitlines() or [""])[0]

    return ask


def ways(passphrase_file: Path | None, age_identity: Path | None, ask: Ask | None) -> list[Lock]:
    """All ways to open a vault that the user has given; ``ask`` asks a person, where there is one."""
    found: list[Lock] = [KeyringLock()]
    if age_identity:
        found.append(AgeLock(age_identity))
    if passphrase_file:
        found.append(PassphraseLock(passphrase_from(passphrase_file)))
    elif ask:
        found.append(PassphraseLock(ask))
    return found


def default_lock(passphrase_file: Path | None, age_identity: Path | None, ask: Ask | None) -> Lock:
    """The lock of a new vault: what the user named, else the keyring, else a passphrase.

    CommunodeError ``vault.no_lock`` where there is none of them: keys are not kept unlocked.
    """
    if age_identity:
        return AgeLock(age_identity)
    if passphrase_file:
        return PassphraseLock(passphrase_from(passphrase_file))
    if keyring_works():
        return KeyringLock()
    if ask:
        return PassphraseLock(ask)
    raise CommunodeError("vault.no_lock", usage=True, system=sys.platform)
