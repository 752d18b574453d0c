# SPDX-License-Identifier: MIT
"""The ten-line example as it stands, on a board without our application: what mip installs, and keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from communode.boards import load_board
from communode.build import Build, build
from communode.identity import dev_eui_from_mac
from communode.profiles import load_profile
from laboratory import APP_KEY, JOIN_EUI, Laboratory, Reply, Script, write_flash
from littlefs import LittleFS
from running_board import RunningBoard, output

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
MAC = bytes.fromhex("0200c0000001")


def _installed() -> dict[str, bytes]:
    """What ``mip install`` of the package puts on a board, the example, and its keys."""
    listed = json.loads((FIRMWARE / "node" / "package.json").read_text("utf-8"))["urls"]
    files = {target: (FIRMWARE / "node" / source).read_bytes() for target, source in listed}
    files["main.py"] = (FIRMWARE / "examples" / "join_and_send.py").read_bytes()
    keys = {"DEV_EUI": dev_eui_from_mac(MAC), "JOIN_EUI": JOIN_EUI, "APP_KEY": APP_KEY}
    files["keys.py"] = "".join(f"{name} = {value!r}\n" for name, value in keys.items()).encode()
    return files


def _with_files(made: Build, files: dict[str, bytes]) -> Build:
    partition = made.partition("vfs")
    disk = LittleFS(
        block_size=4096,
        block_count=partition.size // 4096,
        read_size=32,
        prog_size=32,
        lookahead_size=32,
        cache_size=128,
        disk_version=0x20000,
    )
    for path, data in sorted(files.items()):
        disk.makedirs(str(Path(path).parent.as_posix()), exist_ok=True)
        with disk.open(path, "wb") as stream:
            stream.write(data)
    regions = tuple(
        replace(region, data=bytes(disk.context.buffer)) if region.name == "vfs" else region
        for region in made.regions
    )
    return Build(made.manifest, regions)


@pytest.fixture
def flash(tmp_path: Path, micropython: str) -> Path:
    made = build(load_board("virtual"), load_profile("air"), body="virtual")
    path = tmp_path / "node.flash"
    write_flash(path, _with_files(made, _installed()), MAC, APP_KEY)
    return path


def test_the_example_joins_sends_and_goes_on_after_a_power_cut(flash: Path, tmp_path: Path) -> None:
    def first_life(lab: Laboratory) -> Script:
        uplink = yield None
        uplink = yield Reply(wire=b"\x20" + bytes(16))  # not for us: it tries again by itself
        assert uplink.request.dev_nonce == 1
        uplink = yield lab.accept(uplink)
        begun_us = uplink.sent.start_us
        assert (bytes(uplink.data.payload), uplink.data.fport) == (b"hello", 2)
        uplink = yield Reply(7, b"hi")
        assert 295_000_000 < uplink.sent.start_us - begun_us < 310_000_000

    def second_life(lab: Laboratory) -> Script:
        uplink = yield None
        assert uplink.data is not None, "it has forgotten its session"
        assert bytes(uplink.data.payload) == b"hello"

    lab = Laboratory(flash, tmp_path)
    try:
        lab.run(first_life)
        assert "joined []" in lab.console.read_text()
        assert "sent [(7, b'hi')]" in lab.console.read_text()
    finally:
        lab.close()
    again = Laboratory(flash, tmp_path)
    # The session is in files; counters go on at the reserved block.
    again.session, again.fcnt_up = lab.session, 31
    try:
        again.run(second_life)
    finally:
        again.close()


def test_mpremote_installs_the_package_from_a_checkout(flash_copy: Callable[..., Path]) -> None:
    with RunningBoard("virtual", "air", flash=flash_copy()) as running:
        connect = ("mpremote", "connect", running.port)
        output(*connect, "mip", "install", "--no-mpy", FIRMWARE / "node" / "package.json", limit_s=100)
        told = output(
            *connect, "exec", "from communode.lorawan import frame, region; print(frame.MAX_F_OPTS)"
        )
    assert told.strip() == "15"
