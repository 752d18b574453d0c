# SPDX-License-Identifier: MIT
"""How far the provisioning of each board has come: one job a node, whose step only moves when it is done.

A step is recorded after it was carried out, in one transaction with its event. Whoever is killed in between
carries it out again, so every step must be one that can be: see `communode.provisioning`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from communode.errors import CommunodeError
from communode.fleet.register import NewNode, Register, Row
from communode.fleet.schema import STEPS


@dataclass(frozen=True)
class Job:
    """A node on its way. ``renew``: what the network server knows is to be replaced."""

    dev_eui: str
    mac: str
    batch: str
    step: str
    renew: bool

    def has(self, step: str) -> bool:
        """Whether that step is behind it."""
        return STEPS.index(self.step) >= STEPS.index(step)


class Journal:
    """The jobs in a register."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._db = register.db

    def job_of(self, mac: str) -> Job | None:
        """The job of a board."""
        return self._job("mac", mac)

    def job(self, dev_eui: str) -> Job | None:
        """The job of a node."""
        return self._job("dev_eui", dev_eui)

    def _job(self, column: str, value: str) -> Job | None:
        row = self._db.execute(
            f"SELECT dev_eui, mac, batch, step, renew FROM jobs WHERE {column}=?", (value,)
        ).fetchone()
        return Job(row[0], row[1], row[2], row[3], bool(row[4])) if row else None

    def knows(self, dev_eui: str) -> bool:
        """Whether the register has a node with this DevEUI."""
        return self._db.execute("SELECT 1 FROM nodes WHERE dev_eui=?", (dev_eui,)).fetchone() is not None

    def names_of(self, batch: str) -> set[str]:
        """The names that nodes of a batch have."""
        return {row["name"] for row in self._db.execute("SELECT name FROM nodes WHERE batch=?", (batch,))}

    def jobs(self, batch: str) -> list[Job]:
        """All jobs of a batch."""
        rows = self._db.execute("SELECT dev_eui FROM jobs WHERE batch=? ORDER BY rowid", (batch,)).fetchall()
        return [job for row in rows if (job := self.job(row["dev_eui"]))]

    def begin(self, node: NewNode, key_generation: int) -> Job:
        """A new node whose identity is in the vault: its first step is done."""
        with self._register.transaction():
            self._register.add_node(node, key_generation=key_generation)
            self._db.execute(
                "INSERT INTO jobs(dev_eui, mac, batch, step) VALUES(?,?,?,'drawn')",
                (node.dev_eui, node.mac, node.batch),
            )
        return self._require(node.dev_eui)

    def adopt(self, node: Row) -> Job:
        """A job for a node that came into the register in another way: from a bench's records, or a file.

        With its keys in the vault it is as far as its state says; else it is to get new ones (see `rotate`).
        """
        ours = node["keys"] == "vault"
        step = "drawn" if not ours else "written" if node["state"] == "drawn" else "done"
        self._db.execute(
            "INSERT INTO jobs(dev_eui, mac, batch, step, renew) VALUES(?,?,?,?,?)",
            (node["dev_eui"], node["mac"], node["batch"], step, not ours),
        )
        return self._require(node["dev_eui"])

    def advance(self, dev_eui: str, step: str, **detail: Any) -> Job:
        """A step is done. Steps are not skipped: ValueError."""
        job = self._require(dev_eui)
        if STEPS.index(step) != STEPS.index(job.step) + 1:
            raise ValueError(f"{step} does not follow {job.step}")
        with self._register.transaction():
            self._db.execute("UPDATE jobs SET step=? WHERE dev_eui=?", (step, dev_eui))
            self._register.record(step, dev_eui, job.mac, **detail)
            if step == "done":
                self._finish(dev_eui)
        return self._require(dev_eui)

    def _finish(self, dev_eui: str) -> None:
        """The node is ready for its site, or, with new keys, goes on as it was."""
        self._db.execute(
            "UPDATE nodes SET state=iif(state='drawn', 'provisioned', state), keys='vault' WHERE dev_eui=?",
            (dev_eui,),
        )
        self._db.execute("UPDATE jobs SET renew=0 WHERE dev_eui=?", (dev_eui,))
        self._register.index(dev_eui)

    def tell_joined(self, dev_eui: str) -> None:
        """A person has seen the node join; nothing happens for one that is not waiting for that."""
        job = self.job(dev_eui)
        if job and job.step == "written":
            self.advance(dev_eui, "joined", told=True)

    def start_again(self, dev_eui: str, reason: str) -> Job:
        """Register and write once more, because the board no longer holds what it was given."""
        with self._register.transaction():
            self._db.execute("UPDATE jobs SET step='drawn', renew=1 WHERE dev_eui=?", (dev_eui,))
            self._register.record("again", dev_eui, reason=reason)
        return self._require(dev_eui)

    def rotate(self, dev_eui: str, key_generation: int) -> Job:
        """New keys are in the vault: the next provisioning run brings them to network server and board.

        CommunodeError ``fleet.no_job`` for a node that was not provisioned here.
        """
        if self.job(dev_eui) is None:
            raise CommunodeError("fleet.no_job", dev_eui=dev_eui)
        with self._register.transaction():
            self._db.execute("UPDATE jobs SET step='drawn', renew=1 WHERE dev_eui=?", (dev_eui,))
            self._register.change_node(dev_eui, "keys_drawn", keys="due", key_generation=key_generation)
        return self._require(dev_eui)

    def _require(self, dev_eui: str) -> Job:
        job = self.job(dev_eui)
        assert job is not None, dev_eui
        return job
