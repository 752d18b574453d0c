# SPDX-License-Identifier: MIT
"""Provisioning: identities that are right, written once, and keys that show nowhere."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from communode import nvs_image
from communode.boards import load_board
from communode.errors import CommunodeError
from communode.fleet.register import Register
from communode.identity import Identity, dev_eui_from_mac, new_identity, parse_eui
from communode.nvs_image import identity_in, make_image
from communode.partitions import table_for
from communode.provision import KeysFile, provision_port
from communode.virtual.nvs import NvsPartition
from loader_board import LoaderBoard

NVS = table_for(4 << 20)[0]


def test_the_dev_eui_has_fffe_in_the_middle_of_the_mac() -> None:
    assert dev_eui_from_mac(bytes.fromhex("f412fa123456")).hex() == "f412fafffe123456"
    with pytest.raises(ValueError, match="6 bytes"):
        dev_eui_from_mac(bytes(8))


def test_keys_are_new_each_time_and_hidden_from_print() -> None:
    one, two = new_identity(bytes(8)), new_identity(bytes(8))
    assert len({one.app_key, two.app_key, one.command_key, two.command_key}) == 4
    for key in (one.app_key, one.command_key):
        assert key.hex() not in repr(one)
        assert repr(key) not in repr(one)


@pytest.mark.parametrize("text", ["0011223344556677", "00:11:22:33:44:55:66:77", "00-11-22-33-44-55-66-77"])
def test_an_eui_is_read_in_its_usual_spellings(text: str) -> None:
    assert parse_eui(text) == bytes.fromhex("0011223344556677")


@pytest.mark.parametrize("text", ["", "00112233445566", "001122334455667g", "00 11 22 33 44 55 66 77"])
def test_what_is_no_eui_is_refused(text: str) -> None:
    with pytest.raises(CommunodeError) as caught:
        parse_eui(text)
    assert caught.value.usage


def test_the_board_reads_what_was_provisioned(tmp_path: Path) -> None:
    with LoaderBoard(tmp_path) as board:
        done = provision_port(board.port, load_board("virtual"))
        assert done.outcome.verdict == "good"
        assert done.identity is not None
        assert done.identity.dev_eui.hex() == "020000fffe000001"
        store = NvsPartition(board.flash, NVS.offset, NVS.size)
        found = {key: store.get("identity", key, "blob") for key in done.identity.blobs()}
    assert found == done.identity.blobs()


def test_an_identity_is_overwritten_only_when_that_is_asked_for(tmp_path: Path) -> None:
    with LoaderBoard(tmp_path) as board:
        first = provision_port(board.port, load_board("virtual")).identity
        before = board.flash.read(NVS.offset, NVS.size)
        again = provision_port(board.port, load_board("virtual"))
        assert again.identity is None
        assert again.outcome.error is not None
        assert again.outcome.error.code == "provision.exists"
        assert "020000fffe000001" in again.outcome.error.message
        assert board.flash.read(NVS.offset, NVS.size) == before
        replaced = provision_port(board.port, load_board("virtual"), replace=True).identity
    assert first is not None
    assert replaced is not None
    assert replaced.app_key != first.app_key


def test_a_given_identity_is_the_one_that_is_written(tmp_path: Path) -> None:
    wanted = Identity(b"\1" * 8, b"\2" * 8, b"\3" * 16, b"\4" * 16)
    with LoaderBoard(tmp_path) as board:
        assert provision_port(board.port, load_board("virtual"), wanted).identity == wanted
        assert identity_in(board.flash.read(NVS.offset, NVS.size)) == "01" * 8


def test_provisioning_writes_nvs_only(tmp_path: Path) -> None:
    with LoaderBoard(tmp_path) as board:
        provision_port(board.port, load_board("virtual"))
        assert set(board.flash.read(0, NVS.offset)) == {0xFF}
        assert set(board.flash.read(NVS.end, board.flash.size - NVS.end)) == {0xFF}


def test_no_event_and_no_argument_holds_a_key(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    arguments: set[str] = set()

    def listen(event: dict[str, Any]) -> None:
        events.append(event)
        listed = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True)
        arguments.update(listed.stdout.splitlines())

    with LoaderBoard(tmp_path) as board:
        done = provision_port(board.port, load_board("virtual"), listener=listen)
    assert done.identity is not None
    said = json.dumps(events) + "\n".join(arguments)
    assert "esptool_worker" in said
    for key in (done.identity.app_key, done.identity.command_key):
        assert key.hex() not in said.lower()


def test_the_key_folder_is_private_and_gone_even_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    modes: list[int] = []
    run = subprocess.run

    def spy(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        (folder,) = tmp_path.iterdir()
        modes.extend(stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()])
        return run([sys.executable, "-c", "raise SystemExit(3)"], **options)

    monkeypatch.setattr(nvs_image.subprocess, "run", spy)
    with pytest.raises(CommunodeError) as caught:
        make_image(new_identity(bytes(8)).blobs(), NVS.size)
    assert caught.value.code == "provision.generator"
    assert modes == [0o700, 0o600, 0o600]
    assert list(tmp_path.iterdir()) == []


def test_an_empty_or_foreign_nvs_holds_no_identity() -> None:
    assert identity_in(b"\xff" * NVS.size) is None
    assert identity_in(os.urandom(NVS.size)) is None
    assert identity_in(b"") is None


def test_a_keys_file_is_private_complete_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    identity = new_identity(bytes(8))
    exported: list[bytes] = []
    keys = KeysFile(path, exported.append)
    keys.save([identity])
    keys.save([identity])
    assert exported == [bytes(8)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == [identity.reveal()]
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(CommunodeError):
        KeysFile(path, exported.append)


def test_the_command_writes_keys_only_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMUNODE_FLEET", str(tmp_path / "fleet"))
    keys = tmp_path / "keys.json"
    with LoaderBoard(tmp_path) as board:
        command = [sys.executable, "-m", "communode", "provision", "--board", "virtual", "--port", board.port]
        done = subprocess.run(
            [*command, "--out", str(keys), "--join-eui", "0000000000000001", "--json"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        (record,) = json.loads(keys.read_text())
        assert record["dev_eui"] == "020000fffe000001"
        assert record["join_eui"] == "0000000000000001"
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert events[-1]["dev_eui"] == record["dev_eui"]
        assert record["app_key"] not in done.stdout + done.stderr
        with Register(tmp_path / "fleet" / "fleet.sqlite") as register:
            (told,) = register.history()
        assert (told["kind"], told["dev_eui"]) == ("keys_exported", record["dev_eui"])
        assert told["detail"] == {"to": str(keys)}
        again = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert again.returncode == 1
    assert "--replace" in again.stderr


def test_a_board_that_dies_while_it_gets_its_identity_leaves_no_key_behind(tmp_path: Path) -> None:
    exported: list[bytes] = []
    keys = KeysFile(tmp_path / "keys.json", exported.append)
    from communode.provision import provision_ports

    with LoaderBoard(tmp_path) as board:
        board.die_after = 0
        (done,) = provision_ports([board.port], load_board("virtual"), keys_file=keys)
    assert done.outcome.verdict == "failed"
    assert done.identity is None
    assert json.loads((tmp_path / "keys.json").read_text()) == []
    assert exported == [bytes.fromhex("020000fffe000001")]  # for a moment they were in the file
