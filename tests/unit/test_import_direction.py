# SPDX-License-Identifier: MIT
"""Who may import whom, read from the syntax trees: the layout of DESIGN.md as a rule that cannot rot."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / "firmware" / "node"
HOST = ROOT / "host" / "communode"

PURE_MODULES = {"struct", "array", "math", "binascii", "collections", "micropython"}

# Package of the firmware -> packages of the firmware that it may import, besides itself.
MAY_IMPORT = {
    "schema": set(),
    "codec": {"schema"},
    "storage": {"schema"},
    "sampling": {"schema"},
    "dsp": set(),
    "drivers": {"schema", "sampling", "dsp"},  # filters over samples, kernels over sound
    "radio": set(),
    "lorawan": {"radio"},  # radio.airtime only: both install together
    "power": {"schema"},
    "hal": {"storage"},  # hal keeps in flash and RTC memory what storage lays out
}
PURE = {"schema", "codec", "storage", "sampling", "dsp"}
# Packages that run anywhere, too; these of their files collect the heap.
PURE_FILES: dict[str, set[str]] = {"lorawan": {"runner.py"}, "radio": set()}


def imports(path: Path, top: Path) -> Iterator[str]:
    """Absolute names of everything that ``path`` imports; those below ``top`` begin with a dot."""
    package = path.relative_to(top).parent.parts
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if not node.level:
                yield node.module or ""
                continue
            base = package[: len(package) - node.level + 1]
            names = (
                [(*base, *node.module.split("."))] if node.module else [(*base, a.name) for a in node.names]
            )
            yield from ("." + ".".join(name) for name in names)


def files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)
    assert found, f"{folder} is empty: a rule about nothing"
    return found


def packages_of(path: Path) -> set[str]:
    """The packages of the firmware that a firmware file imports."""
    return {name[1:].split(".")[0] for name in imports(path, NODE) if name.startswith(".")}


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_firmware_package_imports_only_what_its_row_allows(package: str) -> None:
    for path in files(NODE / package):
        extra = packages_of(path) - MAY_IMPORT[package] - {package}
        assert not extra, f"{path.relative_to(ROOT)} imports {sorted(extra)}"


def test_every_firmware_package_has_a_row() -> None:
    packages = {path.name for path in NODE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert packages == set(MAY_IMPORT) | {"app"}


@pytest.mark.parametrize("package", sorted(PURE))
def test_a_pure_package_does_no_io(package: str) -> None:
    for path in files(NODE / package):
        outside = {name.split(".")[0] for name in imports(path, NODE) if not name.startswith(".")}
        assert outside <= PURE_MODULES, f"{path.relative_to(ROOT)} imports {sorted(outside - PURE_MODULES)}"


def test_the_mac_and_the_radio_own_no_hardware_and_no_clock() -> None:
    for package, exempt in PURE_FILES.items():
        for path in files(NODE / package):
            allowed = PURE_MODULES | ({"gc"} if path.name in exempt else set())
            outside = {name.split(".")[0] for name in imports(path, NODE) if not name.startswith(".")}
            assert outside <= allowed, f"{path.relative_to(ROOT)} imports {sorted(outside - allowed)}"


def test_lorawan_takes_only_the_time_on_air_from_radio() -> None:
    for path in files(NODE / "lorawan"):
        from_radio = {name for name in imports(path, NODE) if name.startswith(".radio")}
        assert all(name.split(".")[2:3] in (["airtime"], ["modem"]) for name in from_radio), path


def test_hardware_modules_are_imported_by_hal_only() -> None:
    for path in files(NODE):
        outside = {name.split(".")[0] for name in imports(path, NODE)}
        if outside & {"machine", "esp32", "time"}:
            assert path.relative_to(NODE).parts[0] == "hal", path.relative_to(ROOT)


def test_hal_is_imported_by_the_wiring_only() -> None:
    importers = {path.relative_to(NODE).as_posix() for path in files(NODE) if "hal" in packages_of(path)}
    assert importers - {path.relative_to(NODE).as_posix() for path in files(NODE / "hal")} == {
        "app/wiring.py"
    }


def test_firmware_imports_are_relative() -> None:
    for path in files(NODE):
        names = {name.split(".")[0] for name in imports(path, NODE) if not name.startswith(".")}
        assert not names & {"node", "communode"}, path.relative_to(ROOT)


def host_files() -> list[Path]:
    return [path for path in files(HOST) if "node" not in path.relative_to(HOST).parts[:1]]


def test_esptool_is_imported_by_its_worker_only() -> None:
    searched = [*host_files(), *files(ROOT / "tests"), *files(ROOT / "tools")]
    importers = {path for path in searched for name in imports(path, ROOT) if name.split(".")[0] == "esptool"}
    assert importers == {HOST / "esptool_worker.py"}


def test_nobody_imports_the_worker() -> None:
    for path in host_files():
        assert "communode.esptool_worker" not in set(imports(path, HOST)), path.relative_to(ROOT)


def test_the_bench_server_does_not_use_the_nodes_code() -> None:
    for path in files(HOST / "lns"):
        wrong = {name for name in imports(path, HOST) if name.startswith(("communode.node", ".node"))}
        assert not wrong, f"{path.relative_to(ROOT)}: two ends of one code would agree on the same mistake"


def test_the_library_does_not_import_the_command_line() -> None:
    for path in host_files():
        if path.relative_to(HOST).parts[0] in ("cli", "__main__.py"):
            continue
        wrong = {name for name in imports(path, HOST) if name.startswith(("communode.cli", ".cli"))}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_the_rule_itself_sees_each_form_of_import(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "b.py"
    forms = ["import os.path", "from . import c", "from .d import e", "from ..f import g"]
    path.write_text("\n".join([*forms, "def h():", "    from ..i import j"]))
    assert set(imports(path, tmp_path)) == {"os.path", ".a.c", ".a.d", ".f", ".i"}
