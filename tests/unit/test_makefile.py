# SPDX-License-Identifier: MIT
"""The Makefile on a machine that lacks something says what, and does nothing it should not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What `make` reads, without an environment."""
    (tmp_path / "ci").mkdir()
    for name in ("Makefile", "pyproject.toml", "ci/demo.txt", "ci/constraints.txt", "ci/stubs.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make(folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make with a Python that is the shell script ``script``."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    command = ["make", f"PYTHON={python}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60)


def test_without_venv_it_names_the_package(checkout: Path) -> None:
    done = make(checkout, 'case "$2" in *ensurepip*) exit 1;; esac', "demo")
    assert done.returncode == 2
    assert "apt-get install python3-venv" in done.stdout
    assert not (checkout / ".venv").exists()


def test_with_an_old_python_it_says_which_is_needed(checkout: Path) -> None:
    done = make(checkout, 'case "$2" in *version_info*) exit 1;; esac', "demo")
    assert done.returncode == 2
    assert "Python 3.11" in done.stdout


def test_alone_it_lists_the_targets_and_touches_nothing(checkout: Path) -> None:
    done = make(checkout, "exit 1")
    assert done.returncode == 0
    for target in ("demo", "test", "check", "bench", "nightly"):
        assert f"make {target}" in done.stdout
    assert not (checkout / ".venv").exists()


def test_a_ready_environment_is_not_installed_again(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    for stamp in (".runs", ".ready"):
        (checkout / ".venv" / stamp).touch()
    done = make(checkout, f'exec {sys.executable} "$@"', ".venv/.ready")
    assert "up to date" in done.stdout


def test_ci_calls_only_what_a_person_can_call() -> None:
    lines = [line.strip() for line in (ROOT / "ci" / "run").read_text().splitlines()]
    assert [line for line in lines if line.startswith("make ")] == ["make check", "make test", "make demo"]
    assert "COMMUNODE_NO_SKIP=1" in "\n".join(lines)
