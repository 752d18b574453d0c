# SPDX-License-Identifier: MIT
"""The table of sensors in firmware/README.md is the one that the code makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "sensor_table.py"


def test_the_table_in_the_readme_is_current() -> None:
    done = subprocess.run(
        [sys.executable, str(TOOL), "--check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_driver_has_a_row() -> None:
    from communode.drivers import DRIVERS

    text = (ROOT / "firmware" / "README.md").read_text("utf-8")
    for driver in DRIVERS:
        assert driver == "battery" or f"(`{driver}`)" in text
