# SPDX-License-Identifier: MIT
"""Where the long campaigns put their figures, so that one file can hold those of many tests."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any


class Nightly:
    """How large the campaigns of ``make nightly`` are (``N=`` scales them), and what they have found."""

    def __init__(self, folder: Path, scale: float) -> None:
        self.folder = folder
        self.scale = scale

    def count(self, full: int) -> int:
        """So many of ``full``."""
        return max(1, round(full * self.scale))

    def record(self, file: str, table: str, entry: dict[str, Any]) -> None:
        """Put ``entry`` into the list ``table`` of ``file``, in place of the one with the same name."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f".{file}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self.folder / file
            content = json.loads(path.read_text("utf-8")) if path.exists() else {"schema": 1}
            others = [item for item in content.get(table, []) if item["name"] != entry["name"]]
            content[table] = sorted([*others, entry], key=lambda item: str(item["name"]))
            path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
