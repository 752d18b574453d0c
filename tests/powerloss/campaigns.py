# SPDX-License-Identifier: MIT
"""Power-cut campaigns on the storage layer: every flash operation of a workload, torn several ways, nested.

`make test` runs a seeded sample of this code, `make nightly` all of it (tools/nightly.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from communode.node.storage.journal import Journal
from communode.node.storage.state import StateLog
from flash_model import PowerCut, RamFlash

TORN = (0.0, 0.1, 0.25, 0.5, 0.9, 1.0)
DEPTH = 2  # cuts after the first


@dataclass
class Tally:
    """What a campaign has seen."""

    cut_points: int = 0
    nested: int = 0
    contexts_lost: int = 0
    acknowledged_records_lost: int = 0
    counters_reused: int = 0


class StateWork:
    """A life of a state log: commits of three kinds; what was committed is remembered outside."""

    def __init__(self, flash: RamFlash, seed: int) -> None:
        self.flash = flash
        self.rng = random.Random(seed)
        self.committed: dict[int, bytes] = {}
        self.pending: tuple[int, bytes] | None = None
        self.log = StateLog(flash)

    def fork(self) -> StateWork:
        """A copy that shares nothing."""
        twin = object.__new__(StateWork)
        twin.flash = self.flash.copy()
        twin.rng = random.Random()
        twin.rng.setstate(self.rng.getstate())
        twin.committed = dict(self.committed)
        twin.pending = None
        twin.log = object.__new__(StateLog)
        twin.log.__dict__.update(self.log.__dict__)
        twin.log._region = twin.flash
        twin.log._found = dict(self.log._found)
        return twin

    def step(self) -> None:
        """One commit."""
        kind = self.rng.choice((1, 1, 1, 2, 3))
        payload = self.rng.randbytes(self.rng.choice((4, 60, 180, 300, 460)))
        self.pending = (kind, payload)
        self.log.commit(kind, payload)
        self.committed[kind] = payload
        self.pending = None

    def reboot(self, tally: Tally) -> None:
        """Power comes back: every kind is old or new, whole."""
        self.log = StateLog(self.flash)
        for kind in (1, 2, 3):
            found = self.log.load(kind)
            allowed = {self.committed.get(kind)}
            if self.pending is not None and self.pending[0] == kind:
                allowed.add(self.pending[1])
            if found not in allowed:
                tally.contexts_lost += 1
            if found is not None:
                self.committed[kind] = found
        self.pending = None


class JournalWork:
    """A life of a journal: records of several lengths; what append returned is acknowledged."""

    def __init__(self, flash: RamFlash, seed: int) -> None:
        self.flash = flash
        self.rng = random.Random(seed)
        self.kept: dict[int, bytes] = {}
        self.used: set[int] = set()
        self.journal = Journal(flash, 7)

    def fork(self) -> JournalWork:
        """A copy that shares nothing."""
        twin = object.__new__(JournalWork)
        twin.flash = self.flash.copy()
        twin.rng = random.Random()
        twin.rng.setstate(self.rng.getstate())
        twin.kept = dict(self.kept)
        twin.used = set(self.used)
        twin.journal = object.__new__(Journal)
        twin.journal.__dict__.update(self.journal.__dict__)
        twin.journal._region = twin.flash
        twin.journal._buffer = bytearray(32)
        return twin

    def step(self) -> None:
        """One record."""
        payload = self.rng.randbytes(self.rng.choice((9, 21, 22, 40, 70)))
        record_id = self.journal.append(payload)
        self.kept[record_id] = payload
        self.used.add(record_id)

    def reboot(self, tally: Tally) -> None:
        """Power comes back: every acknowledged record that the ring must still hold is there, whole."""
        self.journal = Journal(self.flash, 9)
        if any(record_id >= self.journal.next_id for record_id in self.kept):
            tally.counters_reused += 1
        newest = sorted(self.kept)[-12:]
        for record_id in newest:
            if self.journal.read(record_id) != self.kept[record_id]:
                tally.acknowledged_records_lost += 1


def explore(
    make: Callable[[RamFlash, int], Any], sectors: int, steps: int, seed: int, tally: Tally, limit: int
) -> None:
    """Cut a workload at every operation of every step, in all torn ways, and again in what follows.

    Stops after ``limit`` cut points.
    """
    work = make(RamFlash(sectors), seed)
    rng = random.Random(seed ^ 0x5EED)
    for _ in range(steps):
        probe = work.fork()
        probe.flash.operations = 0
        probe.step()
        operations = probe.flash.operations
        for cut in range(operations):
            for torn in TORN:
                _cut(work, cut, torn, rng, tally, DEPTH)
                if tally.cut_points >= limit:
                    return
        work.step()


def _cut(work: Any, cut: int, torn: float, rng: random.Random, tally: Tally, depth: int) -> None:
    twin = work.fork()
    twin.flash.operations = 0
    twin.flash.cut_at = cut
    twin.flash.torn = torn
    twin.flash.rng.seed(rng.random())
    try:
        while True:
            twin.step()
    except PowerCut:
        pass
    twin.flash.cut_at = -1
    tally.cut_points += 1
    twin.reboot(tally)
    if depth:
        tally.nested += 1
        _cut(twin, rng.randrange(6), rng.choice(TORN), rng, tally, depth - 1)
