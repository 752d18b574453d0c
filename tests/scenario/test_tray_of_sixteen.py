# SPDX-License-Identifier: MIT
"""A tray of sixteen boards made into nodes by one command, with four that are not as they should be."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from communode.fleet.register import Register

pytestmark = pytest.mark.timeout(1300)

HERE = Path(__file__).resolve().parent
COUNT = 16
DYING, WRONG, UNPLUGGED, FIRST, DOUBLE = 3, 6, 9, 12, 13


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Bench:
    """A table with sixteen ports, a gateway, and the command that makes nodes of what is plugged in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = [folder / "ports" / f"usb{number:02}" for number in range(COUNT)]
        self.ports[0].parent.mkdir()
        self.batch = folder / "batch7"
        self.gateways = free_port(socket.SOCK_DGRAM)
        self.air = free_port(socket.SOCK_STREAM)
        self.passphrase = folder / "passphrase"
        self.passphrase.write_text("a bench of sixteen\n")
        self.passphrase.chmod(0o600)

    def board(self, number: int, **changes: Any) -> dict[str, Any]:
        usual = {
            "link": str(self.ports[number]),
            "flash": str(self.folder / f"{number}.flash"),
            "mac": f"0200c00001{number:02x}",
            "board": "virtual",
        }
        return usual | changes

    @contextmanager
    def plugged(self, boards: list[dict[str, Any]]) -> Iterator[None]:
        specification = self.folder / "boards.json"
        where = {"air": ["127.0.0.1", self.air], "gateway": ["127.0.0.1", self.gateways]}
        specification.write_text(json.dumps({**where, "boards": boards}))
        command = [sys.executable, str(HERE / "plugged_boards.py"), str(specification)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            try:
                yield
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                for port in self.ports:
                    port.unlink(missing_ok=True)  # the system gives the next boards the same devices

    def make_nodes(self) -> tuple[int, list[dict[str, Any]]]:
        command = [sys.executable, "-m", "communode", "tray", "--board", "virtual", "--profile", "air"]
        command += ["--body", "virtual", "--batch-dir", str(self.batch), "--json"]
        command += ["--join-within", "300"]  # down to SF12, whose windows forgive a busy machine most
        command += ["--fleet", str(self.folder / "fleet"), "--passphrase-file", str(self.passphrase)]
        command += ["--gateways", f"127.0.0.1:{self.gateways}"]
        for port in self.ports:
            command += ["--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert "Traceback" not in done.stderr
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    def record(self, number: int) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.batch / f"0200c00001{number:02x}.json").read_text())
        return record


def verdicts(events: list[dict[str, Any]]) -> dict[int, str]:
    """Number of the port -> ``good``, or the code of its error; each port has exactly one verdict."""
    found: dict[int, str] = {}
    for event in events:
        if event["verdict"]:
            number = int(event["port"][-2:])
            assert number not in found
            found[number] = event["error"]["code"] if event["error"] else event["verdict"]
    return found


def test_sixteen_boards_become_nodes_and_the_four_that_cannot_say_why(
    tmp_path: Path, micropython: str
) -> None:
    bench = Bench(tmp_path)
    boards = [bench.board(number) for number in range(COUNT) if number != UNPLUGGED]
    changes = {
        DYING: {"dies_after": 60},
        WRONG: {"board": "heltec_ht_ct62"},
        DOUBLE: {"mac": f"0200c00001{FIRST:02x}"},
    }
    boards = [board | changes.get(int(board["link"][-2:]), {}) for board in boards]
    with bench.plugged(boards):
        status, events = bench.make_nodes()
    found = verdicts(events)
    assert status == 1
    assert found.pop(DYING) == "flash.link"
    assert found.pop(WRONG) == "flash.wrong_chip"
    assert found.pop(UNPLUGGED) == "flash.no_port"
    pair = {number: found.pop(number) for number in (FIRST, DOUBLE)}
    assert found == dict.fromkeys(found, "good")
    assert sorted(pair.values()) == ["good", "tray.same_mac"]  # whichever was quicker is the board
    assert len(found) == COUNT - 5
    for event in events:
        if event["error"]:
            assert event["error"]["message"]
            assert event["error"]["remedy"]
    _check_nodes(bench, sorted(found))

    # The dead one gets its power back, the wrong one is replaced, the missing one is plugged in.
    again = [
        bench.board(number, **({"mac": f"0200c00001{FIRST:02x}"} if number == DOUBLE else {}))
        for number in range(COUNT)
    ]
    again[WRONG]["flash"] = str(tmp_path / "another.flash")
    with bench.plugged(again):
        status, events = bench.make_nodes()
    found = verdicts(events)
    assert status == 1
    assert {number: found.pop(number) for number in (FIRST, DOUBLE)} == pair  # and stays it
    assert found == dict.fromkeys(found, "good")
    nodes = [number for number in range(COUNT) if number != DOUBLE]
    _check_nodes(bench, nodes)
    untouched = set(nodes) - {DYING, WRONG, UNPLUGGED, FIRST}
    assert all(bench.record(number)["written"] == 0 for number in untouched)
    whole = bench.record(UNPLUGGED)["written"]
    assert 0 < bench.record(DYING)["written"] < whole, "what was written before it died is kept"


def _check_nodes(bench: Bench, numbers: list[int]) -> None:
    records = [bench.record(number) for number in numbers]
    assert all(set(record["steps"]) == {"flashed", "identified", "joined", "labelled"} for record in records)
    assert all(record["verdict"] == "good" and record["dev_addr"] for record in records)
    assert len({record["dev_eui"] for record in records}) == len(numbers)
    labels = bench.batch / "labels"
    assert {f"{record['dev_eui']}.png" for record in records} <= {path.name for path in labels.iterdir()}
    assert (labels / "batch7.pdf").read_bytes().startswith(b"%PDF")
    assert stat.S_IMODE((bench.folder / "fleet" / "vault.sqlite").stat().st_mode) == 0o600
    with Register(bench.folder / "fleet" / "fleet.sqlite") as register:
        enrolled = {node["dev_eui"]: node["batch"] for node in register.nodes()}
    assert {record["dev_eui"] for record in records} <= set(enrolled)
    assert set(enrolled.values()) == {"batch7"}
    log = [json.loads(line) for line in (bench.batch / "log.jsonl").read_text().splitlines()]
    assert all(line["verdict"] in ("good", "failed") and line["time"] for line in log)
