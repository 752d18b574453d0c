# SPDX-License-Identifier: MIT
"""Every duty of a waking with only n bytes of heap left, for every n from none to enough.

The shipped modules, compiled as for a virtual board, run on MicroPython's unix port over stand-ins for hardware
and network (bare_world.py); memory_on_micropython.py says what is done and judged. The heap is that of the
64-bit port, which gives away 32 bytes at once: that is the step of `make nightly`. `make test` takes coarser
steps from a random start of the same code.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import communode.build
import pytest
from communode import commands
from communode.boards import load_board
from communode.build import app_files
from communode.profiles import load_profile
from nightly import Nightly

HERE = Path(__file__).parent
PROGRAM = HERE / "memory_on_micropython.py"
MAIN = HERE.parents[1] / "firmware" / "main.py"
DUTIES = (
    *("join", "record", "start", "backfill", "alarm", "acknowledge", "command", "trial", "actions", "status"),
)
DEV_EUI, COMMAND_KEY = bytes(range(8)), bytes(range(16, 32))  # as in bare_node.py
NOW = datetime(2026, 3, 2, tzinfo=UTC)
SAMPLE_STEP = 127  # blocks
HEAP = "heapsize=1200K"  # for the code as well, and for what the campaign remembers


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled modules as files."""
    folder = tmp_path_factory.mktemp("application")
    files = app_files(load_board("virtual"), load_profile("bin"), "eu868", "x64")
    for name, data in files.items():
        if name.startswith("node/") or name == "hardware.mpy":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    (folder / "pack.py").write_text("def mount():\n    pass\n", "utf-8")
    return folder


def _commands() -> str:
    """New settings, and things to do, sealed for the node of bare_node.py."""
    parts = (
        [commands.interval(900), commands.alarm("above.fill_level=60/5/0")],
        [commands.records("2026-03-01T00:00/2026-03-03T00:00"), commands.SELF_TEST, commands.REJOIN],
    )
    made = [commands.make_command(DEV_EUI, COMMAND_KEY, part, now=NOW, counter=5) for part in parts]
    return ",".join(command.payload.hex() for command in made)


def starve(
    micropython: str,
    application: Path,
    duty: str,
    step: int,
    first: int,
    main: Path = MAIN,
    gate: str = "",
) -> dict[str, Any]:
    """Run the campaign on one duty; what it counted. ``gate``: at this one alone."""
    command = [micropython, "-X", HEAP, PROGRAM, application, main, _commands(), duty, step, first, gate]
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        cwd=HERE,
    )
    lines = [line[3:] for line in done.stdout.splitlines() if line.startswith("## ")]
    assert done.returncode == 0, (done.stdout[-3000:], done.stderr[-1000:])
    assert lines[-1].startswith("done "), done.stdout[-3000:]
    figures = dict(
        zip(("gates", "points", "failures", "states", "faults"), map(int, lines[-1].split()[1:]), strict=True)
    )
    return {"name": duty, **figures, "examples": [line for line in lines if line.startswith("fault")][:10]}


@pytest.mark.parametrize("duty", DUTIES)
def test_a_duty_that_runs_out_of_memory_leaves_a_consistent_node(
    micropython: str, application: Path, duty: str
) -> None:
    found = starve(micropython, application, duty, SAMPLE_STEP, random.Random(duty).randrange(SAMPLE_STEP))
    print(found)
    assert found["faults"] == 0, found["examples"]
    assert found["failures"] > 20


def test_the_campaign_notices_a_program_that_ends_at_the_prompt(
    micropython: str, application: Path, tmp_path: Path
) -> None:
    main = tmp_path / "main.py"
    main.write_text(
        "from node.app.cycle import run\nfrom node.app.wiring import wire\nimport hardware\nrun(wire(hardware))\n"
    )
    found = starve(micropython, application, "record", 9, 0, main, "main")
    assert "came out of main.py" in found["examples"][0]


def test_the_campaign_notices_a_counter_that_is_sent_before_it_is_kept(
    micropython: str, application: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(application, tmp_path, dirs_exist_ok=True)
    shipped = b"        self._save_cache()\n        self._radio_used = True\n"
    sources = communode.build.node_sources

    def node_sources(*arguments: Any) -> dict[str, bytes]:
        found = sources(*arguments)
        assert found["lorawan/runner.py"].count(shipped) == 1
        found["lorawan/runner.py"] = found["lorawan/runner.py"].replace(
            shipped, b"        self._radio_used = True\n"
        )
        return found

    monkeypatch.setattr(communode.build, "node_sources", node_sources)
    broken = app_files(load_board("virtual"), load_profile("bin"), "eu868", "x64")["node/lorawan/runner.mpy"]
    (tmp_path / "node" / "lorawan" / "runner.mpy").write_bytes(broken)
    found = starve(micropython, tmp_path, "record", 1, 0, gate="Modem.poll_rx")
    assert any("a counter was used twice" in example for example in found["examples"]), found


@pytest.mark.nightly
@pytest.mark.parametrize("duty", DUTIES)
def test_every_n_leaves_a_consistent_node(
    micropython: str, application: Path, duty: str, nightly: Nightly
) -> None:
    found = starve(micropython, application, duty, max(1, round(1 / nightly.scale)), 0)
    nightly.record("memory.json", "duties", {key: value for key, value in found.items() if key != "examples"})
    assert found["faults"] == 0, found["examples"]
    assert found["failures"] > 500 * min(1.0, nightly.scale)
