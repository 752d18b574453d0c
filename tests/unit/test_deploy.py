# SPDX-License-Identifier: MIT
"""Deploying to a running virtual board: only what differs, by each way, judged by the board's own hashes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import serial
from communode.boards import load_board
from communode.build import VIRTUAL_ARCH, app_files, build
from communode.deploy import LIST_FILES, Node, ask_what_it_is, compare, deploy
from communode.errors import CommunodeError
from communode.flash import job_for, run_jobs
from communode.link.raw_repl import BoardError, RawRepl
from communode.link.serial_port import open_port
from communode.partitions import table_for
from communode.profiles import load_profile
from communode.virtual.virtual_board import VirtualBoard

BOARD = load_board("virtual")


@cache
def code(profile: str) -> dict[str, bytes]:
    """What a virtual node with ``profile`` carries, looked at once."""
    return app_files(BOARD, load_profile(profile), "eu868", VIRTUAL_ARCH)


def rested(port: str) -> str:
    """The port, once the board has had the time to boot that a person's next command gives it."""
    time.sleep(0.7)
    return port


def files(profile: str) -> dict[str, bytes]:
    """A copy of it, to change."""
    return dict(code(profile))


@pytest.fixture
def port(micropython: str) -> Iterator[str]:
    """A virtual board that runs the air profile."""
    with VirtualBoard("virtual", profile="air") as board:
        image = build(BOARD, load_profile("air"), body="virtual")
        (outcome,) = run_jobs([job_for(image, board.port)], "virtual", lambda event: None)
        assert outcome.error is None
        yield rested(board.port)


@pytest.fixture
def repl(port: str) -> Iterator[RawRepl]:
    """The raw REPL of that board."""
    opened = open_port(port)
    with RawRepl(opened, port) as client:
        yield client
    opened.close()


def test_what_differs_is_told_by_hash_and_what_is_too_much_is_removed() -> None:
    same = hashlib.sha256(b"same").hexdigest()
    found = {"a": same, "b": same, "old": same}
    difference = compare({"a": b"same", "b": b"new", "c": b"same"}, found)
    assert difference.write == ("b", "c")
    assert difference.remove == ("old",)


def test_code_runs_and_its_output_comes_back_exactly(repl: RawRepl) -> None:
    assert repl.run("print(6 * 7)").split() == [b"42"]
    long = "x = '" + "y" * 20_000 + "'\nprint(len(x))"  # far beyond the board's paste window
    assert repl.run(long).split() == [b"20000"]


def test_an_exception_of_the_board_is_told_with_its_traceback(repl: RawRepl) -> None:
    with pytest.raises(BoardError, match="ZeroDivisionError"):
        repl.run("1 / 0")
    with pytest.raises(BoardError, match="SyntaxError"):
        repl.run("def def")
    assert repl.run("print('still here')").strip() == b"still here"


def test_a_board_that_does_not_answer_in_time_is_an_error_and_no_hang(repl: RawRepl) -> None:
    began = time.monotonic()
    with pytest.raises(CommunodeError) as caught:
        repl.run("import time\ntime.sleep(60)", timeout_s=0.5)
    assert caught.value.code == "link.silent"
    assert time.monotonic() - began < 5


def test_a_board_says_what_it_is(port: str) -> None:
    assert ask_what_it_is(port) == Node("virtual", "air", "virtual")


@pytest.mark.parametrize("via", ["repl", "mpremote"])
def test_a_deploy_writes_what_differs_and_nothing_the_second_time(port: str, via: str) -> None:
    deploy(port, files("air"), via="repl")  # from the flashed image to files
    first = deploy(rested(port), files("bin"), via=via)
    assert "node/drivers/a02yyuw.mpy" in first.write
    assert "node/drivers/scd4x.mpy" in first.remove
    assert "node/app/cycle.mpy" not in first.write
    second = deploy(rested(port), files("bin"), via=via)
    assert (second.write, second.remove) == ((), ())
    assert ask_what_it_is(rested(port)).profile == "bin"


def test_ampy_can_carry_a_deploy_too(port: str) -> None:
    wanted = files("air")
    deploy(port, wanted, via="repl")
    wanted["boot.py"] = b"# changed\n"
    assert deploy(rested(port), wanted, via="ampy").write == ("boot.py",)


def test_a_file_in_a_new_folder_is_written(port: str) -> None:
    wanted = files("air") | {"node/new/deep/file.mpy": bytes(range(256)) * 40}
    assert "node/new/deep/file.mpy" in deploy(port, wanted, via="repl").write
    assert deploy(rested(port), wanted, via="repl").write == ()


def test_an_image_deploy_writes_the_code_partition_only(micropython: str) -> None:
    with VirtualBoard("virtual", profile="air") as board:
        command = [sys.executable, "-m", "communode", "deploy", "--board", "virtual", "--profile", "air"]
        command += ["--body", "virtual", "--via", "image", "--port", board.port, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        flash = Path(board.flash).read_bytes()
    vfs = next(item for item in table_for(BOARD.flash_size) if item.name == "vfs")
    assert set(flash[: vfs.offset] + flash[vfs.end :]) == {0xFF}
    assert set(flash[vfs.offset : vfs.offset + 4096]) != {0xFF}


def test_the_command_asks_the_board_and_streams_files(port: str) -> None:
    deploy(port, files("air") | {"main.py": b"# old\n"}, via="repl")
    command = [sys.executable, "-m", "communode", "deploy", "--port", rested(port), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["file"] for event in events if event["event"] == "deploy"] == ["main.py"]
    assert events[-1]["event"] == "deployed"
    assert events[-1]["written"] == 1


def test_the_monitor_shows_lines_with_their_time_and_kind(port: str, tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    command = [sys.executable, "-m", "communode", "monitor", "--port", port, "--seconds", "4", "--json"]
    command += ["--only", "start", "--only", "error", "--log", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()  # it listens
        with serial.Serial(port, 115200) as typing:
            typing.write(b"\r\x03print('noise')\rraise OSError(5)\rimport machine\rmachine.reset()\r")
            said, _ = process.communicate(timeout=30)
    events = [json.loads(line) for line in said.splitlines()]
    assert process.returncode == 0
    keys = {"event", "port", "time", "kind", "text", "figures"}
    assert all(set(event) == keys for event in events)
    texts = [event["text"] for event in events]
    assert any(text.startswith("OSError: ") for text in texts)
    assert any(text.startswith("communode ") for text in texts)
    assert not any("noise" in text for text in texts)
    assert "noise" in log.read_text("utf-8"), "the file gets everything"


def test_a_console_that_is_no_board_is_left_alone(micropython: str, tmp_path: Path) -> None:
    # A MicroPython whose "/" is this computer's: nothing may be looked at, written or removed there.
    done = subprocess.run([micropython, "-c", LIST_FILES], capture_output=True, text=True, cwd=tmp_path)
    assert "not an ESP32" in done.stdout + done.stderr
    assert "{" not in done.stdout


def test_an_absent_port_is_an_error_of_one_line() -> None:
    for verb in (["monitor"], ["deploy"], ["provision", "--board", "virtual"]):
        command = [sys.executable, "-m", "communode", *verb, "--port", "/dev/ttyNOWHERE9"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) <= 2
        assert "/dev/ttyNOWHERE9" in done.stderr
        assert "Traceback" not in done.stderr
