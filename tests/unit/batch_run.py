# SPDX-License-Identifier: MIT
"""A batch run in a process of its own, which kills itself where it is told to:
batch_run.py FOLDER CASE PORT...

CASE: ``before-STEP`` (carried out, not yet recorded) or ``after-STEP`` of the journal, ``vault`` (the
identity is in the vault, the register knows nothing yet), ``begin`` (within the register's transaction), or
``never``. ``rotate CASE`` draws new keys first. The network server is the bench server's store in FOLDER; a
session is put into it as soon as the node is there, as a join would.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from communode.fleet.journal import Journal
from communode.fleet.register import Register
from communode.lns.session import Session
from communode.network.bench import BenchServer
from communode.provisioning.rotate import draw_new_keys
from communode.provisioning.run import BatchRun
from communode.vault import Vault
from fleet_bench import new_batch, open_vault, provision


def die() -> None:
    """As when the power goes: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


class JoiningBench(BenchServer):
    """Every node joins at once."""

    def joined(self, dev_eui: bytes) -> str | None:
        if super().joined(dev_eui) is None:
            session = Session(dev_eui.hex(), 1, bytes(16), bytes(16), 5, 0, 0, 869_525_000, [])
            self._store.save_session(session)
        return super().joined(dev_eui)


def arm(case: str) -> None:
    """Die at ``case``."""
    when, _, step = case.partition("-")
    advance, keep = Journal.advance, Vault.keep_identity

    def deadly_advance(self: Journal, dev_eui: str, reached: str, **detail: Any) -> Any:
        if reached == step and when == "before":
            die()
        job = advance(self, dev_eui, reached, **detail)
        if reached == step and when == "after":
            die()
        return job

    def deadly_keep(self: Vault, *given: Any) -> Any:
        generation = keep(self, *given)
        if when == "vault":
            die()
        return generation

    Journal.advance = deadly_advance  # type: ignore[method-assign]
    Vault.keep_identity = deadly_keep  # type: ignore[method-assign]
    if case == "begin":
        begin = Journal.begin

        def deadly_begin(self: Journal, *given: Any) -> Any:
            begin(self, *given)
            die()

        Journal.begin = deadly_begin  # type: ignore[method-assign]


def main() -> int:
    """Run the batch; 0 when every board is done."""
    folder, case, *ports = sys.argv[1:]
    place = Path(folder)
    network = JoiningBench(place / "lns.sqlite")
    with Register(place / "fleet.sqlite") as register, open_vault(place) as vault:
        if case.startswith("rotate "):
            draw_new_keys(register.nodes()[0]["dev_eui"], register, vault)
        arm(case.removeprefix("rotate "))
        done = provision(BatchRun(new_batch(labels=place / "labels"), register, vault, network), ports)
    network.close()
    for item in done:
        print(item.step, item.error)
    return 0 if all(item.done for item in done) else 1


if __name__ == "__main__":
    sys.exit(main())
