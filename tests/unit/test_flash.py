# SPDX-License-Identifier: MIT
"""Flashing: real esptool processes against boards that are right, wrong, busy, dying or lying."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from communode.boards import load_board
from communode.build import Build, Region, build
from communode.errors import CommunodeError
from communode.flash import (
    Flasher,
    Job,
    Outcome,
    Seen,
    check_port,
    check_ports,
    job_for,
    parts_of,
    run_jobs,
)
from communode.profiles import load_profile
from littlefs import LittleFS, UserContext
from loader_board import LoaderBoard


@pytest.fixture(scope="module")
def image() -> Build:
    return build(load_board("virtual"), load_profile("air"), body="virtual")


def flash(job: Job, events: list[dict[str, Any]] | None = None) -> Outcome:
    """Run one job; collect its events."""
    return run_jobs([job], "virtual", (events if events is not None else []).append)[0]


def refusal(outcome: Outcome) -> str:
    """The code of a failed outcome."""
    assert outcome.error is not None
    assert outcome.verdict == "failed"
    assert "\n" not in str(outcome.error)
    return outcome.error.code


def test_a_new_board_is_written_verified_and_good(image: Build, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    with LoaderBoard(tmp_path) as board:
        outcome = flash(job_for(image, board.port), events)
        for region in image.regions:
            assert board.flash.read(region.offset, len(region.data)) == region.data
    assert outcome.verdict == "good"
    assert outcome.mac == "02:00:00:00:00:01"
    keys = {"event", "port", "board", "chip", "mac", "stage", "pct", "speed_bps", "verdict", "error"}
    assert all(set(event) == keys for event in events)
    assert [event["verdict"] for event in events if event["verdict"]] == ["good"]
    percentages = [event["pct"] for event in events if event["stage"] == "write"]
    assert percentages == sorted(percentages)
    assert percentages[-1] == 100


def test_flashing_leaves_identity_state_and_records_alone(image: Build, tmp_path: Path) -> None:
    kept = [image.partition(name) for name in ("nvs", "state", "journal")]
    with LoaderBoard(tmp_path) as board:
        for item in kept:
            board.flash.program(item.offset, b"precious")
            board.flash.program(item.end - 8, b"precious")
        assert flash(job_for(image, board.port)).verdict == "good"
        for item in kept:
            assert board.flash.read(item.offset, 8) == b"precious"
            assert board.flash.read(item.end - 8, 8) == b"precious"


def test_factory_erases_identity_state_and_records(image: Build, tmp_path: Path) -> None:
    kept = [image.partition(name) for name in ("nvs", "state", "journal")]
    with LoaderBoard(tmp_path) as board:
        for item in kept:
            board.flash.program(item.end - 8, b"precious")
        assert flash(job_for(image, board.port, factory=True)).verdict == "good"
        for item in kept:
            assert set(board.flash.read(item.offset, item.size)) == {0xFF}


@pytest.mark.parametrize(
    ("board", "code"),
    [
        ({"chip": "esp32c3"}, "flash.wrong_chip"),
        ({"chip": "esp32"}, "flash.wrong_chip"),
        ({"mac": "f412fa000001"}, "flash.wrong_body"),
        ({"flash_mb": 2}, "flash.too_small"),
        ({"flash_mb": 8}, "flash.wrong_size"),
    ],
)
def test_the_wrong_board_is_refused_before_anything_is_written(
    image: Build, tmp_path: Path, board: dict[str, Any], code: str
) -> None:
    with LoaderBoard(tmp_path, **board) as wrong:
        outcome = flash(job_for(image, wrong.port))
        assert refusal(outcome) == code
        assert set(wrong.flash.read(0, wrong.flash.size)) == {0xFF}
        assert wrong.writes == 0


def test_a_board_that_dies_half_way_is_never_good(image: Build, tmp_path: Path) -> None:
    with LoaderBoard(tmp_path) as board:
        board.die_after = 30
        outcome = flash(replace(job_for(image, board.port), attempts=1))
        assert refusal(outcome) == "flash.link"


@pytest.mark.parametrize(("deaf_for", "verdict"), [(1, "good"), (2, "failed")])
def test_a_board_that_does_not_answer_is_asked_once_more(
    image: Build, tmp_path: Path, deaf_for: int, verdict: str
) -> None:
    opened = 0

    def open_deaf() -> None:
        nonlocal opened
        opened += 1
        board.end.on_bytes = board.loader.feed if opened > deaf_for else lambda data: None
        board.loader.reset()

    with LoaderBoard(tmp_path) as board:
        board.end.on_open = open_deaf
        events: list[dict[str, Any]] = []
        assert flash(replace(job_for(image, board.port), attempts=1), events).verdict == verdict
        assert sum(event["stage"] == "retry" for event in events) == 1
        assert opened == 2


def test_what_is_there_already_is_not_written_again(image: Build, tmp_path: Path) -> None:
    with LoaderBoard(tmp_path) as board:
        first = flash(job_for(image, board.port))
        assert first.written == sum(len(part.data) for region in image.regions for part in parts_of(region))
        writes = board.writes
        again = flash(job_for(image, board.port))
        assert (again.verdict, again.written) == ("good", 0)
        assert board.writes == writes
        changed = image.region("factory").offset + 0x50000
        board.flash.program(changed, b"\0")
        mended = flash(job_for(image, board.port))
        assert mended.verdict == "good"
        assert mended.written == 64 << 10  # the one piece that differs
        for region in image.regions:
            for part in parts_of(region):
                assert board.flash.read(part.offset, len(part.data)) == part.data


def test_a_write_that_was_cut_short_goes_on_where_it_was(image: Build, tmp_path: Path) -> None:
    with LoaderBoard(tmp_path) as board:
        board.die_after = 60
        assert refusal(flash(replace(job_for(image, board.port), attempts=1))) == "flash.link"
        board.revive()
        outcome = flash(job_for(image, board.port))
        whole = sum(len(part.data) for region in image.regions for part in parts_of(region))
        assert outcome.verdict == "good"
        assert 0 < outcome.written < 0.7 * whole
        for region in image.regions:
            for part in parts_of(region):
                assert board.flash.read(part.offset, len(part.data)) == part.data


def test_a_new_file_system_replaces_an_older_one_whatever_lies_in_its_blank_blocks(image: Build) -> None:
    """The older one was written to more often: if half of its root survived, it would count as the newer."""
    region = image.region("vfs")
    older = LittleFS(
        block_size=4096,
        block_count=len(region.data) // 4096,
        read_size=32,
        prog_size=32,
        lookahead_size=32,
        cache_size=128,
        disk_version=0x20000,
    )
    for number in range(200):
        older.makedirs(f"node/{number % 7}", exist_ok=True)
        with older.open(f"node/{number % 7}/file{number}.py", "wb") as stream:
            stream.write(os.urandom(2000))
        with older.open("main.py", "wb") as stream:
            stream.write(b"old" * number)
    flash_now = bytearray(older.context.buffer)
    for part in parts_of(region):
        start = part.offset - region.offset
        flash_now[start : start + len(part.data)] = part.data
    wanted = _files_of(bytearray(region.data))
    assert set(wanted) >= {"boot.py", "main.py", "node.pack"}, "flat: no other directory could be half old"
    assert _files_of(flash_now) == wanted


def _files_of(image: bytearray) -> dict[str, bytes]:
    """The root directory of a LittleFS image and its files."""
    context = UserContext(len(image))
    context.buffer = image
    mounted = LittleFS(context, block_size=4096, block_count=len(image) // 4096, mount=True)
    found = {}
    for name in mounted.listdir("/"):
        with mounted.open(name, "rb") as stream:
            found[name] = stream.read()
    return found


def test_the_board_is_known_before_anything_is_written_and_may_be_refused(
    image: Build, tmp_path: Path
) -> None:
    seen: list[Seen] = []

    def refuse(board: Seen) -> list[Region]:
        seen.append(board)
        raise CommunodeError("flash.wrong_chip", port="-", found="-", expected="-")

    nvs = image.partition("nvs")
    more = Region("nvs", nvs.offset, b"identity")
    with LoaderBoard(tmp_path) as board:
        job = replace(job_for(image, board.port), look={"offset": nvs.offset, "size": nvs.size})
        flasher = Flasher("virtual", lambda event: None)
        assert refusal(flasher.run(job, refuse)) == "flash.wrong_chip"
        assert board.writes == 0
        assert [replace(board, flash_id=None) for board in seen] == [
            Seen("02:00:00:00:00:01", "esp32s3", None, flash_mb=4)
        ]
        assert all(len(board.flash_id or "") == 6 for board in seen)
        assert flasher.run(job, lambda board: [more]).verdict == "good"
        assert board.flash.read(nvs.offset, 8) == b"identity"


def test_a_flash_that_stores_something_else_is_never_good(image: Build, tmp_path: Path) -> None:
    with LoaderBoard(tmp_path) as board:
        stuck = image.region("factory").offset + 0x1234
        board.flash.program(stuck, b"\0")  # a cell that erasing does not mend

        def stick(kind: str, offset: int, data: bytes) -> None:
            board.writes += kind == "program"

        board.flash.on_operation = stick
        erase = board.flash.erase

        def weak_erase(offset: int, length: int) -> None:
            erase(offset, length)
            if offset <= stuck < offset + length:
                board.flash.program(stuck, b"\0")

        board.flash.erase = weak_erase  # type: ignore[method-assign]
        outcome = flash(replace(job_for(image, board.port), attempts=1, baud=115200))
        assert refusal(outcome) == "flash.link"
        assert outcome.error is not None
        assert "MD5" in outcome.error.message


def test_a_worker_that_is_killed_is_never_good(image: Build, tmp_path: Path) -> None:
    killed = threading.Event()

    def kill_at_half(event: dict[str, Any]) -> None:
        if event["stage"] == "write" and event["pct"] >= 50 and not killed.is_set():
            for worker in _workers():
                os.kill(worker, 9)
            killed.set()

    with LoaderBoard(tmp_path) as board:
        outcome = run_jobs([job_for(image, board.port)], "virtual", kill_at_half)[0]
        assert killed.is_set()
        assert refusal(outcome) == "flash.worker_died"


def _workers() -> list[int]:
    """The esptool workers that this process started."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "esptool_worker" in line]


def test_good_boards_are_finished_while_others_fail(image: Build, tmp_path: Path) -> None:
    with (
        LoaderBoard(tmp_path) as good,
        LoaderBoard(tmp_path, mac="020000000002", chip="esp32c3") as wrong,
    ):
        jobs = [job_for(image, port) for port in (good.port, wrong.port, str(tmp_path / "unplugged"))]
        outcomes = run_jobs(jobs, "virtual", lambda event: None)
    assert [outcome.verdict for outcome in outcomes] == ["good", "failed", "failed"]
    assert [refusal(outcome) for outcome in outcomes[1:]] == ["flash.wrong_chip", "flash.no_port"]


def test_one_port_by_two_names_is_refused(tmp_path: Path) -> None:
    with LoaderBoard(tmp_path) as board:
        for second in (board.port, os.path.realpath(board.port)):
            with pytest.raises(CommunodeError) as caught:
                check_ports([board.port, second])
            assert caught.value.code == "flash.port_twice"
            assert caught.value.usage


def test_a_port_held_by_another_process_names_it(tmp_path: Path) -> None:
    program = (
        "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print(flush=True); sys.stdin.read()"
    )
    with LoaderBoard(tmp_path) as board:
        command = [sys.executable, "-c", program, board.port]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            with pytest.raises(CommunodeError) as caught:
                check_port(board.port)
            assert caught.value.code == "flash.port_busy"
            assert str(holder.pid) in caught.value.message
            holder.communicate()
        check_port(board.port)


def test_the_process_that_plays_the_board_is_no_rival(tmp_path: Path) -> None:
    program = "import os; m, s = os.openpty(); print(os.ttyname(s), flush=True); input()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as player:
        assert player.stdout is not None
        check_port(player.stdout.readline().strip())
        player.communicate("\n")


def test_the_worker_alone_imports_esptool() -> None:
    program = (
        "import communode.flash, communode.provision, sys; print([m for m in sys.modules if 'esptool' in m])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def cli(*arguments: str, wait: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    command = [sys.executable, "-m", "communode", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=wait)


def test_the_command_streams_events_and_exits_with_the_verdict(tmp_path: Path) -> None:
    with LoaderBoard(tmp_path) as board:
        done = cli(
            "flash",
            "--board",
            "virtual",
            "--profile",
            "bin",
            "--body",
            "virtual",
            "--port",
            board.port,
            "--json",
        )
        assert done.returncode == 0, done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines()]
        assert events[-1]["verdict"] == "good"
        again = cli("flash", "--board", "virtual", "--profile", "bin", "--port", board.port, "--json")
    assert again.returncode == 1
    last = json.loads(again.stdout.splitlines()[-1])
    assert (last["verdict"], last["error"]["code"]) == ("failed", "flash.wrong_body")
    assert "--body virtual" in last["error"]["remedy"]


def test_the_command_takes_a_build_folder_for_its_board_only(image: Build, tmp_path: Path) -> None:
    image.write(tmp_path / "image")
    base = ["flash", "--profile", "air", "--image", str(tmp_path / "image"), "--port", str(tmp_path / "none")]
    wrong = cli(*base, "--board", "heltec_ht_ct62", "--json")
    assert wrong.returncode == 2
    assert json.loads(wrong.stdout)["error"]["code"] == "flash.other_board"
    (tmp_path / "image" / "factory.bin").write_bytes(b"half")
    cut = cli(*base, "--board", "virtual")
    assert cut.returncode == 2
    assert len(cut.stderr.splitlines()) == 1
    assert "Traceback" not in cut.stderr


def test_an_interrupt_ends_the_workers(image: Build, tmp_path: Path) -> None:
    image.write(tmp_path / "image")
    with LoaderBoard(tmp_path) as board:
        command = [sys.executable, "-m", "communode", "flash", "--board", "virtual", "--json"]
        command += ["--image", str(tmp_path / "image"), "--port", board.port]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if json.loads(line)["stage"] == "write":
                    process.send_signal(2)
                    break
            rest = process.stdout.read()
            assert process.wait(timeout=20) == 130
        assert '"good"' not in rest
    assert _eventually(lambda: not _any_worker(board.port))


def _any_worker(port: str) -> bool:
    listed = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True).stdout
    return "esptool_worker" in listed and port in listed


def _eventually(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False
