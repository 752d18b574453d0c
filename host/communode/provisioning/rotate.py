# SPDX-License-Identifier: MIT
"""New keys for a node that has some: drawn here, put in place by the next run with its board.

Until then the node, and its network server, go on with the old ones, which the vault keeps. Killed in
between, the register still names the old generation, and rotating again draws another.
"""

from __future__ import annotations

from communode.errors import CommunodeError
from communode.fleet.journal import Job, Journal
from communode.fleet.register import Register
from communode.identity import new_identity
from communode.vault import Vault


def draw_new_keys(dev_eui: str, register: Register, vault: Vault) -> Job:
    """New AppKey and command key for a node. CommunodeError ``fleet.no_job``, ``vault.no_secret``."""
    journal, node, eui = Journal(register), register.node(dev_eui), bytes.fromhex(dev_eui)
    if journal.job(dev_eui) is None:
        if node["keys"] != "vault" or not node["mac"]:
            raise CommunodeError("fleet.no_job", dev_eui=dev_eui)
        journal.adopt(node)
    known = vault.identity(eui)
    return journal.rotate(dev_eui, vault.keep_identity(new_identity(eui, known.join_eui), vault.owner(eui)))
