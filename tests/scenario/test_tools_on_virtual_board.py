# SPDX-License-Identifier: MIT
"""Unmodified tools against ``communode virtual run``: everything here runs as a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from communode.boards import load_board
from conftest import FirstBuild, FlashCopy
from running_board import RunningBoard, output, read_until, start

pytestmark = pytest.mark.timeout(300)

BOARDS = ("virtual", "heltec_ht_ct62", "lilygo_t3_v1_6_1")  # an ESP32-S3 or its like, an ESP32-C3, an ESP32
CHIPS = {"esp32": "ESP32", "esp32s3": "ESP32-S3", "esp32c3": "ESP32-C3"}
DEV_EUI = "0200c0fffe000001"  # of the address that a virtual board has when it is given none


@pytest.fixture
def mpremote_board(flash_copy: FlashCopy) -> Iterator[RunningBoard]:
    with RunningBoard(flash=flash_copy()) as board:
        yield board


def mpremote(board: RunningBoard, *arguments: str | Path, folder: Path | None = None) -> str:
    return output("mpremote", "connect", board.port, *arguments, folder=folder)


# The command itself


def test_the_ready_line_is_one_json_object_and_sigterm_ends_with_0(tmp_path: Path, micropython: str) -> None:
    link, flash = tmp_path / "board", tmp_path / "own.flash"
    with RunningBoard(link=link, flash=flash, mac="02:00:c0:00:00:2a") as board:
        assert json.loads(board.ready_line) == {
            "port": str(link),
            "flash": str(flash),
            "board": "virtual",
            "mac": "02:00:c0:00:00:2a",
        }
        assert os.readlink(link).startswith("/dev/")
    assert not link.is_symlink()
    assert flash.stat().st_size == load_board("virtual").flash_size
    assert flash.stat().st_mode & 0o077 == 0


def test_ctrl_c_ends_it_too(tmp_path: Path, micropython: str) -> None:
    with RunningBoard(link=tmp_path / "board") as board:
        board.process.send_signal(signal.SIGINT)
        board.process.wait(20)
    assert not (tmp_path / "board").is_symlink()


def test_a_board_without_a_file_of_its_own_leaves_none(micropython: str) -> None:
    with RunningBoard() as board:
        file = Path(board.facts["flash"])
        assert file.is_file()
    assert not file.exists()


def test_a_flash_file_that_another_board_holds_is_refused(tmp_path: Path, micropython: str) -> None:
    flash = tmp_path / "board.flash"
    with RunningBoard(flash=flash):
        second = start("communode", "virtual", "run", "--board", "virtual", "--flash", flash)
    assert second.returncode == 1
    assert second.stdout == ""
    assert str(flash) in second.stderr
    assert "Traceback" not in second.stderr


# esptool


@pytest.mark.parametrize("name", BOARDS)
def test_an_empty_board_answers_esptool_as_a_new_chip(name: str, tmp_path: Path, micropython: str) -> None:
    board = load_board(name)
    with RunningBoard(name, flash=tmp_path / "new.flash") as running:
        said = output("esptool", "--port", running.port, "flash-id")
        output("esptool", "--port", running.port, "read-flash", "0", "8192", tmp_path / "first.bin")
    assert f"Connected to {CHIPS[board.chip]} on" in said
    assert f"Detected flash size: {board.flash_size >> 20}MB" in said
    assert running.facts["mac"] in said
    assert (tmp_path / "first.bin").read_bytes() == b"\xff" * 8192


@pytest.mark.parametrize("serial", ["pty", "socket"])
def test_esptool_writes_verifies_and_reads_back(serial: str, tmp_path: Path, micropython: str) -> None:
    wanted = tmp_path / "wanted.bin"
    wanted.write_bytes(bytes(range(256)) * 40 + b"end")
    with RunningBoard(serial=serial) as board:
        output("esptool", "--port", board.port, "write-flash", "0x9000", wanted)
        said = output("esptool", "--port", board.port, "verify-flash", "0x9000", wanted)
        assert "Verification successful" in said
        output("esptool", "--port", board.port, "read-flash", "0x9000", "10243", tmp_path / "read.bin")
        assert (tmp_path / "read.bin").read_bytes() == wanted.read_bytes()
        wanted.write_bytes(b"something else")
        assert start("esptool", "--port", board.port, "verify-flash", "0x9000", wanted).returncode != 0


def test_esptool_resets_a_board_behind_rfc2217_by_its_lines(flash_copy: FlashCopy) -> None:
    """Each request costs pyserial some 0.2 s of polling there, so it is given few."""
    with RunningBoard(serial="rfc2217", flash=flash_copy()) as board:
        assert mpremote(board, "exec", "print(6*7)") == "42\n"
        said = output("esptool", "--port", board.port, "--before", "default-reset", "read-mac")
        assert board.facts["mac"] in said
        assert mpremote(board, "exec", "import machine; print(machine.reset_cause())") in ("1\n", "5\n")


@pytest.mark.parametrize("name", BOARDS)
def test_esptool_verifies_what_communode_flashed(name: str, flash_copy: FlashCopy, built: FirstBuild) -> None:
    folder = built(name, "air")
    manifest = json.loads((folder / "manifest.json").read_text())
    regions = [(hex(region["offset"]), str(folder / region["file"])) for region in manifest["regions"]]
    with RunningBoard(name, flash=flash_copy(name)) as board:
        arguments = [part for region in regions for part in region]
        said = output("esptool", "--port", board.port, "verify-flash", *arguments)
    assert said.count("Verification successful") == len(regions)


def test_a_device_image_on_a_virtual_board_is_refused_before_anything_is_written(
    tmp_path: Path, micropython: str
) -> None:
    flash = tmp_path / "board.flash"
    with RunningBoard(flash=flash) as board:
        what = ("--board", "virtual", "--profile", "air")  # and the body is that of a device
        done = start("communode", "flash", *what, "--port", board.port, "--json")
    assert done.returncode == 1
    events = [json.loads(line) for line in done.stdout.splitlines()]
    verdicts = [event["verdict"] for event in events if event.get("verdict")]
    assert verdicts == ["failed"]
    assert set(flash.read_bytes()) == {0xFF}


# mpremote


@pytest.mark.parametrize("name", BOARDS)
def test_mpremote_meets_the_official_image_of_each_board(name: str, flash_copy: FlashCopy) -> None:
    board = load_board(name)
    code = "import sys, os; print(sys.platform, sys.implementation.version, os.uname().machine)"
    with RunningBoard(name, flash=flash_copy(name)) as running:
        said = mpremote(running, "exec", code)
        files = mpremote(running, "ls")
    machine = CHIPS[board.chip].replace("-", "")
    assert said == f"esp32 (1, 27, 0, '') Generic {machine} module with {machine}\n"
    names = {line.split()[1] for line in files.splitlines()[1:]}
    assert names >= {"boot.py", "main.py"}


@pytest.mark.parametrize("serial", ["pty", "socket", "rfc2217"])
def test_mpremote_copies_both_ways_runs_and_removes(
    serial: str, flash_copy: FlashCopy, tmp_path: Path
) -> None:
    text = "print('from the board', 1 << 40)\n" + "# filler \u00e9\n" * 500
    script = tmp_path / "there.py"
    script.write_text(text, "utf-8")
    with RunningBoard(serial=serial, flash=flash_copy()) as board:
        mpremote(board, "cp", script, ":there.py")
        assert mpremote(board, "exec", "import there") == "from the board 1099511627776\n"
        mpremote(board, "cp", ":there.py", tmp_path / "back.py")
        assert (tmp_path / "back.py").read_text("utf-8") == text
        assert mpremote(board, "run", script) == "from the board 1099511627776\n"
        mpremote(board, "rm", ":there.py")
        assert "there.py" not in mpremote(board, "ls")


def test_files_survive_the_board_being_unplugged(flash_copy: FlashCopy, tmp_path: Path) -> None:
    flash = flash_copy()
    (tmp_path / "kept.txt").write_text("kept")
    with RunningBoard(flash=flash) as board:
        mpremote(board, "cp", tmp_path / "kept.txt", ":kept.txt")
    with RunningBoard(flash=flash) as board:
        assert mpremote(board, "cat", "kept.txt") == "kept"


@pytest.mark.parametrize("serial", ["pty", "socket"])
def test_mpremote_mounts_a_folder_of_the_computer(serial: str, flash_copy: FlashCopy, tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "here.py").write_text("print('only on the computer')\n")
    with RunningBoard(serial=serial, flash=flash_copy()) as board:
        code = "import here; open('/remote/new.txt', 'w').write('x')"
        said = mpremote(board, "mount", folder, "exec", code)
        assert "only on the computer" in said
        assert (folder / "new.txt").read_text() == "x"
        assert start("mpremote", "connect", board.port, "exec", "import here").returncode != 0


def test_a_soft_reset_forgets_names_and_resume_keeps_them(mpremote_board: RunningBoard) -> None:
    mpremote(mpremote_board, "exec", "kept = 5")
    assert mpremote(mpremote_board, "resume", "exec", "print(kept)") == "5\n"
    mpremote(mpremote_board, "soft-reset")
    after = "print('kept' in globals()); import machine; print(machine.reset_cause())"
    assert mpremote(mpremote_board, "resume", "exec", after) == "False\n5\n"


def test_a_reset_starts_the_program_anew(mpremote_board: RunningBoard) -> None:
    mpremote(mpremote_board, "exec", "import machine; machine.RTC().memory(b'kept')")
    mpremote(mpremote_board, "reset")
    after = "import machine; print(machine.reset_cause(), machine.RTC().memory())"
    time.sleep(0.5)
    assert mpremote(mpremote_board, "resume", "exec", after) == "2 b'kept'\n"


def test_an_exception_on_the_board_fails_mpremote_with_its_traceback(mpremote_board: RunningBoard) -> None:
    done = start("mpremote", "connect", mpremote_board.port, "exec", "1/0")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stdout + done.stderr


def test_output_of_many_kilobytes_arrives_whole(mpremote_board: RunningBoard) -> None:
    said = mpremote(mpremote_board, "exec", "for n in range(4000): print('line', n)")
    assert said.splitlines() == [f"line {n}" for n in range(4000)]


# ampy


def test_ampy_lists_puts_gets_runs_and_removes(mpremote_board: RunningBoard, tmp_path: Path) -> None:
    port = mpremote_board.port
    script = tmp_path / "script.py"
    script.write_text("print('ampy', 2 + 3)\n")
    assert "/main.py" in output("ampy", "-p", port, "ls").splitlines()
    output("ampy", "-p", port, "put", script, "other.py")
    assert output("ampy", "-p", port, "get", "other.py").strip() == "print('ampy', 2 + 3)"
    assert output("ampy", "-p", port, "run", script) == "ampy 5\n"
    output("ampy", "-p", port, "rm", "other.py")
    assert "/other.py" not in output("ampy", "-p", port, "ls").splitlines()


# pytest-embedded


def test_a_pytest_embedded_test_passes(mpremote_board: RunningBoard, tmp_path: Path) -> None:
    (tmp_path / "test_board.py").write_text(
        "def test_the_prompt_computes(dut):\n"
        "    dut.write(b'\\r\\x03')\n"
        "    dut.expect_exact('>>> ', timeout=10)\n"
        "    dut.write(b'import sys; print(sys.platform, 6 * 7)\\r')\n"
        "    dut.expect(r'esp32 42', timeout=10)\n"
    )
    arguments = ("-p", "no:cacheprovider", "--embedded-services", "serial", "--port", mpremote_board.port)
    assert "1 passed" in output("pytest", *arguments, "test_board.py", folder=tmp_path)


# A node that works


def test_tools_get_in_while_a_provisioned_node_runs_and_while_it_sleeps(flash_copy: FlashCopy) -> None:
    with RunningBoard(flash=flash_copy("virtual", "water"), profile="water") as board:
        said = output("communode", "provision", "--board", "virtual", "--port", board.port)
        assert DEV_EUI in said + said.lower()
        assert mpremote(board, "exec", "print('during the first seconds')") == "during the first seconds\n"
        for pause_s in (0.3, 4.0):  # starting; at work
            mpremote(board, "reset")
            time.sleep(pause_s)
            assert mpremote(board, "exec", "print(6*7)") == "42\n"
        mpremote(board, "exec", "--no-follow", "import machine; machine.deepsleep(600_000)")
        time.sleep(0.5)
        assert mpremote(board, "exec", "import machine; print('awake')") == "awake\n"
        mpremote(board, "exec", "--no-follow", "import machine; machine.deepsleep(600_000)")
        time.sleep(0.5)
        assert "Detected flash size" in output("esptool", "--port", board.port, "flash-id")


def test_the_console_shows_boot_banner_program_and_prompt(flash_copy: FlashCopy) -> None:
    with RunningBoard(flash=flash_copy()) as board:
        console = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
        try:
            os.write(console, b"\r\x03\x03")
            read_until(console, rb">>> ")
            os.write(console, b"import machine\rmachine.reset()\r")
            seen = read_until(console, rb"not provisioned: communode provision --port PORT[^>]*>>> ")
            assert b"MicroPython v1.27.0" in seen
            os.write(console, b"\x04")
            seen = read_until(console, rb"not provisioned[^>]*>>> ")
            assert b"MPY: soft reboot\r\n" in seen
            assert re.search(rb"(?<!\r)\n", seen) is None
            os.write(console, b"x = 3\rprint(x, x)\r")
            read_until(console, rb"\r\n3 3\r\n>>> ")
            os.write(console, b"\x01")
            seen = read_until(console, rb"raw REPL; CTRL-B to exit\r\n>")
            os.write(console, b"print(x)\x04")
            read_until(console, rb"OK3\r?\n\x04\x04>")
        finally:
            os.close(console)


def test_ctrl_c_does_not_break_into_what_takes_a_lock(flash_copy: FlashCopy) -> None:
    """The unix port would hang at the next new name; a chip's console has no such lock."""
    busy = "for n in range(10**6): pass\\nfor n in range(300): exec('name_%d = 0' % n)"
    with RunningBoard(flash=flash_copy()) as board:
        console = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
        try:
            os.write(console, b"\r\x03\x03")
            read_until(console, rb">>> ")
            os.write(console, f'exec("{busy}\\nimport time; print(n)\\ntime.sleep(60)")\r'.encode())
            seen = read_until(console, rb"\)\r\n")  # the echo: it runs now
            os.write(console, b"\x03")
            seen += read_until(console, rb"KeyboardInterrupt:[^>]*>>> ")
            assert b"\r\n299\r\n" in seen
            os.write(console, b"while True: pass\r\n\r\n")
            read_until(console, rb"pass\r\n[^>]*\r\n")
            os.write(console, b"\x03")
            read_until(console, rb"KeyboardInterrupt:[^>]*>>> ")
            os.write(console, b"never_heard_of = 6 * 7; print(never_heard_of)\r")
            read_until(console, rb"\r\n42\r\n>>> ")
        finally:
            os.close(console)
