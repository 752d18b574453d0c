# SPDX-License-Identifier: MIT
"""Move nodes to another network server: their keys go there from the vault, their boards stay where they are.

The nodes join there once they have left the old network (``communode command --rejoin``, or a reset). The new
server has seen none of their DevNonces, so nothing is flushed. A move that was interrupted goes on: nodes
that are there are skipped.
"""

from __future__ import annotations

from collections.abc import Iterable

from communode.fleet.register import Register, Row
from communode.identity import Identity
from communode.network.registration import NetworkDevice, NetworkServer
from communode.vault import Vault

_TAGS = ("tenant", "site", "profile", "board", "batch")


def identity_of(node: Row, vault: Vault) -> Identity:
    """The identity of a node of the register: of the key generation that the register names."""
    return vault.identity(bytes.fromhex(node["dev_eui"]), node["key_generation"] or None)


def device_of(node: Row, vault: Vault) -> NetworkDevice:
    """A node of the register, with its key, as a network server wants it."""
    identity = identity_of(node, vault)
    tags = {name: str(node[name] or "") for name in _TAGS}
    return NetworkDevice(identity.dev_eui, identity.join_eui, identity.app_key, node["name"], tags)


def move_nodes(
    nodes: Iterable[Row], register: Register, vault: Vault, network: NetworkServer, *, exporting: bool
) -> list[str]:
    """Make ``network`` know the nodes; the DevEUIs that are new there. CommunodeError ``registration.*``."""
    moved = []
    for node in nodes:
        if node["network"] == network.name:
            continue
        dev_eui = node["dev_eui"]
        if exporting:
            register.record("keys_exported", dev_eui, to=network.name)
        network.register(device_of(node, vault))
        register.change_node(dev_eui, "moved", network=network.name, joined_at="")
        moved.append(dev_eui)
    return moved
