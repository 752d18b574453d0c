# SPDX-License-Identifier: MIT
"""What a program without our application uses: the store in files, and the packages for mip."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from communode import __version__
from communode.node.lorawan.standalone import FileStore

NODE = Path(__file__).resolve().parents[2] / "firmware" / "node"

PROGRAM = """
import sys, time, os, cryptolib
sys.path.insert(0, "FOLDER")
from communode.lorawan.mac import Mac
from communode.lorawan.region.us915 import REGION
from communode.lorawan.runner import Runner
from communode.lorawan.standalone import Clock, FileStore
from communode.radio import sx126x, sx127x, micropython_lib

class Modem:
    min_power_dbm = 2
    rx_latency_us = 0

class Time:
    now = (1 << 30) - 1000
    def __getattr__(self, name):
        return getattr(time, name)
    def ticks_ms(self):
        return self.now & (1 << 30) - 1
    def ticks_diff(self, end, start):
        return (end - start + (1 << 29) & (1 << 30) - 1) - (1 << 29)

wrapping = Time()
clock = Clock(wrapping)
mac = Mac(REGION, lambda key: cryptolib.aes(key, 1), bytes(8), bytes(8), bytes(16))
runner = Runner(mac, Modem(), clock, FileStore("FOLDER/state"), os.urandom)
wrapping.now += 1200
print(mac.session.joined, mac.max_payload(), clock.now_ms())
"""


def test_a_new_store_is_empty(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path / "state"))
    assert store.load() is None
    assert store.cache_load() is None


def test_the_last_record_is_found_again_and_the_cache_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "state")
    store = FileStore(path)
    for number in range(7):
        store.commit(bytes((number,)) * 300)
        store.cache_save(b"exact")
        assert FileStore(path).load() == store.load() == bytes((number,)) * 300
    assert store.cache_load() == b"exact"
    assert FileStore(path).cache_load() is None
    assert len(list(tmp_path.iterdir())) == 2


def test_a_write_that_is_cut_after_any_byte_leaves_the_record_before(tmp_path: Path) -> None:
    path = tmp_path / "state"
    store = FileStore(str(path))
    store.commit(b"old" * 20)
    store.commit(b"new" * 20)
    newest = next(file for file in tmp_path.iterdir() if b"new" in file.read_bytes())
    whole = newest.read_bytes()
    for cut in range(len(whole)):
        newest.write_bytes(whole[:cut])
        again = FileStore(str(path))
        assert again.load() == b"old" * 20, cut
    again.commit(b"next")  # the torn file is the one that is written
    assert FileStore(str(path)).load() == b"next"


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "state"
    FileStore(str(path)).commit(bytes(40))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for bit in range(8 * len(whole)):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        file.write_bytes(broken)
        assert FileStore(str(path)).load() is None


def _listed(package: str) -> dict[str, str]:
    content = json.loads((NODE / package / "package.json").read_text("utf-8"))
    assert content["version"] == __version__
    assert content["deps"] == []
    return dict(content["urls"])


@pytest.mark.parametrize("package", ["lorawan", "radio"])
def test_a_package_lists_every_file_of_its_folder(package: str) -> None:
    files = sorted(
        path.relative_to(NODE / package).as_posix()
        for path in (NODE / package).rglob("*.py")
        if "__pycache__" not in path.parts
    )
    assert _listed(package) == {f"communode/{package}/{name}": name for name in files}


def test_the_whole_is_both_packages() -> None:
    parts = {
        target: f"{package}/{source}"
        for package in ("lorawan", "radio")
        for target, source in _listed(package).items()
    }
    assert _listed(".") == {"communode/__init__.py": "__init__.py", **parts}


def test_what_is_installed_runs_without_anything_else_of_ours(tmp_path: Path, micropython: str) -> None:
    for target, source in _listed(".").items():
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(NODE / source, tmp_path / target)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("FOLDER", str(tmp_path)))
    done = subprocess.run([micropython, str(program)], capture_output=True, text=True, timeout=30)
    assert done.stdout == "False 11 1200\n", done.stderr
