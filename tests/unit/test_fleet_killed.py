# SPDX-License-Identifier: MIT
"""A register whose writer is killed before each of its statements: all of a change is there, or nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from communode.fleet.journal import Journal
from communode.fleet.register import Register
from fleet_bench import new_node
from fleet_killed import change

SCRIPT = Path(__file__).with_name("fleet_killed.py")
TIMES = {"at", "since", "until"}


def content(path: Path) -> dict[str, list[Any]]:
    """All tables, without the times in them."""
    with Register(path) as register:
        assert register.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert register.db.execute("PRAGMA foreign_key_check").fetchall() == []
        tables = ("tenants", "sites", "hardware", "nodes", "placements", "events", "jobs", "words")
        found = {}
        for table in tables:
            rows = [dict(row) for row in register.db.execute(f"SELECT rowid, * FROM {table}")]
            for row in rows:
                row |= {name: bool(row[name]) for name in TIMES & set(row)}
            found[table] = rows
    return found


@pytest.mark.parametrize("what", ["replace", "import", "begin", "rotate"])
def test_a_change_is_whole_or_not_there(tmp_path: Path, what: str) -> None:
    before = tmp_path / "before.sqlite"
    with Register(before) as register:
        register.add_node(new_node(1, site="school"), state="in_service")
        register.add_node(new_node(2, name="spare"), state="provisioned")
        Journal(register).begin(new_node(3), 1)
    after = Path(shutil.copy(before, tmp_path / "after.sqlite"))
    with Register(after) as register:
        change(register, what)
    old, new = content(before), content(after)
    assert old != new
    outcomes = []
    for number in range(1, 200, 2 if what == "import" else 1):
        copy = Path(shutil.copy(before, tmp_path / "copy.sqlite"))
        for beside in ("-wal", "-shm"):
            Path(f"{copy}{beside}").unlink(missing_ok=True)
        command = [sys.executable, str(SCRIPT), str(copy), what, str(number)]
        status = subprocess.run(command, timeout=60, stderr=subprocess.DEVNULL).returncode
        found = content(copy)
        assert found in (old, new), number
        outcomes.append(found == new)
        if status == 0:
            break
        assert status == -9
    assert len(outcomes) > 5
    assert outcomes == sorted(outcomes)  # once it is there, it stays
    assert outcomes[0] is False
    assert outcomes[-1] is True
