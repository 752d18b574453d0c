# SPDX-License-Identifier: MIT
"""The frozen build: boards/manifest.py names everything that a build packs, and all of it compiles.

The ESP-IDF is not needed here: the manifest is read as MicroPython's documentation says ("MicroPython manifest
files", v1.27), every module is compiled with the flags of the ESP32 port, and `_boot.py` runs on the unix port
over stand-ins. That the image starts on a chip is not shown.
"""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path

import pytest
from communode import build
from communode.boards import board_names, load_board
from communode.errors import CommunodeError
from communode.node_files import compile_module
from communode.partitions import table_for
from communode.profiles import load_profile, profile_names

ROOT = Path(__file__).resolve().parents[2]
BOARDS = ROOT / "boards"
FROZEN = ROOT / "firmware" / "frozen"
TOOL = ROOT / "tools" / "frozen_hardware.py"
# Largest of the official 1.27.0 images for the three chips: `factory` of LilyGO's build, in bytes.
LARGEST_IMAGE = 1_698_016
PORT = "$(PORT_DIR)/modules"


def read_manifest() -> tuple[dict[str, Path], set[str]]:
    """Target path -> file of all that the manifest names in this repository, and what it takes from elsewhere."""
    files: dict[str, Path] = {}
    elsewhere: set[str] = set()

    def module(path: str, base_path: str = ".", opt: int | None = None) -> None:
        if base_path == PORT:
            elsewhere.add(path)
            return
        assert opt == 3
        files[path] = (BOARDS / base_path / path).resolve()

    def package(path: str, base_path: str = ".", opt: int | None = None) -> None:
        assert opt == 3
        top = (BOARDS / base_path).resolve()
        files.update({file.relative_to(top).as_posix(): file for file in (top / path).rglob("*.py")})

    def require(name: str) -> None:
        elsewhere.add(name)

    given = {"module": module, "package": package, "require": require}
    runpy.run_path(str(BOARDS / "manifest.py"), given)
    return files, elsewhere


def packed(board_name: str, profile_name: str) -> set[str]:
    """The modules of a build, as sources' names; nothing when the two do not fit."""
    board, profile = load_board(board_name), load_profile(profile_name)
    try:
        build.check_fit(board, profile)
    except CommunodeError:
        return set()
    names = build.app_files(board, profile, "eu868", board.arch)
    return {name.removesuffix(".mpy").removesuffix(".py") + ".py" for name in names}


@pytest.mark.parametrize("board_name", board_names())
def test_everything_that_a_build_packs_is_frozen(board_name: str) -> None:
    frozen, elsewhere = read_manifest()
    wanted = set().union(*(packed(board_name, profile) for profile in profile_names()))
    assert len(wanted) > 80
    assert wanted <= set(frozen)
    assert elsewhere == {"flashbdev.py", "onewire"}


@pytest.mark.parametrize("arch", ["xtensawin", "rv32imc"])
def test_everything_compiles_as_the_port_freezes_it_and_fits_beside_the_image(arch: str) -> None:
    frozen, _ = read_manifest()
    sources = {name: path for name, path in frozen.items() if name != "hardware.py"}
    size = sum(len(compile_module(path.read_bytes(), name, arch)) for name, path in sources.items())
    factory = next(part for part in table_for(4 << 20) if part.name == "factory")
    print(f"{arch}: {len(sources)} modules, {size} bytes")
    assert 100_000 < size < factory.size - LARGEST_IMAGE


def test_neither_identity_nor_settings_are_frozen() -> None:
    frozen, _ = read_manifest()
    inside = (ROOT / "firmware", ROOT / "build" / "frozen")
    assert all(any(path.is_relative_to(folder) for folder in inside) for path in frozen.values())
    outside_of_node = {name for name in frozen if not name.startswith("node/")}
    assert outside_of_node == {"_boot.py", "boot.py", "main.py", "pack.py", "hardware.py"}


def test_the_tool_writes_the_module_that_a_build_has(tmp_path: Path) -> None:
    scope = runpy.run_path(str(TOOL))
    file = tmp_path / "frozen" / "hardware.py"
    scope["main"].__globals__["FILE"] = file
    assert scope["main"](["heltec_ht_ct62", "bin"]) == 0
    expected = build.hardware_source(load_board("heltec_ht_ct62"), load_profile("bin"), "eu868")
    assert file.read_text("utf-8") == expected
    assert scope["main"](["heltec_ht_ct62"]) == 2
    assert scope["main"](["nothing", "bin"]) == 2


_STAND_INS = """
import sys
class Thing: pass
machine, vfs, flashbdev = Thing(), Thing(), Thing()
machine.DEEPSLEEP_RESET = 4
machine.reset_cause = lambda: {cause}
def mount(device, path):
    print("mount", device, path)
    if {broken}:
        raise OSError(19)
vfs.mount = mount
flashbdev.bdev = "flash"
for name, module in (("machine", machine), ("vfs", vfs), ("flashbdev", flashbdev)):
    sys.modules[name] = module
exec(open({boot!r}).read())
print("path", sys.path[0])
"""


@pytest.mark.parametrize(
    ("cause", "broken", "printed"),
    [
        (1, False, ["mount flash /", "path .frozen"]),
        (1, True, ["mount flash /", "no file system: [Errno 19] ENODEV", "path .frozen"]),
        (4, True, ["path .frozen"]),
    ],
)
def test_a_frozen_node_starts_whatever_the_file_system_is(
    micropython: str, cause: int, broken: bool, printed: list[str]
) -> None:
    program = _STAND_INS.format(cause=cause, broken=broken, boot=str(FROZEN / "_boot.py"))
    done = subprocess.run([micropython, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout.splitlines()) == (0, printed), done.stderr


def test_modules_are_found_among_the_frozen_ones_alone(micropython: str, tmp_path: Path) -> None:
    # They lie in one folder here, alone in sys.path; the pack's mount does nothing.
    frozen, _ = read_manifest()
    for name, path in frozen.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"VERSION = '0'\n" if name == "hardware.py" else path.read_bytes())
    program = f"""
import sys
sys.path[:] = [{str(tmp_path)!r}]
import pack
pack.mount()
import hardware, node.lorawan.runner, node.storage.journal, node.app.sender
print(hardware.VERSION, len(sys.path))
"""
    command = [micropython, "-X", "heapsize=4M", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=FROZEN.anchor)
    assert (done.returncode, done.stdout) == (0, "0 1\n"), done.stderr


def test_the_recipe_names_what_is_there() -> None:
    text = (BOARDS / "README.md").read_text("utf-8")
    for name in ("boards/manifest.py", "tools/frozen_hardware.py", "firmware/frozen/_boot.py"):
        assert name in text
        assert (ROOT / name).exists()
    for board in board_names():
        assert f"`{board}`" in text
