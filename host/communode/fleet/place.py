# SPDX-License-Identifier: MIT
"""Where the register and the vault of this user are, and how they are opened.

The folder is ``COMMUNODE_FLEET``, else the user's data folder; it holds ``fleet.sqlite``, which may be shown
to others, and ``vault.sqlite``, which is of no use without what opens it. A backup needs both.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from communode.fleet.register import Register
from communode.vault import Vault
from communode.vault_locks import Ask, default_lock, ways


def fleet_folder() -> Path:
    """The folder where nobody names another."""
    named = os.environ.get("COMMUNODE_FLEET")
    return Path(named) if named else Path(platformdirs.user_data_dir("communode"))


@dataclass(frozen=True)
class Place:
    """A fleet's folder, and the ways to open its vault."""

    folder: Path
    passphrase_file: Path | None = None
    age_identity: Path | None = None
    ask: Ask | None = None

    @property
    def vault_file(self) -> Path:
        """Where the vault is."""
        return self.folder / "vault.sqlite"

    def register(self) -> Register:
        """The register, made where there is none."""
        return Register(self.folder / "fleet.sqlite")

    def vault(self, *, create: bool = False) -> Vault:
        """The vault, opened by what the user has given; with ``create`` made where there is none."""
        if create and not self.vault_file.exists():
            return Vault.create(
                self.vault_file, default_lock(self.passphrase_file, self.age_identity, self.ask)
            )
        return Vault.open(self.vault_file, ways(self.passphrase_file, self.age_identity, self.ask))
