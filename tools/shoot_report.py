#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Take the picture of the demonstration's report that README.md shows.

    python tools/shoot_report.py build/demo/report.html host/demo-report.png

Needs headless Chromium (Debian: apt-get install chromium).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SIZE = (1280, 1730)


def shoot(page: Path, picture: Path) -> None:
    """Write the top of ``page`` to ``picture`` (PNG)."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("chromium is missing; on Debian: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                f"--user-data-dir={profile}",
                f"--window-size={SIZE[0]},{SIZE[1]}",
                f"--screenshot={picture.resolve()}",
                page.resolve().as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )


if __name__ == "__main__":
    shoot(Path(sys.argv[1]), Path(sys.argv[2]))
