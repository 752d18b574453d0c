# SPDX-License-Identifier: MIT
"""The wheel, built from the sdist and installed out of the checkout's reach, does what the checkout does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from communode.boards import board_names, load_board
from communode.build import build
from communode.images import cache_folder
from communode.profiles import load_profile
from loader_board import LoaderBoard

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str, cwd: Path) -> str:
    """Run a command that has to succeed; return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["COMMUNODE_CACHE"] = str(cache_folder())
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=cwd, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """checkout -> sdist -> unpacked elsewhere -> wheel."""
    folder = tmp_path_factory.mktemp("dist")
    backend = "import hatchling.build, sys; print(getattr(hatchling.build, sys.argv[1])(sys.argv[2]))"
    sdist = run(sys.executable, "-c", backend, "build_sdist", str(folder), cwd=ROOT).strip()
    with tarfile.open(folder / sdist) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = [path for path in folder.iterdir() if path.is_dir()]
    name = run(sys.executable, "-c", backend, "build_wheel", str(folder), cwd=unpacked).strip()
    return folder / name


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel in it; dependencies come from this one, the checkout does not."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    found = folder / "bin" / "python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(found),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    run(*pip, str(wheel), cwd=folder)
    site = Path(
        run(str(found), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    # A path file within a path that a path file adds is not read: the checkout stays out.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return found


def test_the_wheel_holds_firmware_boards_profiles_and_texts_but_no_leftovers(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "communode/py.typed",
        "communode/node/app/cycle.py",
        "communode/messages/flash.toml",
        "communode/_data/firmware/main.py",
        "communode/_data/firmware/profiles/air.toml",
        *(f"communode/_data/boards/{board}/board.toml" for board in board_names()),
    ):
        assert name in names
    assert len(names) == len(set(names))
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".flash"))]


def test_the_wheel_declares_its_licence_and_entry_points(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    assert "License-Expression: MIT" in archive.read(metadata).decode()
    entries = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    assert "communode = communode.cli:main" in entries
    assert "communode = communode.testing.plugin" in entries


def test_the_checkout_is_out_of_reach(python: Path, tmp_path: Path) -> None:
    where = run(
        str(python), "-c", "import communode, communode.node; print(communode.__file__)", cwd=tmp_path
    )
    assert Path(where.strip()).is_relative_to(python.parent.parent)


def test_the_installed_command_builds_the_same_bytes(python: Path, tmp_path: Path) -> None:
    for board, profile, body in (
        ("virtual", "air", "virtual"),
        ("heltec_wifi_lora_32_v3", "water", "device"),
    ):
        arguments = ["--board", board, "--profile", profile, "--body", body, "--out", str(tmp_path / board)]
        made = run(str(python.with_name("communode")), "build", *arguments, "--json", cwd=tmp_path)
        here = build(load_board(board), load_profile(profile), body=body)
        assert json.loads(made) == json.loads(json.dumps(here.manifest))


def test_the_installed_command_flashes_a_board(python: Path, tmp_path: Path) -> None:
    with LoaderBoard(tmp_path) as board:
        arguments = ["--board", "virtual", "--profile", "air", "--body", "virtual", "--port", board.port]
        said = run(str(python.with_name("communode")), "flash", *arguments, "--json", cwd=tmp_path)
        assert json.loads(said.splitlines()[-1])["verdict"] == "good"
        assert board.flash.read(0x8000, 2) == b"\xaa\x50"
