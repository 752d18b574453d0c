# SPDX-License-Identifier: MIT
"""Make nodes of the boards of a batch, step by step, each step kept in the register.

The way of a board, and why in this order:

1. ``drawn``: DevEUI and keys, in the vault before anything else, so that no board has keys that nobody knows.
2. ``registered`` at the network server, before the board can ask it to join.
3. ``written`` to nvs (and, where asked for, with the image, in one connection).
4. ``joined``: the network server has seen a join under exactly this key.
5. ``labelled``, 6. ``done``.

A step is recorded once it is done and can be carried out again until then: an identity is drawn once (the
vault has it), registering knows what is there, nvs is compared before it is written. So a run that was
killed, or a board that failed, goes on where it stood. DevNonces are flushed at the network server only if
the board's own memory of them is gone: its ``state`` partition is blank, or the register was told that it was
erased.

Not here: ports, and many boards at once (`communode.tray`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from communode.build import Region
from communode.errors import CommunodeError
from communode.flash import Job, Seen
from communode.fleet import journal
from communode.fleet.journal import Journal
from communode.fleet.register import NewNode, Register, now
from communode.fleet.register import Row as FleetRow
from communode.identity import Identity, dev_eui_from_mac, new_identity
from communode.labels import Label, write_label, write_sheet
from communode.network.registration import NetworkServer
from communode.nvs_image import make_image
from communode.partitions import table_for
from communode.provisioning.batch import Batch, Row
from communode.provisioning.move import device_of, identity_of
from communode.vault import Vault

POLL_S = 1.0

Show = Callable[[str, int], None]  # stage, percent


@dataclass(frozen=True)
class Choices:
    """What the person at the bench asked for."""

    replace: bool = False  # overwrite an identity that the register does not know
    restore: bool = False  # give a board its identity again


@dataclass(frozen=True)
class Provisioned:
    """How it stands with one board. Without ``error`` and not ``done``: nobody has seen it join yet."""

    port: str
    mac: str | None
    job: journal.Job | None
    join_eui: str | None
    dev_addr: str | None
    error: CommunodeError | None

    @property
    def dev_eui(self) -> str | None:
        """Which node it is, if it is one."""
        return self.job.dev_eui if self.job else None

    @property
    def step(self) -> str | None:
        """The last step that is behind it."""
        return self.job.step if self.job else None

    @property
    def done(self) -> bool:
        """Whether every step is behind it."""
        return self.step == "done" and self.error is None


class BatchRun:
    """One run over boards of a batch; may be used by a thread a board.

    The register, the vault and the network server are handed in, and stay open. MAC addresses are taken in
    any spelling. ``concluded``: the boards that have come to an end.
    """

    def __init__(
        self,
        batch: Batch,
        register: Register,
        vault: Vault,
        network: NetworkServer | None,
        choices: Choices | None = None,
    ) -> None:
        self.concluded: list[Provisioned] = []
        self._batch = batch
        self._register = register
        self._journal = Journal(register)
        self._vault = vault
        self._network = network
        self._choices = choices or Choices()
        self._parts = {item.name: item for item in table_for(batch.board.flash_size)}
        self._lock = threading.RLock()  # register, vault and network server: one board at a time
        self._down: CommunodeError | None = None
        self._position = 0  # in the block of DevEUIs
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Wait for no join any more."""
        self._stopped.set()

    def look(self, job: Job) -> Job:
        """The job, with what must be known of a board before it becomes a node."""
        places = {
            name: {"offset": part.offset, "size": part.size}
            for name, part in self._parts.items()
            if name in ("nvs", "state")
        }
        return replace(job, look=places["nvs"], blank=places["state"])

    def lacks_identity(self, seen: Seen) -> bool:
        """Whether the board with this address has got an identity, and this one holds none."""
        with self._lock:
            job = self._journal.job_of(_bare(seen.mac))
        return job is not None and job.has("written") and seen.dev_eui is None

    def conclude(self, port: str, mac: str | None, error: CommunodeError | None) -> Provisioned:
        """Note how it ended; ``mac`` None for a board that has not got as far as `decide`."""
        with self._lock:
            job = self._journal.job_of(_bare(mac)) if mac else None
            join_eui = dev_addr = None
            if job is not None:
                if error is not None:
                    self._register.record("failed", job.dev_eui, job.mac, error=error.code)
                join_eui, dev_addr = self._register.node(job.dev_eui)["join_eui"], self._dev_addr(job)
            self.concluded.append(Provisioned(port, mac and _bare(mac), job, join_eui, dev_addr, error))
            return self.concluded[-1]

    def end(self) -> None:
        """The sheet of labels, of all nodes of the batch that have one."""
        if self._batch.labels:
            last = "joined" if self._sees_joins else "written"
            jobs = [job for job in self._journal.jobs(self._batch.name) if job.has(last)]
            if jobs:
                write_sheet(self._batch.labels, self._batch.name, [self._label(job.dev_eui) for job in jobs])

    @property
    def _sees_joins(self) -> bool:
        return self._network is not None and self._network.sees_joins

    def _dev_addr(self, job: journal.Job) -> str | None:
        if not job.has("joined"):
            return None
        told = [event for event in self._register.history(node=job.dev_eui) if event["kind"] == "joined"]
        return told[-1]["detail"].get("dev_addr") if told else None

    # --- before writing -----------------------------------------------------------------------------------

    def decide(self, port: str, seen: Seen) -> list[Region]:
        """Which identity the board gets; raises where it must not get one, and then nothing is written."""
        mac = _bare(seen.mac)
        with self._lock:
            job = self._journal.job_of(mac)
            node = self._register.find_node(mac)
            if job is None and node is not None and node["keys"] == "vault":
                job = self._journal.adopt(node)
            if job is not None:
                job = self._check_known(port, job, seen)
            else:
                self._check_foreign(port, seen)
                job = self._take_over(node) if node is not None else self.draw(mac)
            job = self._enrol(job, seen)
            if job.has("written"):
                return []
            blobs = identity_of(self._register.node(job.dev_eui), self._vault).blobs()
        nvs = self._parts["nvs"]
        return [Region("nvs", nvs.offset, make_image(blobs, nvs.size))]

    def _check_foreign(self, port: str, seen: Seen) -> None:
        """A board that the register does not know may have an identity from elsewhere."""
        if seen.dev_eui is not None and not self._choices.replace:
            raise CommunodeError("provision.exists", port=port, dev_eui=seen.dev_eui)

    def _check_known(self, port: str, job: journal.Job, seen: Seen) -> journal.Job:
        """What the board holds must agree with what the register says of it."""
        if seen.dev_eui == job.dev_eui:
            return job
        if seen.dev_eui is not None:
            if not self._choices.replace:
                raise CommunodeError("provision.exists", port=port, dev_eui=seen.dev_eui)
            return self._journal.start_again(job.dev_eui, "replace")
        if not job.has("written"):
            return job
        if not self._choices.restore:
            raise CommunodeError("registration.identity_lost", port=port, dev_eui=job.dev_eui)
        return self._journal.start_again(job.dev_eui, "restore")

    def draw(self, mac: str) -> journal.Job:
        """A row of the batch, a DevEUI and keys for a new board (MAC in hex): first into the vault, then into
        the register. ``registration.no_row``, ``registration.block_used_up``, ``fleet.node_exists``,
        ``fleet.site_taken``."""
        batch = self._batch
        with self._register.transaction():
            row = self._free_row(mac)
            dev_eui = row.dev_eui or self._free_dev_eui(mac)
            identity, generation = self._keys_for(bytes.fromhex(dev_eui), mac)
            names = self._journal.names_of(batch.name)
            number = next(n for n in range(1, len(names) + 2) if f"{batch.name}-{n:03}" not in names)
            node = NewNode(
                dev_eui=dev_eui,
                join_eui=identity.join_eui.hex(),
                name=row.name or f"{batch.name}-{number:03}",
                profile=batch.profile,
                board=batch.board.name,
                mac=mac,
                tenant=batch.tenant,
                site=row.site,
                serial=row.serial,
                batch=batch.name,
            )
            return self._journal.begin(node, generation)

    def _take_over(self, node: FleetRow) -> journal.Job:
        """New keys for a node whose keys somebody else has; it keeps its DevEUI, name and site."""
        dev_eui, mac = node["dev_eui"], bytes.fromhex(node["mac"])
        generation = self._vault.keep_identity(
            new_identity(bytes.fromhex(dev_eui), bytes.fromhex(node["join_eui"])), mac
        )
        with self._register.transaction():
            self._journal.adopt(node)
            return self._journal.rotate(dev_eui, generation)

    def _free_row(self, mac: str) -> Row:
        """The row of this board, else the first that is for any board and not taken."""
        rows = self._batch.rows
        if not rows:
            return Row()
        taken = self._journal.names_of(self._batch.name)
        mine = [row for row in rows if row.mac == mac]
        free = [row for row in rows if not row.mac and row.name and row.name not in taken]
        if not mine and not free:
            raise CommunodeError("registration.no_row", mac=mac, batch=self._batch.name, rows=len(rows))
        return (mine or free)[0]

    def _free_dev_eui(self, mac: str) -> str:
        """From the block, the first that nobody has; without a block, that of the MAC address."""
        block = self._batch.block
        if block is None:
            return dev_eui_from_mac(bytes.fromhex(mac)).hex()
        while self._position < block.count:
            dev_eui = f"{block.first + self._position:016x}"
            if not self._journal.knows(dev_eui) and self._may_draw(dev_eui, mac):
                return dev_eui
            self._position += 1  # it will not become free again
        raise CommunodeError("registration.block_used_up", batch=self._batch.name, count=block.count)

    def _may_draw(self, dev_eui: str, mac: str) -> bool:
        """Whether a DevEUI that the register does not know is free: it may be in the vault, drawn for a board
        whose run was killed then, or for one whose register is lost."""
        drawn = self._vault.generation(dev_eui) > 0
        return not drawn or self._vault.owner(bytes.fromhex(dev_eui)).hex() == mac

    def _keys_for(self, dev_eui: bytes, mac: str) -> tuple[Identity, int]:
        """The keys that were drawn before a run was killed, else new ones."""
        generation = self._vault.generation(dev_eui.hex())
        if generation:
            known = self._vault.identity(dev_eui)
            if known.join_eui == self._batch.join_eui and self._vault.owner(dev_eui).hex() == mac:
                return known, generation
        identity = new_identity(dev_eui, self._batch.join_eui)
        return identity, self._vault.keep_identity(identity, bytes.fromhex(mac))

    def _enrol(self, job: journal.Job, seen: Seen) -> journal.Job:
        """Make the node known to the network server, and its nonces forgotten if it has forgotten them.

        A node that has not joined yet is made known again where the batch has got another server.
        """
        name = self._network.name if self._network else ""
        node = self._register.node(job.dev_eui)
        known = job.has("registered")
        if known and (job.has("joined") or not name or node["network"] == name):
            return job
        if self._network is None:
            return self._journal.advance(job.dev_eui, "registered", network="")
        if self._down is not None:
            raise self._down
        if self._batch.exporting:
            self._register.record("keys_exported", job.dev_eui, to=name)
        try:
            how = self._network.register(device_of(node, self._vault), renew=job.renew)
            if how != "created" and (seen.blank or node["nonces"] == "wiped"):
                self._network.flush_dev_nonces(bytes.fromhex(job.dev_eui))
                self._register.record("nonces_flushed", job.dev_eui, network=name)
        except CommunodeError as error:
            if error.code in ("registration.unreachable", "registration.unauthorised"):
                self._down = error  # not asked again for every board, each time with its timeout
            raise
        with self._register.transaction():
            self._register.change_node(job.dev_eui, "network", network=name, nonces="rising")
            return job if known else self._journal.advance(job.dev_eui, "registered", network=name, how=how)

    # --- after writing ------------------------------------------------------------------------------------

    def finish(self, mac: str, version: str | None, show: Show) -> None:
        """Written, joined, labelled, done; returns early where nobody can tell whether the node joined.

        ``version``: of the image that was written, None for none.
        """
        with self._lock:
            job = self._journal.job_of(_bare(mac))
            assert job is not None
            if not job.has("written"):
                self._journal.advance(job.dev_eui, "written")
            if version is not None:
                self._register.note_firmware(job.mac, version)
        if not job.has("joined"):
            if not self._sees_joins:
                self._print_label(job.dev_eui, show)
                return
            dev_addr = self._wait_for_join(job.dev_eui, show)
            with self._lock:
                self._register.change_node(job.dev_eui, "join_seen", joined_at=now())
                self._journal.advance(job.dev_eui, "joined", dev_addr=dev_addr)
        with self._lock:
            if not job.has("labelled"):
                self._print_label(job.dev_eui, show)
                self._journal.advance(job.dev_eui, "labelled")
            if not job.has("done"):
                generation = self._register.node(job.dev_eui)["key_generation"]
                self._vault.forget(job.dev_eui, before=generation)  # keys that were in use before
                self._journal.advance(job.dev_eui, "done")

    def _wait_for_join(self, dev_eui: str, show: Show) -> str:
        """The DevAddr under which the node has joined; ``registration.no_join`` when it did not in time."""
        assert self._network is not None
        began_s, limit_s = time.monotonic(), self._batch.join_timeout_s
        while True:
            with self._lock:
                dev_addr = self._network.joined(bytes.fromhex(dev_eui))
            if dev_addr is not None:
                return dev_addr
            passed_s = time.monotonic() - began_s
            if passed_s > limit_s or self._stopped.is_set():
                raise CommunodeError(
                    "registration.no_join", dev_eui=dev_eui, network=self._network.name, seconds=int(passed_s)
                )
            show("join", int(100 * passed_s / limit_s))
            self._stopped.wait(POLL_S)

    def _print_label(self, dev_eui: str, show: Show) -> None:
        show("label", 100)
        if self._batch.labels:
            write_label(self._batch.labels, self._label(dev_eui))

    def _label(self, dev_eui: str) -> Label:
        node = self._register.node(dev_eui)
        place = " / ".join(filter(None, (node["tenant"], node["site"])))
        return Label(
            dev_eui=dev_eui,
            join_eui=node["join_eui"],
            name=node["name"],
            detail=f"{node['profile']} \u00b7 {node['board']}",
            place=place,
            serial=node["serial"] or "",
            profile_id=self._batch.profile_id,
        )


def _bare(mac: str) -> str:
    """A MAC address as the register spells it."""
    return mac.replace(":", "").lower()
