# SPDX-License-Identifier: MIT
"""Provision: give boards their identity and keys, in the ``nvs`` partition and nowhere else.

The identity that a board already has is not overwritten unless that is asked for. Keys travel from here to
the worker through a pipe: they are in no argument, environment, event or log. A keys file (mode 0600) is
written only where the user names one, and before the board is, so that no board exists whose keys are lost;
that it was is recorded. Who wants the keys kept, encrypted, has a batch (`communode.provisioning`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from communode.boards import Board
from communode.build import Region
from communode.errors import CommunodeError
from communode.flash import Job, Listener, Outcome, check_ports, encode, run_jobs
from communode.identity import NO_JOIN_EUI, Identity, dev_eui_from_mac, new_identity
from communode.nvs_image import make_image
from communode.partitions import table_for


@dataclass(frozen=True)
class Provisioned:
    """How provisioning ended for one board; ``identity`` is what the board holds now."""

    outcome: Outcome
    identity: Identity | None


def provision_port(
    port: str,
    board: Board,
    identity: Identity | None = None,
    *,
    replace: bool = False,
    listener: Listener = lambda event: None,
) -> Provisioned:
    """Give the board at ``port`` an identity: the given one, or a new one with the DevEUI of its MAC."""
    return provision_ports([port], board, [identity], replace=replace, listener=listener)[0]


def provision_ports(
    ports: Sequence[str],
    board: Board,
    identities: Sequence[Identity | None] = (),
    *,
    join_eui: bytes = NO_JOIN_EUI,
    replace: bool = False,
    keys_file: KeysFile | None = None,
    listener: Listener = lambda event: None,
) -> list[Provisioned]:
    """Provision several boards side by side; outcomes in the order of ``ports``."""
    check_ports(ports)
    nvs = next(item for item in table_for(board.flash_size) if item.name == "nvs")
    guard = None if replace else {"offset": nvs.offset, "size": nvs.size}
    probes = [Job(port, board.chip, None, board.flash_size, guard=guard) for port in ports]
    found = run_jobs(probes, board.name, _without_verdict(listener))
    given = list(identities) or [None] * len(ports)
    ready: list[tuple[Job, Identity]] = []
    for outcome, job, chosen in zip(found, probes, given, strict=True):
        if outcome.mac is not None and outcome.error is None:
            mac = bytes.fromhex(outcome.mac.replace(":", ""))
            identity = chosen or new_identity(dev_eui_from_mac(mac), join_eui)
            region = Region("nvs", nvs.offset, make_image(identity.blobs(), nvs.size))
            write = Job(job.port, board.chip, None, board.flash_size, write=[encode(region)])
            ready.append((write, identity))
    if keys_file:
        keys_file.save([identity for _, identity in ready])
    written = {item.port: item for item in run_jobs([job for job, _ in ready], board.name, listener)}
    made = {job.port: identity for job, identity in ready if written[job.port].error is None}
    if keys_file:
        keys_file.save(list(made.values()))
    return [Provisioned(written.get(item.port, item), made.get(item.port)) for item in found]


def _without_verdict(listener: Listener) -> Listener:
    """Pass on the events of a first step: that it went well is no verdict yet."""

    def listen(event: dict[str, Any]) -> None:
        if event["verdict"] != "good":
            listener(event)

    return listen


class KeysFile:
    """A JSON list of identities in hex, mode 0600. Made at once and never in place of another file.

    ``record`` is told each DevEUI before its keys are written: also of an export that was cut short.
    """

    def __init__(self, path: Path, record: Callable[[bytes], None]) -> None:
        self._path = path
        self._record = record
        self._recorded: set[bytes] = set()
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            raise CommunodeError("provision.out_exists", usage=True, file=path) from None
        os.write(descriptor, b"[]\n")
        os.close(descriptor)

    def save(self, identities: Sequence[Identity]) -> None:
        """Replace the contents, whole or not at all."""
        for dev_eui in [identity.dev_eui for identity in identities]:
            if dev_eui not in self._recorded:
                self._recorded.add(dev_eui)
                self._record(dev_eui)
        text = json.dumps([identity.reveal() for identity in identities], indent=2) + "\n"
        fresh = self._path.with_name(f".{self._path.name}.new")
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(fresh, self._path)
