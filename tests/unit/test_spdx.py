# SPDX-License-Identifier: MIT
"""Every file of ours says its licence, and none names a machine, a workplace or a package host."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPDX = "SPDX-License-Identifier: MIT"
COMMENTED = {".py", ".toml", ".sh", ".js"}
PLACES = re.compile(r"(?<![\w.])/(work|opt|root|home/\w+)/|pypi\.org|pythonhosted|registry\.npmjs|find-links")
BINARY = {".png", ".bin", ".pcap", ".gz"}


def tracked() -> list[Path]:
    """All files under version control; in an unpacked archive, all files."""
    done = subprocess.run(["git", "ls-files", "-z"], capture_output=True, cwd=ROOT)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_every_source_begins_with_its_licence() -> None:
    missing = []
    for path in tracked():
        if path.suffix in COMMENTED and path.stat().st_size:
            head = path.read_text("utf-8").split("\n", 2)[:2]
            if not any(SPDX in line for line in head):
                missing.append(str(path.relative_to(ROOT)))
    assert not missing


def test_no_file_names_a_place_that_is_not_the_readers() -> None:
    found = []
    for path in tracked():
        if path.suffix in BINARY or path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            if PLACES.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    # The lock script switches such lines off, by name.
    assert [line for line in found if not line.startswith("ci/lock.sh")] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}
    assert [path for path in tracked() if path.stem in empty] == []


def test_names_are_those_of_the_standard() -> None:
    old = re.compile(r"\bapp_" + r"eui\b", re.IGNORECASE)
    for path in tracked():
        if path.suffix == ".py" and "tests" not in path.parts:
            assert not old.search(path.read_text("utf-8")), path
