# SPDX-License-Identifier: MIT
"""A tray of boards that have but a loader: who gets an identity, who is refused, what is kept."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from communode.batch_folder import BatchFolder, BoardRecord
from communode.boards import load_board
from communode.build import Build, build
from communode.errors import CommunodeError
from communode.flash import Outcome, Seen
from communode.fleet.register import Register
from communode.link.sources import FolderPorts, PortWatch
from communode.nvs_image import identity_in
from communode.profiles import load_profile
from communode.provisioning.run import BatchRun, Choices
from communode.tray import Tray
from fleet_bench import FakeNetwork, new_batch, open_vault
from loader_board import LoaderBoard


@pytest.fixture(scope="module")
def image() -> Build:
    """A small image: what a tray does with boards does not depend on how much is written."""
    made = build(load_board("virtual"), load_profile("air"), body="virtual")
    return replace(made, regions=tuple(item for item in made.regions if item.name != "factory"))


class Bench:
    """What a test needs to run trays one after another on the same batch."""

    def __init__(self, image: Build, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.image = image
        self.folder = folder
        self.register = Register(folder / "fleet.sqlite")
        self.vault = open_vault(folder)
        self.network = FakeNetwork()
        self.labels = folder / "labels"
        self.events: list[dict[str, Any]] = []

    def close(self) -> None:
        self.register.close()
        self.vault.close()

    def tray(self, **choices: bool) -> Tray:
        batch = new_batch(labels=self.labels)
        run = BatchRun(batch, self.register, self.vault, self.network, Choices(**choices))
        records = BatchFolder(self.folder / "batch")
        return Tray(batch.board, self.image, records, self.events.append, batch_run=run)

    def generations(self) -> list[int]:
        return [self.vault.generation(node["dev_eui"]) for node in self.register.nodes()]

    def run(self, *ports: str, **choices: bool) -> list[Outcome]:
        return self.tray(**choices).run(ports)

    def record(self, mac: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.folder / "batch" / f"{mac}.json").read_text())
        return record


@pytest.fixture
def bench(image: Build, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(image, tmp_path)
    yield made
    made.close()


def codes(outcomes: list[Outcome]) -> list[str]:
    return [outcome.error.code if outcome.error else "good" for outcome in outcomes]


def identity_on(board: LoaderBoard, image: Build) -> str | None:
    nvs = image.partition("nvs")
    return identity_in(board.flash.read(nvs.offset, nvs.size))


def test_a_board_gets_image_identity_join_and_label_in_one_go(bench: Bench, tmp_path: Path) -> None:
    with LoaderBoard(tmp_path) as board:
        (outcome,) = bench.run(board.port)
        assert outcome.verdict == "good"
        assert identity_on(board, bench.image) == "020000fffe000001"
    record = bench.record("020000000001")
    assert set(record["steps"]) == {"flashed", "identified", "joined", "labelled"}
    assert (record["dev_eui"], record["dev_addr"]) == ("020000fffe000001", "01000001")
    identity = bench.vault.identity(bytes.fromhex(record["dev_eui"]))
    assert bench.network.devices[record["dev_eui"]].app_key == identity.app_key
    assert {path.name for path in bench.labels.iterdir()} == {"020000fffe000001.png", "lot-7.pdf"}
    stages = [event["stage"] for event in bench.events]
    assert [stage for stage in ("check", "guard", "write", "label", "done") if stage in stages] == [
        "check",
        "guard",
        "write",
        "label",
        "done",
    ]
    assert [event["verdict"] for event in bench.events if event["verdict"]] == ["good"]


def test_a_second_run_writes_nothing_and_draws_no_new_keys(bench: Bench, tmp_path: Path) -> None:
    with LoaderBoard(tmp_path) as board:
        bench.run(board.port)
        writes = board.writes
        (again,) = bench.run(board.port)
        assert (again.verdict, again.written, board.writes) == ("good", 0, writes)
    assert bench.generations() == [1]
    assert bench.record("020000000001")["attempts"] == 2


def test_keys_of_a_board_that_died_are_used_when_it_is_back(bench: Bench, tmp_path: Path) -> None:
    with LoaderBoard(tmp_path) as board:
        board.die_after = 1
        assert codes(bench.run(board.port)) == ["flash.link"]
        assert bench.record("020000000001")["verdict"] == "failed"
        assert bench.record("020000000001")["error"]["remedy"]
        board.revive()
        assert codes(bench.run(board.port)) == ["good"]
        assert identity_on(board, bench.image) == "020000fffe000001"
    assert bench.generations() == [1]


def test_of_two_boards_with_one_address_only_the_first_is_written(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with LoaderBoard(tmp_path) as one, LoaderBoard(tmp_path / "other") as two:
        outcomes = bench.run(one.port, two.port)
        assert sorted(codes(outcomes)) == ["good", "tray.same_mac"]
        loser, winner = (one, two) if outcomes[0].error else (two, one)
        assert loser.writes == 0
        assert bench.record("020000000001")["verdict"] == "good"
        # In another run the clone alone looks like the board that was done, without its identity.
        assert codes(bench.run(loser.port)) == ["registration.identity_lost"]
        assert loser.writes == 0
        assert codes(bench.run(winner.port)) == ["good"]


@pytest.mark.parametrize("slow", ["board", "double"])
def test_it_does_not_matter_whether_a_board_or_its_double_is_quicker(
    bench: Bench, tmp_path: Path, slow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    with LoaderBoard(tmp_path) as board, LoaderBoard(tmp_path / "other") as double:
        assert codes(bench.run(board.port)) == ["good"]
        late = (board if slow == "board" else double).port
        claim = Tray._claim

        def claim_late(tray: Tray, port: str, seen: Seen) -> None:
            if port == late:
                threading.Event().wait(1.0)
            claim(tray, port, seen)

        monkeypatch.setattr(Tray, "_claim", claim_late)
        for choices in ({}, {"restore": True}):
            assert codes(bench.run(double.port, board.port, **choices)) == ["tray.same_mac", "good"]
        assert double.writes == 0


def test_a_refused_double_leaves_the_place_to_its_board(bench: Bench, tmp_path: Path) -> None:
    """Also where the board is plugged in later."""
    (tmp_path / "other").mkdir()
    (tmp_path / "ports").mkdir()
    with LoaderBoard(tmp_path) as board, LoaderBoard(tmp_path / "other") as double:
        assert codes(bench.run(board.port)) == ["good"]
        tray = bench.tray()
        outcomes: list[Outcome] = []
        source = FolderPorts(tmp_path / "ports")
        watching = threading.Thread(target=lambda: outcomes.extend(tray.watch(source, count=1)))
        (tmp_path / "ports" / "1").symlink_to(double.port)
        watching.start()
        _wait(lambda: bench.events[-1]["verdict"] == "failed")
        (tmp_path / "ports" / "2").symlink_to(board.port)
        watching.join(30)
    assert codes(outcomes) == ["registration.identity_lost", "good"]


def test_an_identity_of_elsewhere_is_overwritten_only_when_that_is_asked_for(
    bench: Bench, image: Build, tmp_path: Path
) -> None:
    with LoaderBoard(tmp_path) as board:
        bench.run(board.port)
        other = Bench(image, tmp_path / "elsewhere")
        assert codes(other.run(board.port)) == ["provision.exists"]
        assert codes(other.run(board.port, replace=True)) == ["good"]
        other.close()


def test_a_node_that_is_not_heard_joining_is_not_done(bench: Bench, tmp_path: Path) -> None:
    bench.network.silent.add("020000fffe000001")
    with LoaderBoard(tmp_path) as board:
        assert codes(bench.run(board.port)) == ["registration.no_join"]
        assert set(bench.record("020000000001")["steps"]) == {"flashed", "identified"}
        assert not bench.labels.exists()
        bench.network.silent.clear()
        (mended,) = bench.run(board.port)
        assert (mended.verdict, mended.written) == ("good", 0)
    assert len(list(bench.labels.iterdir())) == 2


def test_without_a_network_server_a_board_is_labelled_and_made_known_once_there_is_one(
    bench: Bench, tmp_path: Path
) -> None:
    network, bench.network = bench.network, None  # type: ignore[assignment]
    with LoaderBoard(tmp_path) as board:
        assert codes(bench.run(board.port)) == ["good"]
        assert len(list(bench.labels.iterdir())) == 2
        assert set(bench.record("020000000001")["steps"]) == {"flashed", "identified"}
        bench.network = network
        assert codes(bench.run(board.port)) == ["good"]
    assert list(network.devices) == ["020000fffe000001"]
    assert set(bench.record("020000000001")["steps"]) == {"flashed", "identified", "joined", "labelled"}


def test_boards_are_taken_as_they_are_plugged_in(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "by-path"
    folder.mkdir()
    tray = bench.tray()
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.extend(tray.watch(FolderPorts(folder), count=2)))
    with LoaderBoard(tmp_path) as one, LoaderBoard(tmp_path, mac="020000000002") as two:
        thread.start()
        socket = folder / "socket1"
        socket.symlink_to(one.port)
        _wait(lambda: any(event["verdict"] for event in bench.events))
        socket.unlink()
        _wait(lambda: any(event["stage"] == "gone" for event in bench.events))
        socket.symlink_to(two.port)  # the same place, the next board
        thread.join(30)
        assert not thread.is_alive()
    assert [outcome.mac for outcome in outcomes] == ["02:00:00:00:00:01", "02:00:00:00:00:02"]
    assert codes(outcomes) == ["good", "good"]
    assert len(list(bench.labels.iterdir())) == 3


def _wait(condition: Callable[[], bool]) -> None:
    for _ in range(300):
        if condition():
            return
        threading.Event().wait(0.1)
    raise AssertionError("it did not come")


class Ports:
    """A source that says what a test sets."""

    def __init__(self) -> None:
        self.now: list[str] = []

    def ports(self) -> list[str]:
        return self.now


def test_a_port_counts_once_it_has_settled_and_again_after_it_was_gone() -> None:
    source, clock = Ports(), [0.0]
    watch = PortWatch(source, settle_s=0.3, clock=lambda: clock[0])
    source.now = ["a"]
    assert watch.look().arrived == ()
    clock[0] = 0.4
    assert watch.look().arrived == ("a",)
    assert watch.look() == watch.look()
    source.now = ["b"]
    change = watch.look()
    assert (change.arrived, change.gone) == ((), ("a",))
    source.now = ["a", "b"]
    clock[0] = 0.9
    assert watch.look().arrived == ("b",)
    clock[0] = 1.3
    assert watch.look().arrived == ("a",)


def test_a_port_that_flickers_while_it_settles_never_counted() -> None:
    source, clock = Ports(), [0.0]
    watch = PortWatch(source, settle_s=0.3, clock=lambda: clock[0])
    for time_s, present in ((0.0, ["a"]), (0.2, []), (0.3, ["a"]), (0.5, [])):
        clock[0], source.now = time_s, present
        change = watch.look()
        assert (change.arrived, change.gone) == ((), ())


def test_a_folder_of_links_lists_those_that_lead_somewhere(tmp_path: Path) -> None:
    (tmp_path / "there").symlink_to("/dev/null")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    (tmp_path / "folder").mkdir()
    assert FolderPorts(tmp_path).ports() == [str(tmp_path / "there")]
    assert FolderPorts(tmp_path / "missing").ports() == []


def test_records_outlive_the_run_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    folder = BatchFolder(tmp_path)
    record = folder.record("02:00:00:00:00:01", "virtual")
    record.reach("flashed")
    folder.save(record)
    (again,) = BatchFolder(tmp_path).records()
    assert isinstance(again, BoardRecord)
    assert again == record
    (tmp_path / "020000000002.json").write_text('{"schema": 1, "mac": 5, "surprise": 1}')
    with pytest.raises(CommunodeError) as caught:
        BatchFolder(tmp_path)
    assert caught.value.code == "tray.bad_record"
    assert "020000000002.json" in caught.value.message


def test_the_live_table_shows_each_board_and_why_one_failed(image: Build, tmp_path: Path) -> None:
    """On a terminal, as a person sees it: the verdicts stay, and the reason is not drawn over."""
    write_small(image, tmp_path / "image")
    with LoaderBoard(tmp_path) as one, LoaderBoard(tmp_path, mac="020000000002", chip="esp32c3") as two:
        arguments = ["flash", "--board", "virtual", "--image", str(tmp_path / "image")]
        shown = on_terminal([*arguments, "--port", one.port, "--port", two.port])
    last = shown[shown.rindex("verdict") :]
    rows = [line.split() for line in last.splitlines() if "02:00:00:00:00:0" in line]
    rows.sort(key=lambda row: row[3])  # verdicts stand in the order in which they fell
    assert [(row[1], row[2], row[3], row[-1]) for row in rows] == [
        ("virtual", "esp32s3", "02:00:00:00:00:01", "good"),
        ("virtual", "esp32c3", "02:00:00:00:00:02", "failed"),
    ]
    assert "Nothing was written." in shown
    assert "1 of 2 boards are good." in last


def on_terminal(arguments: list[str]) -> str:
    """What the command shows on a wide terminal, without its control sequences."""
    leader, follower = os.openpty()
    termios.tcsetwinsize(follower, (40, 200))
    environment = os.environ | {"TERM": "xterm", "NO_COLOR": "1", "COMMUNODE_LANG": "en"}
    for size in ("COLUMNS", "LINES"):  # the terminal's own counts; readline sets these when it is imported
        environment.pop(size, None)
    command = [sys.executable, "-m", "communode", *arguments]
    with subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environment
    ) as process:
        os.close(follower)
        seen = bytearray()
        with suppress(OSError):  # the end of a terminal
            while part := os.read(leader, 65536):
                seen += part
        process.wait(30)
    os.close(leader)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())


def write_small(image: Build, folder: Path) -> None:
    """A build folder of the small image."""
    image.write(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    names = {region.name for region in image.regions}
    manifest["regions"] = [item for item in manifest["regions"] if item["name"] in names]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_the_command_wants_ports_or_a_bench_to_watch(tmp_path: Path) -> None:
    base = [sys.executable, "-m", "communode", "flash", "--board", "virtual"]
    for arguments in ([], ["--watch", "--port", "x"], ["--port", "x", "--count", "1"]):
        done = subprocess.run(base + arguments, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2, arguments
        assert "Traceback" not in done.stderr


def test_the_command_flashes_what_is_plugged_in_and_keeps_records(image: Build, tmp_path: Path) -> None:
    write_small(image, tmp_path / "image")
    (tmp_path / "ports").mkdir()
    with LoaderBoard(tmp_path) as board:
        os.symlink(board.port, tmp_path / "ports" / "one")
        command = [sys.executable, "-m", "communode", "flash", "--board", "virtual", "--watch", "--json"]
        command += ["--image", str(tmp_path / "image"), "--ports-in", str(tmp_path / "ports")]
        command += ["--count", "1", "--batch-dir", str(tmp_path / "batch")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["verdict"] == "good"
    (record,) = BatchFolder(tmp_path / "batch").records()
    assert set(record.steps) == {"flashed"}
    (verdict,) = (tmp_path / "batch" / "log.jsonl").read_text().splitlines()
    assert json.loads(verdict)["mac"] == "02:00:00:00:00:01"
