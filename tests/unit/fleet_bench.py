# SPDX-License-Identifier: MIT
"""A register, a vault that costs nothing to open, and a network server that a test can look into."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from communode.batch_folder import BatchFolder
from communode.boards import load_board
from communode.errors import CommunodeError
from communode.flash import Listener
from communode.fleet.register import NewNode, Register
from communode.network.registration import NetworkDevice
from communode.provisioning.batch import Batch, Block, Row
from communode.provisioning.run import BatchRun, Provisioned
from communode.tray import Tray
from communode.vault import Vault
from communode.vault_locks import PassphraseLock

PHRASE = "correct horse battery staple"


def lock() -> PassphraseLock:
    """A passphrase lock that costs next to nothing."""
    return PassphraseLock(lambda: PHRASE, cost=2)


def open_vault(folder: Path) -> Vault:
    """The vault of a test's folder."""
    path = folder / "vault.sqlite"
    return Vault.open(path, [lock()]) if path.exists() else Vault.create(path, lock())


def new_node(number: int = 1, **changes: str) -> NewNode:
    """A node like many others."""
    values = {
        "dev_eui": f"70b3d57ed{number:07x}",
        "join_eui": "0" * 16,
        "name": f"node-{number}",
        "profile": "air",
        "board": "virtual",
        "mac": f"0200{number:08x}",
        "tenant": "Saint-Rémy",
    }
    return NewNode(**{**values, **changes})


def new_batch(
    rows: tuple[Row, ...] = (), block: Block | None = None, labels: Path | None = None, **changes: object
) -> Batch:
    """A batch of virtual boards whose joins are waited for a second."""
    values: dict[str, object] = {
        "name": "lot-7",
        "board": load_board("virtual"),
        "profile": "air",
        "tenant": "Saint-Rémy",
        "join_eui": bytes(8),
        "block": block,
        "rows": rows,
        "network": "fake",
        "connect": None,
        "exporting": False,
        "labels": labels,
        "profile_id": "0" * 8,
        "join_timeout_s": 1,
    }
    return Batch(**{**values, **changes})  # type: ignore[arg-type]


def provision(
    run: BatchRun, ports: Sequence[str], listener: Listener = lambda event: None
) -> list[Provisioned]:
    """Take the boards at ``ports`` through a run; how it stands with each, in their order."""
    Tray(load_board("virtual"), None, BatchFolder(None), listener, batch_run=run).run(ports)
    found = {item.port: item for item in run.concluded}
    return [found[port] for port in ports]


class FakeNetwork:
    """A network server that answers as it is told to. ``calls``: what it was asked, in order."""

    name = "fake network"
    sees_joins = True

    def __init__(self) -> None:
        self.devices: dict[str, NetworkDevice] = {}
        self.calls: list[tuple[str, str]] = []
        self.silent: set[str] = set()  # these do not join
        self.down = False

    def register(self, device: NetworkDevice, *, renew: bool = False) -> str:
        dev_eui = device.dev_eui.hex()
        self.calls.append(("renew" if renew else "register", dev_eui))
        if self.down:
            raise CommunodeError("registration.unreachable", network=self.name)
        known = self.devices.get(dev_eui)
        if known and known.app_key != device.app_key and not renew:
            raise CommunodeError("registration.key_differs", dev_eui=dev_eui, network=self.name)
        self.devices[dev_eui] = device
        return "created" if known is None else "renewed" if renew else "kept"

    def flush_dev_nonces(self, dev_eui: bytes) -> None:
        self.calls.append(("flush", dev_eui.hex()))

    def joined(self, dev_eui: bytes) -> str | None:
        known = dev_eui.hex() in self.devices and dev_eui.hex() not in self.silent
        return "01000001" if known else None

    def close(self) -> None:
        pass


def kinds(register: Register, dev_eui: str) -> list[str]:
    """What happened to a node."""
    return [event["kind"] for event in register.history(node=dev_eui)]
