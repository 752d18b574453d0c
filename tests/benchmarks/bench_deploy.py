# SPDX-License-Identifier: MIT
"""How long a full deploy of the application takes, by each way, on one virtual link.

Each way starts from the same board (MicroPython, empty file system), runs as a process of its own at the best
speed that it supports, and is done when the board's own hashes have been compared. Its time is that of the
wall clock, and what flash takes beyond it (`paced_board`), which a virtual board does not spend in real time.
Not modelled: the time an ESP32 takes to compile what a console is sent.

A stock console behind a UART bridge speaks 115200 baud only: the other speed is out of reach for the console
ways there, and holds for boards whose console was set faster. mpremote cannot be told a speed at all.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from communode.boards import load_board
from communode.build import VIRTUAL_ARCH, Build, app_files, build, hardware_source
from communode.deploy import LIST_FILES, compare
from communode.flash import job_for, run_jobs
from communode.link.raw_repl import RawRepl
from communode.link.serial_port import open_port
from communode.node_files import radio_driver, select
from communode.profiles import load_profile
from communode.resources import firmware_folder, node_folder
from paced_board import PacedBoard

BAUDS = (115200, 921600)
LATENCIES_MS = (1, 16)
TOOLS = ("mpremote", "adafruit-ampy", "mpytool", "esptool")
CONSOLE_BAUD = 115200
BITS_PER_BYTE = 10
BOOT_S = 1.5
LIMIT_S = 900


@dataclass(frozen=True)
class Application:
    """The same application three times: image, compiled files, sources."""

    image: Build
    image_folder: Path
    compiled: dict[str, bytes]
    sources: dict[str, bytes]

    def write(self, folder: Path) -> None:
        """Lay the files out for tools that take folders."""
        self.image.write(self.image_folder)
        for name, files in (("compiled", self.compiled), ("sources", self.sources)):
            for path, data in files.items():
                file = folder / name / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)


def application(folder: Path) -> Application:
    """The air profile for the virtual board."""
    board, profile = load_board("virtual"), load_profile("air")
    wanted = {radio_driver(board.radio.chip), "lorawan/region/eu868.py"}
    wanted |= {f"drivers/{driver}.py" for driver in profile.drivers}
    sources = {f"node/{path}": (node_folder() / path).read_bytes() for path in select(node_folder(), wanted)}
    for name in ("boot.py", "main.py", "pack.py"):
        sources[name] = (firmware_folder() / name).read_bytes()
    sources["hardware.py"] = hardware_source(board, profile, "eu868").encode()
    made = Application(
        build(board, profile, body="virtual"),
        folder / "image",
        app_files(board, profile, "eu868", VIRTUAL_ARCH),
        sources,
    )
    made.write(folder)
    return made


def _in_process(*arguments: object) -> None:
    """Run one of our own ways, as its command would be."""
    command = [sys.executable, str(Path(__file__).with_name("deploy_ways.py")), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr


def _tool(folder: Path, *arguments: object) -> None:
    command = [str(Path(sys.executable).parent / str(arguments[0])), *map(str, arguments[1:])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, cwd=folder)
    assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])


def _tops(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def by_image(port: str, baud: int, folder: Path) -> None:
    _in_process("image", port, baud, folder / "image")


def by_repl(port: str, baud: int, folder: Path) -> None:
    _in_process("repl", port, baud, folder / "compiled")


def by_mpremote_sources(port: str, baud: int, folder: Path) -> None:
    _tool(folder / "sources", "mpremote", "connect", port, "cp", "-r", *_tops(folder / "sources"), ":")


def by_mpremote_mpy(port: str, baud: int, folder: Path) -> None:
    _tool(folder / "compiled", "mpremote", "connect", port, "cp", "-r", *_tops(folder / "compiled"), ":")


def by_ampy(port: str, baud: int, folder: Path) -> None:
    for name in _tops(folder / "compiled"):
        _tool(folder / "compiled", "ampy", "-p", port, "-b", baud, "put", name, f"/{name}")


def by_mpytool(port: str, baud: int, folder: Path) -> None:
    _tool(folder / "compiled", "mpytool", "-p", port, "-b", baud, "cp", *_tops(folder / "compiled"), ":/")


WAYS: dict[str, Callable[[str, int, Path], None]] = {
    "image": by_image,
    "repl": by_repl,
    "mpytool": by_mpytool,
    "mpremote-mpy": by_mpremote_mpy,
    "mpremote": by_mpremote_sources,
    "ampy": by_ampy,
}


def on_board(port: str) -> dict[str, str]:
    """The hashes of the board's files, by its own account."""
    import json

    opened = open_port(port, baud=CONSOLE_BAUD)
    with RawRepl(opened, port) as repl:
        found: dict[str, str] = json.loads(
            repl.run(LIST_FILES.replace('".mpy"', '".mpy", ".py"'), timeout_s=60)
        )
    opened.close()
    return found


def measure(way: str, app: Application, folder: Path, baud: int, latency_ms: int) -> dict[str, Any]:
    """One run; the figures of one line of deploy.json."""
    file = folder / f"{way}-{baud}-{latency_ms}.flash"
    with PacedBoard(app.image, file, latency_ms) as board:
        time.sleep(BOOT_S)
        board.reset_counts()
        began = time.monotonic()
        WAYS[way](board.port, baud, folder)
        if way not in ("image", "repl"):  # which have compared already
            wanted = app.sources if way == "mpremote" else app.compiled
            assert not compare(wanted, on_board(board.port)).write
        wall_s = time.monotonic() - began
        flash_s, wire_bytes = board.flash_s, board.end.wire_bytes
        if way == "image":
            time.sleep(BOOT_S)
            packed = set(on_board(board.port))
            assert packed == {"boot.py", "main.py", "node.pack", "pack.mpy"}
    file.unlink()
    payload = app.sources if way == "mpremote" else app.compiled
    return {
        "via": way,
        "baud": baud,
        "latency_ms": latency_ms,
        "bytes": sum(map(len, payload.values())),
        "wire_bytes": wire_bytes,
        "line_seconds": round(wire_bytes * BITS_PER_BYTE / baud, 2),
        "flash_seconds": round(flash_s, 2),
        "seconds": round(wall_s + flash_s, 2),
    }


def boards_at_once(app: Application, folder: Path, count: int) -> dict[str, Any]:
    """The whole image to ``count`` boards that hold none, without a slow line: what the computer costs."""
    import resource

    from communode.virtual.virtual_board import VirtualBoard

    boards = [
        VirtualBoard("virtual", flash=folder / f"side{number}.flash", mac=f"0200c00002{number:02x}")
        for number in range(count)
    ]
    try:
        for board in boards:
            board.__enter__()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        outcomes = run_jobs(
            [job_for(app.image, board.port) for board in boards], "virtual", lambda event: None
        )
        wall_s = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert [str(outcome.error) for outcome in outcomes if outcome.error] == []
    finally:
        for board in boards:
            board.__exit__(None, None, None)
            board.flash.unlink()
    host_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"boards": count, "seconds": round(wall_s, 2), "worker_cpu_seconds": round(host_s, 2)}


def test_deploy_by_each_way(publish: Callable[[str, dict[str, Any]], None], tmp_path: Path) -> None:
    app = application(tmp_path)
    side = [boards_at_once(app, tmp_path, count) for count in (1, 4, 16)]
    for line in side:
        print(
            "{boards:2} boards at once: {seconds} s, workers {worker_cpu_seconds} s of processor".format(
                **line
            )
        )
    runs = []
    for baud in BAUDS:
        for latency_ms in LATENCIES_MS:
            for way in WAYS:
                runs.append(measure(way, app, tmp_path, baud, latency_ms))
                print(
                    "{via:13} {baud:6} baud {latency_ms:2} ms  {wire_bytes:7} bytes  {seconds:7.1f} s".format(
                        **runs[-1]
                    )
                )
    versions = {name: metadata.version(name) for name in TOOLS}
    publish("deploy", {"versions": versions, "load": os.getloadavg()[0], "runs": runs, "side_by_side": side})
    seconds = {(run["via"], run["baud"], run["latency_ms"]): run["seconds"] for run in runs}
    for baud in BAUDS:
        for latency_ms in LATENCIES_MS:
            image = seconds["image", baud, latency_ms]
            # On the slowest line without latency the image is bound by the line (host/DESIGN.md, "Deploy").
            goal = 8 if (baud, latency_ms) == (115200, 1) else 10
            assert seconds["mpremote", baud, latency_ms] >= goal * image
            assert seconds["mpremote-mpy", baud, latency_ms] >= min(goal, 4) * image
            assert seconds["mpytool", baud, latency_ms] >= image


def test_flashing_again_what_is_there_costs_no_writing(tmp_path: Path) -> None:
    app = application(tmp_path)
    with PacedBoard(app.image, tmp_path / "same.flash", 1) as board:
        for expected in (True, False):
            job = replace(job_for(app.image, board.port, regions=["vfs"]), baud=921600)
            (outcome,) = run_jobs([job], "virtual", lambda event: None)
            assert bool(outcome.written) is expected
