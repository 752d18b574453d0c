# SPDX-License-Identifier: MIT
"""A field of nodes in virtual time, for what takes days: flash, chips, air, gateway, server, application.

Everything is what the demo's town uses but its bench: flash files are programmed directly, as by a clip on
the chip, so that a test begins at once. A test may lose frames, switch the gateway off, change the world,
break chips, cut the power and send commands. Not here: esptool, serial ports, real time.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast

import communode.build
from communode.boards import load_board
from communode.build import Build, build
from communode.commands import Part, make_command, read_answer
from communode.identity import Identity, dev_eui_from_mac
from communode.ingest.application import Application
from communode.ingest.readings import ReadingStore
from communode.lns.network import NetworkSettings
from communode.lns.server import ServerThread
from communode.lns.session import Device, Downlink
from communode.lns.store import Store
from communode.node.app.memory import Memory
from communode.node.codec.command import F_PORT as COMMAND_PORT
from communode.node.storage.journal import Journal
from communode.node.storage.state import StateLog
from communode.nvs_image import make_image
from communode.profiles import load_profile
from communode.virtual.air import Air
from communode.virtual.board import BoardSettings, VirtualProcessorBoard
from communode.virtual.bootable import read_partitions
from communode.virtual.flash import FlashFile
from communode.virtual.gateway import Gateway
from communode.virtual.kernel import Kernel
from communode.virtual.medium import Transmission
from communode.virtual.virtual_board import default_mac
from communode.virtual.world import Override, World

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
JOIN_EUI = bytes.fromhex("02c0ffee00000005")
APP_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
COMMAND_KEY = bytes.fromhex("603deb1015ca71be2b73aef0857d7781")
GATEWAY_EUI = "02c0ffeefffe0005"


@dataclass
class Plan:
    """What a node is built from."""

    board: str = "virtual"
    profile: str = "bin"
    changes: tuple[tuple[str, Any], ...] = ()  # of the profile's literal: interval_s, alarms, stays_awake ...
    main: str | None = None  # another main.py


@cache
def _nvs(mac: bytes, size: int) -> bytes:
    identity = Identity(dev_eui_from_mac(mac), JOIN_EUI, APP_KEY, COMMAND_KEY)
    return make_image(identity.blobs(), size)


_BUILDS: dict[str, Build] = {}


def build_for(plan: Plan) -> Build:
    """The build of a plan, made once a process: the shipped code, with the changes in ``hardware``."""
    key = repr(plan)
    if key not in _BUILDS:
        literal, files = communode.build.profile_literal, communode.build.image_files

        def changed(*arguments: Any) -> dict[str, Any]:
            return literal(*arguments) | dict(plan.changes)

        def with_main(*arguments: Any) -> dict[str, bytes]:
            made = files(*arguments)
            return made | ({"main.py": plan.main.encode()} if plan.main else {})

        communode.build.profile_literal, communode.build.image_files = changed, with_main
        try:
            _BUILDS[key] = build(load_board(plan.board), load_profile(plan.profile), body="virtual")
        finally:
            communode.build.profile_literal, communode.build.image_files = literal, files
    return _BUILDS[key]


class _Region:
    """A partition of a flash file as the firmware's storage layer wants it (reading only)."""

    def __init__(self, flash: FlashFile, offset: int, size: int) -> None:
        self._flash = flash
        self._offset = offset
        self.size = size

    def read(self, offset: int, buffer: bytearray) -> None:
        buffer[:] = self._flash.read(self._offset + offset, len(buffer))


@dataclass
class FieldNode:
    """One node."""

    body: VirtualProcessorBoard
    flash: FlashFile
    log_path: Path
    mac: bytes
    stays_awake: bool = False
    pending: list[Downlink] = field(default_factory=list)  # of the owner, each for one uplink
    uplinks: list[dict[str, Any]] = field(default_factory=list)  # events of the network server
    counter: int = 0

    @property
    def dev_eui(self) -> str:
        """DevEUI in hex."""
        return dev_eui_from_mac(self.mac).hex()

    def console(self) -> str:
        """What the node has printed so far."""
        return self.log_path.read_text("utf-8", "replace")

    def _partition(self, label: str) -> Any:
        part = next(part for part in read_partitions(self.flash) if part.label == label)
        return cast("Any", _Region(self.flash, part.offset, part.size))

    def journal(self) -> Journal:
        """The node's own journal, read from its flash by the firmware's own code."""
        return Journal(self._partition("journal"), 0)

    def state(self) -> StateLog:
        """And its states."""
        return StateLog(self._partition("state"))

    def section(self, key: int) -> bytes:
        """A section of its RTC memory."""
        data, at = self.body.rtc.memory, 4
        while at + 3 <= len(data):
            length = int.from_bytes(data[at + 1 : at + 3], "little")
            if data[at] == key:
                return data[at + 3 : at + 3 + length]
            at += 3 + length
        return b""

    def memory(self) -> Memory:
        """What the application remembers over deep sleep."""
        return Memory(self.section(2))


class Field:
    """Nodes, one gateway, the bench server and the application. Use as a context manager."""

    def __init__(
        self, folder: Path, *, loss: float = 0.0, seed: int = 1, network: NetworkSettings | None = None
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.kernel = Kernel()
        self.air = Air(seed=seed, loss=loss, path_loss_db=100.0)
        self.sent: list[Transmission] = []
        self.air.subscribe(self.sent.append)
        self.world = World(seed=seed)
        self.nodes: list[FieldNode] = []
        self.until_us = 0
        self._network = network or NetworkSettings(rx1_delay_s=1)
        self._stack = ExitStack()

    def __enter__(self) -> Field:
        stack = self._stack
        # Not pytest's own folder, which keeps the flash files of three runs.
        self._flashes = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="communode-field-")))
        store = Store(self.folder / "lns.sqlite", durable=False)
        stack.callback(store.close)
        self.store = store
        self.readings = ReadingStore(self.folder / "readings.sqlite")
        stack.callback(self.readings.close)
        self.application = Application(self.readings)
        self.server = stack.enter_context(ServerThread(store, self._network, on_uplink=self._on_uplink))
        self.gateway = Gateway(
            GATEWAY_EUI,
            self.air,
            self.kernel,
            self.server.address,
            name="gateway",
            epoch_unix_s=self.world.start_utc.timestamp(),
            stat_interval_us=HOUR_US,
        )
        stack.callback(self.gateway.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # --- nodes ---

    def add(self, plan: Plan | None = None, **settings: Any) -> FieldNode:
        """A node of ``plan``; ``settings`` are `BoardSettings`'."""
        plan = plan or Plan()
        mac = default_mac(len(self.nodes) + 1)
        made, model = build_for(plan), load_board(plan.board)
        flash = self._stack.enter_context(FlashFile(self._flashes / f"{mac.hex()}.flash", model.flash_size))
        for region in made.regions:
            flash.program(region.offset, region.data)
        nvs = made.partition("nvs")
        flash.program(nvs.offset, _nvs(mac, nvs.size))
        self.store.add(Device(dev_eui_from_mac(mac).hex(), JOIN_EUI.hex(), APP_KEY, name=mac.hex()))
        given = BoardSettings(mac=mac, seed=self.seed, radio_settings={"air": self.air}, **settings)
        world = copy.copy(self.world.at(f"node {len(self.nodes)}"))
        body = VirtualProcessorBoard(model, load_profile(plan.profile), flash, self.kernel, world, given)
        log_path = self.folder / f"{mac.hex()}.log"
        console = os.open(log_path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        self._stack.callback(os.close, console)
        self._stack.callback(os.close, nothing)
        self._stack.callback(body.halt)
        body.console = (nothing, console)
        body.may_wake = lambda wake_us: wake_us < self.until_us
        stays_awake = bool(dict(plan.changes).get("stays_awake"))
        node = FieldNode(body, flash, log_path, mac, stays_awake)
        self.nodes.append(node)
        return node

    def at(self, time_us: int, function: Callable[[], object]) -> None:
        """Do something at a world time."""
        self.kernel.call_at(time_us, lambda: function() and None)

    def power_cycle(self, node: FieldNode, seconds: float = 1.0) -> None:
        """The battery is taken out and put back."""
        node.body.halt()
        node.body._run += 1  # nothing of the run before may wake it
        node.body.stopped = True
        self.at(self.kernel.now_us() + int(seconds * SECOND_US), node.body.power_on)

    def run(self, until_us: int) -> None:
        """Let the world go on; each board that does not run yet is switched on. All must keep the rules."""
        self.until_us = until_us
        for node in self.nodes:
            if not node.body.boots:
                node.body.power_on()
            elif node.body.stopped:  # it slept past the end of the run before
                node.body.stopped = False
                node.body.boot(4, 4)
        self.kernel.call_at(until_us, self._halt_who_stays_awake)
        self.kernel.run(until_us)
        for node in self.nodes:
            assert node.body.violations == [], node.console()[-2000:]

    def _halt_who_stays_awake(self) -> None:
        for node in self.nodes:
            if node.stays_awake and node.body.processor is not None:
                node.body.halt()

    def override(self, node: FieldNode, series: str, constant: float) -> None:
        """From now on the world is so at this node."""
        world = node.body.world
        assert isinstance(world, World)
        overrides = dict(world.overrides) | {series: Override(constant=constant)}
        changed = replace(world, overrides=overrides)
        node.body.world = changed
        for chip in node.body.wiring.chips.values():
            chip.env.world = changed  # type: ignore[misc]

    # --- the owner's side ---

    def command(self, node: FieldNode, parts: Iterable[Part], *, counter: int = 0, **changes: Any) -> bytes:
        """A command that goes out after the node's next uplink; its payload."""
        node.counter = counter or node.counter + 1
        now = self.world.start_utc + timedelta(microseconds=self.kernel.now_us())
        made = make_command(
            bytes.fromhex(node.dev_eui),
            changes.pop("key", COMMAND_KEY),
            parts,
            now=changes.pop("now", now),
            counter=node.counter,
            **changes,
        )
        node.pending.append(Downlink(COMMAND_PORT, made.payload))
        return made.payload

    def answers(self, node: FieldNode) -> list[tuple[int, str, tuple[str, ...]]]:
        """(counter, code, failed) of every answer to a command, in order."""
        dev_eui = bytes.fromhex(node.dev_eui)
        found = [read_answer(data, dev_eui, COMMAND_KEY) for data in self.payloads(node, COMMAND_PORT)]
        return [(answer.counter, answer.code, answer.failed) for answer in found]

    def payloads(self, node: FieldNode, f_port: int) -> list[bytes]:
        """What the application got from a node on a port."""
        import base64

        return [base64.b64decode(e["data"]) for e in node.uplinks if e["fPort"] == f_port and e.get("data")]

    def frames(self, node: FieldNode) -> list[Transmission]:
        """Everything that the node put on the air."""
        return [sent for sent in self.sent if sent.source == node.mac.hex()]

    def stored(self, node: FieldNode) -> int:
        """Records of the node in the store."""
        return self.readings.count(node.dev_eui)

    def times(self, node: FieldNode) -> list[tuple[int, str | None]]:
        """(record id without generation, time) of each record in the store, by id."""
        rows = self.readings.rows(node.dev_eui)
        return sorted({(row[0] & 0xFFFFFF, row[1]) for row in rows})

    def _on_uplink(self, event: dict[str, Any]) -> list[Downlink]:
        node = next(node for node in self.nodes if node.dev_eui == event["deviceInfo"]["devEui"])
        node.uplinks.append(event)
        answer = self.application.take(event)
        if node.pending:
            return [node.pending.pop(0)]
        return [Downlink(answer.f_port, answer.payload)] if answer else []
