# SPDX-License-Identifier: MIT
"""What all benchmarks share: ``--out FOLDER``; without it, as in `make test`, none is collected."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--out", metavar="FOLDER", default=None, help="run the benchmarks and write JSON here")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    chosen = parent.config.getoption("--out", None)
    named = parent.session.isinitpath(file_path)  # which pytest takes by itself
    if chosen and not named and file_path.name.startswith("bench_") and file_path.suffix == ".py":
        return pytest.Module.from_parent(parent, path=file_path)
    return None


@pytest.fixture
def publish(pytestconfig: pytest.Config) -> Callable[[str, dict[str, Any]], None]:
    """Writes ``{name}.json`` into the folder, with the versions and the machine that the figures hold for."""

    def write(name: str, figures: dict[str, Any]) -> None:
        folder = Path(str(pytestconfig.getoption("--out")))
        folder.mkdir(parents=True, exist_ok=True)
        machine = {"python": platform.python_version(), "machine": platform.machine()}
        text = json.dumps({"schema": 1, "on": machine, **figures}, indent=2) + "\n"
        (folder / f"{name}.json").write_text(text, "utf-8")

    return write
