# SPDX-License-Identifier: MIT
"""A town after an outage: a hundred nodes get power in the same instant, and want in through one gateway.

Everything but the walls is there: the firmware on virtual boards, collisions, a gateway that hears nothing
while it sends, our network server behind the packet forwarder's protocol. Flash files are programmed
directly. Not here: esptool and the demo's day (test_demo.py).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from communode.boards import load_board
from communode.build import Build, build
from communode.identity import dev_eui_from_mac
from communode.lns.server import ServerThread
from communode.lns.session import Device
from communode.lns.store import Store
from communode.profiles import load_profile
from communode.virtual.air import Air
from communode.virtual.board import BoardSettings, VirtualProcessorBoard
from communode.virtual.flash import FlashFile
from communode.virtual.gateway import Gateway
from communode.virtual.kernel import Kernel
from communode.virtual.medium import Transmission
from communode.virtual.world import World
from laboratory import APP_KEY, JOIN_EUI, write_flash

BOARD, PROFILE = "virtual", "bin"  # the bin's sensors are quick: its first record is ready at once
NODES = 100
MINUTE_US = 60_000_000


class Neighbourhood:
    """Nodes, one gateway and the server; everything that was on the air."""

    def __init__(self, stack: ExitStack, made: Build, nodes: int, folder: Path) -> None:
        self.kernel, self.air = Kernel(), Air(seed=1, path_loss_db=110.0, fading_db=3.0)
        self.sent: dict[str, list[Transmission]] = {}
        self.air.subscribe(self._note)
        store = Store(folder / "lns.sqlite", durable=False)
        stack.callback(store.close)
        server = stack.enter_context(ServerThread(store))
        gateway = Gateway("02c0ffeefffe0002", self.air, self.kernel, server.address, name="gateway")
        stack.callback(gateway.close)
        self.until_us = 0
        self.boards = []
        for number in range(nodes):
            mac = bytes.fromhex("0200c0") + (number + 1).to_bytes(3, "big")
            store.add(Device(dev_eui_from_mac(mac).hex(), JOIN_EUI.hex(), APP_KEY, name=f"node {number}"))
            self.boards.append(self._node(stack, made, mac, folder))
            self.sent[mac.hex()] = []

    def _note(self, sent: Transmission) -> None:
        self.sent.setdefault(sent.source, []).append(sent)

    def _node(self, stack: ExitStack, made: Build, mac: bytes, folder: Path) -> VirtualProcessorBoard:
        path = folder / f"{mac.hex()}.flash"
        write_flash(path, made, mac, APP_KEY)
        model = load_board(BOARD)
        flash = stack.enter_context(FlashFile(path, model.flash_size))
        settings = BoardSettings(
            mac=mac, seed=int.from_bytes(mac[3:], "big"), radio_settings={"air": self.air}
        )
        world = World(seed=1).at(mac.hex())
        board = VirtualProcessorBoard(model, load_profile(PROFILE), flash, self.kernel, world, settings)
        console = os.open(folder / f"{mac.hex()}.txt", os.O_CREAT | os.O_WRONLY, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        stack.callback(os.close, console)
        stack.callback(os.close, nothing)
        stack.callback(board.halt)
        board.console = (nothing, console)
        board.may_wake = lambda wake_us: wake_us < self.until_us
        return board

    def switch_on(self, until_us: int) -> None:
        """Power for everybody, and time until ``until_us``."""
        self.until_us = until_us
        for board in self.boards:
            board.power_on()
        self.kernel.run(until_us)
        assert [board.violations for board in self.boards if board.violations] == []

    def joins(self, mac: str) -> list[Transmission]:
        """Join-requests of a node."""
        return [sent for sent in self.sent[mac] if sent.payload[0] == 0]

    def first_uplink_us(self, mac: str) -> int | None:
        """When the first data frame of a node ended."""
        return next((sent.end_us for sent in self.sent[mac] if sent.payload[0] in (0x40, 0x80)), None)


@pytest.fixture(scope="module")
def made(micropython: str) -> Build:
    """The node's build."""
    return build(load_board(BOARD), load_profile(PROFILE), body="virtual")


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where the system has that: a hundred flash files are 400 MB that nobody wants to keep."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="communode-storm-", dir=memory if memory.is_dir() else None))
    yield path
    shutil.rmtree(path)


def test_the_first_uplink_of_a_fresh_node_ends_within_fifteen_seconds(made: Build, folder: Path) -> None:
    with ExitStack() as stack:
        place = Neighbourhood(stack, made, 1, folder)
        place.switch_on(MINUTE_US)
        mac = place.boards[0].settings.mac.hex()
        console = (folder / f"{mac}.txt").read_text()
        assert [sent.spreading_factor for sent in place.joins(mac)] == [7]
        first_us = place.first_uplink_us(mac)
        assert first_us is not None, console
        assert first_us < 15_000_000


@pytest.mark.timeout(400)
def test_a_hundred_nodes_after_an_outage_come_back_without_a_storm(made: Build, folder: Path) -> None:
    with ExitStack() as stack:
        place = Neighbourhood(stack, made, NODES, folder)
        place.switch_on(15 * MINUTE_US)
        macs = [board.settings.mac.hex() for board in place.boards]
        attempts = {mac: place.joins(mac) for mac in macs}
        back_us = sorted(first for first in map(place.first_uplink_us, macs) if first is not None)
        minutes = Counter(sent.start_us // MINUTE_US for joins in attempts.values() for sent in joins)
        seconds = Counter(sent.start_us // 1_000_000 for joins in attempts.values() for sent in joins)
    # One gateway can answer one join at a time and is deaf meanwhile: nobody can be quicker than that.
    assert back_us[NODES // 2] < 2 * MINUTE_US
    assert len(back_us) >= NODES * 97 // 100
    # What collides or is not answered comes again later and thinner, not at once.
    assert max(seconds.values()) <= NODES * 35 // 100
    assert minutes[1] < minutes[0] / 2
    assert minutes[3] < minutes[1]
    assert max(minutes[late] for late in range(6, 15)) < minutes[0] / 8
    assert sum(len(joins) for joins in attempts.values()) < 5 * NODES
    for joins in attempts.values():
        gaps_us = [later.start_us - one.end_us for one, later in pairwise(joins)]
        # After the second window 5 s at least, doubling, and as much again at random (TR007-1.1 4.3).
        assert all(gap >= 6_000_000 + 5_000_000 * 2**number for number, gap in enumerate(gaps_us))
    # The same instant of power did not make the same instants of sending.
    assert len({joins[0].start_us for joins in attempts.values()}) > NODES * 9 // 10
