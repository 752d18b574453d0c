# SPDX-License-Identifier: MIT
"""The town: nodes on boards of several makes, one air, one gateway, one network server, one day.

Everything is what a real deployment uses but the hardware: the build, esptool, provisioning, the firmware on
MicroPython, LoRaWAN frames, the Semtech UDP protocol over a socket, the application server.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from communode.boards import Board, load_board
from communode.build import Build, build
from communode.errors import CommunodeError
from communode.flash import job_for, run_jobs
from communode.identity import Identity, dev_eui_from_mac
from communode.ingest.application import Application
from communode.ingest.readings import ReadingStore
from communode.lns.network import NetworkSettings
from communode.lns.server import ServerThread
from communode.lns.session import Device, Downlink, Session
from communode.lns.store import Store
from communode.node.storage.journal import Journal
from communode.profiles import Profile, load_profile
from communode.provision import provision_ports
from communode.virtual.air import Air
from communode.virtual.board import BoardSettings, VirtualProcessorBoard
from communode.virtual.bootable import read_partitions
from communode.virtual.capture import Capture
from communode.virtual.flash import FlashFile
from communode.virtual.gateway import Gateway
from communode.virtual.kernel import Kernel
from communode.virtual.ledger import EnergyLedger
from communode.virtual.medium import Transmission
from communode.virtual.virtual_board import VirtualBoard, default_mac
from communode.virtual.world import World

if TYPE_CHECKING:
    from communode.node.storage.journal import Region

HOUR_US = 3_600_000_000
KINDS = (
    ("heltec_wifi_lora_32_v3", "air"),
    ("lilygo_t3_v1_6_1", "water"),
    ("heltec_ht_ct62", "bin"),
)
JOIN_EUI = bytes.fromhex("02c0ffee00000001")
GATEWAY_EUI = "02c0ffeefffe0001"
LOSS = 0.10
DRIFT_PPM = 300  # residual error of the RC oscillators, drawn within +- this
DRAIN_HOURS = 24  # at most so much longer a node may run to deliver what the air has lost

Progress = Callable[[str, dict[str, Any]], None]


@dataclass
class TownSettings:
    """What ``communode demo`` can be told."""

    out: Path
    nodes: int = 3
    hours: float = 24.0
    seed: int = 1


@dataclass
class TownNode:
    """One node of the town, through all its stages."""

    number: int
    board: Board
    profile: Profile
    flash_path: Path
    world: World
    identity: Identity | None = None
    body: VirtualProcessorBoard | None = None
    flash: FlashFile | None = None
    log_path: Path = Path()
    uplinks_received: int = 0
    records_taken: int = 0

    @property
    def dev_eui(self) -> str:
        """DevEUI in hex."""
        assert self.identity is not None
        return self.identity.dev_eui.hex()

    @property
    def mac(self) -> bytes:
        """MAC of the board."""
        return default_mac(self.number + 1)

    def journal(self) -> Journal:
        """The node's own journal, read from its flash by the firmware's own code."""
        assert self.flash is not None
        part = next(part for part in read_partitions(self.flash) if part.label == "journal")
        return Journal(cast("Region", _Region(self.flash, part.offset, part.size)), 0)


class _Region:
    """A partition of a flash file as the firmware's storage layer wants it (reading only)."""

    def __init__(self, flash: FlashFile, offset: int, size: int) -> None:
        self._flash = flash
        self._offset = offset
        self.size = size

    def read(self, offset: int, buffer: bytearray) -> None:
        buffer[:] = self._flash.read(self._offset + offset, len(buffer))


class Town:
    """Runs the whole demonstration; the results stay in its attributes."""

    def __init__(self, settings: TownSettings, progress: Progress) -> None:
        self.settings = settings
        self.progress = progress
        self.world = World(seed=settings.seed)
        self.kernel = Kernel()
        self.air = Air(seed=settings.seed, loss=LOSS, fading_db=2.0)
        self.end_us = int(settings.hours * HOUR_US)
        middle = self.end_us // 2
        self.outage = (middle, middle + min(HOUR_US, self.end_us // 4))
        self.wall_s = 0.0
        self.flash_s = 0.0
        self.heard: list[dict[str, str]] = []  # frames that the network server took, per node
        self.transmissions: list[Transmission] = []
        self.air.subscribe(self.transmissions.append)
        self.sessions: dict[str, Session | None] = {}
        self.nodes = [self._node(number) for number in range(settings.nodes)]

    def _node(self, number: int) -> TownNode:
        board, profile = KINDS[number % len(KINDS)]
        path = self.settings.out / f"node{number + 1}.flash"
        world = self.world.at(f"{profile} {number + 1}")
        node = TownNode(number, load_board(board), load_profile(profile), path, world)
        node.log_path = self.settings.out / f"node{number + 1}.log"
        return node

    # At the bench

    def prepare(self) -> None:
        """Build, flash and provision every node through its serial port."""
        begun = time.monotonic()
        builds: dict[tuple[str, str], Build] = {}
        with ExitStack() as plugged:
            stations = []
            for node in self.nodes:
                node.flash_path.unlink(missing_ok=True)
                key = (node.board.name, node.profile.name)
                if key not in builds:
                    self.progress("build", {"board": key[0], "profile": key[1]})
                    builds[key] = build(node.board, node.profile, body="virtual")
                station = VirtualBoard(
                    node.board.name, flash=node.flash_path, mac=node.mac.hex(), boot_held=True
                )
                stations.append(plugged.enter_context(station))
            for name in sorted({node.board.name for node in self.nodes}):
                group = [
                    (node, station)
                    for node, station in zip(self.nodes, stations, strict=True)
                    if node.board.name == name
                ]
                self._flash_group(name, group, builds)
        self.flash_s = time.monotonic() - begun

    def _flash_group(
        self, name: str, group: list[tuple[TownNode, VirtualBoard]], builds: dict[tuple[str, str], Build]
    ) -> None:
        def listen(event: dict[str, Any]) -> None:
            self.progress("flash", event)

        jobs = [job_for(builds[node.board.name, node.profile.name], station.port) for node, station in group]
        for outcome in run_jobs(jobs, name, listen):
            if outcome.error is not None:
                raise outcome.error
        ports = [station.port for _, station in group]
        identities = [self._throw_away_identity(node) for node, _ in group]
        results = provision_ports(ports, group[0][0].board, identities, listener=listen)
        for (node, _), provisioned in zip(group, results, strict=True):
            if provisioned.outcome.error is not None:
                raise provisioned.outcome.error
            node.identity = provisioned.identity

    def _throw_away_identity(self, node: TownNode) -> Identity:
        """An identity from the seed, so that the same seed gives the same frames. For virtual nodes only."""

        def draw(what: str) -> bytes:
            return hashlib.sha256(f"demo {what} {self.settings.seed} {node.mac.hex()}".encode()).digest()[:16]

        return Identity(dev_eui_from_mac(node.mac), JOIN_EUI, draw("app_key"), draw("command_key"))

    # In the field

    def live(self) -> None:
        """A day (and what it takes to deliver it) in virtual time."""
        begun = time.monotonic()
        out = self.settings.out
        epoch_s = self.world.start_utc.timestamp()
        with ExitStack() as stack:
            store = Store(out / "lns.sqlite", durable=False)
            stack.callback(store.close)
            self.readings = ReadingStore(out / "readings.sqlite")
            self.application = Application(self.readings)
            network = NetworkSettings(rx1_delay_s=1)
            server = stack.enter_context(ServerThread(store, network, on_uplink=self._on_uplink))
            gateway = Gateway(
                GATEWAY_EUI,
                self.air,
                self.kernel,
                server.address,
                name="gateway",
                epoch_unix_s=epoch_s,
                outages=[self.outage],
            )
            stack.callback(gateway.close)
            stack.enter_context(
                Capture(out / "capture.pcap", self.air, epoch_unix_s=epoch_s, observer="gateway")
            )
            for node in self.nodes:
                self._install(node, store, stack)
            self._tick()
            for node in self.nodes:
                assert node.body is not None
                node.body.power_on()
            self.kernel.run(self.end_us)
            self._check_violations()
            for node in self.nodes:
                node.records_taken = node.journal().next_id
                self.heard += [
                    {"dev_eui": node.dev_eui, "phy": base64.b64encode(phy).decode()}
                    for _, _, direction, _, phy in store.frames(node.dev_eui)
                    if direction == "up"
                ]
            self.sessions = {node.dev_eui: store.session(node.dev_eui) for node in self.nodes}
        self.wall_s = time.monotonic() - begun

    def _install(self, node: TownNode, store: Store, stack: ExitStack) -> None:
        identity = node.identity
        assert identity is not None
        device = Device(
            node.dev_eui,
            identity.join_eui.hex(),
            identity.app_key,
            name=f"{node.profile.name}-{node.number + 1}",
        )
        store.add(device, replace=True)
        node.flash = stack.enter_context(FlashFile(node.flash_path, node.board.flash_size))
        drift = ((node.number * 7919 + self.settings.seed * 104729) % (2 * DRIFT_PPM + 1)) - DRIFT_PPM
        settings = BoardSettings(
            mac=node.mac, seed=self.settings.seed, drift_ppm=drift, radio_settings={"air": self.air}
        )
        node.body = VirtualProcessorBoard(
            node.board, node.profile, node.flash, self.kernel, node.world, settings
        )
        console = os.open(node.log_path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        stack.callback(os.close, console)
        stack.callback(os.close, nothing)
        stack.callback(node.body.halt)
        node.body.console = (nothing, console)
        node.body.may_wake = lambda wake_us: self._may_wake(node, wake_us)

    def _may_wake(self, node: TownNode, wake_us: int) -> bool:
        """Until the day is over; then only while a record of this node is still under way."""
        if wake_us < self.end_us:
            return True
        if wake_us >= self.end_us + DRAIN_HOURS * HOUR_US:
            return False
        return self.readings.count(node.dev_eui) < node.journal().next_id

    def _by_eui(self, dev_eui: str) -> TownNode:
        return next(node for node in self.nodes if node.dev_eui == dev_eui)

    def _on_uplink(self, event: dict[str, Any]) -> list[Downlink]:
        self._by_eui(event["deviceInfo"]["devEui"]).uplinks_received += 1
        answer = self.application.take(event)
        return [Downlink(answer.f_port, answer.payload)] if answer else []

    def _tick(self) -> None:
        """Show how far the day is, every ten virtual minutes."""
        self.progress(
            "time",
            {
                "time_us": self.kernel.now_us(),
                "end_us": self.end_us,
                "nodes": [self._row(node) for node in self.nodes],
            },
        )
        if self.kernel.now_us() < self.end_us:
            self.kernel.call_at(self.kernel.now_us() + HOUR_US // 6, self._tick)

    def _row(self, node: TownNode) -> dict[str, Any]:
        """A row of the live table."""
        assert node.body is not None
        stored = self.readings.count(node.dev_eui)
        return {
            "name": f"{node.profile.name}-{node.number + 1}",
            "board": node.board.name,
            "joined": node.uplinks_received > 0,
            "records": max(stored, node.body.deep_sleeps),
            "stored": stored,
            "uplinks": sum(1 for item in self.transmissions if item.source == node.mac.hex()),
            "heard": node.uplinks_received,
        }

    def _check_violations(self) -> None:
        for node in self.nodes:
            assert node.body is not None
            if node.body.violations:
                raise CommunodeError(
                    "virtual.violation", board=node.board.name, violation=node.body.violations[0]
                )

    # What came of it

    def summary(self) -> dict[str, Any]:
        """``summary.json``."""
        nodes = [self._summary_of(node) for node in self.nodes]
        ok = bool(nodes) and all(
            item["joined"] and item["records_taken"] and not item["records_lost"] for item in nodes
        )
        return {
            "schema": 1,
            "ok": ok,
            "hours": self.settings.hours,
            "seed": self.settings.seed,
            "wall_s": round(self.wall_s, 3),
            "flash_s": round(self.flash_s, 3),
            "nodes": nodes,
        }

    def keys(self) -> list[dict[str, str]]:
        """``keys.json``: identities and session keys of these throw-away nodes."""
        rows = []
        for node in self.nodes:
            identity, session = node.identity, self.sessions[node.dev_eui]
            assert identity is not None
            rows.append(
                {
                    "dev_eui": node.dev_eui,
                    "join_eui": identity.join_eui.hex(),
                    "app_key": identity.app_key.hex(),
                    "dev_addr": f"{session.dev_addr:08x}" if session else "",
                    "nwk_s_key": session.nwk_s_key.hex() if session else "",
                    "app_s_key": session.app_s_key.hex() if session else "",
                }
            )
        return rows

    def _summary_of(self, node: TownNode) -> dict[str, Any]:
        body = node.body
        assert body is not None
        taken = node.records_taken
        delivered = self.readings.count(node.dev_eui)
        sent = [t for t in self.transmissions if t.source == node.mac.hex()]
        airtime_us = sum(t.end_us - t.start_us for t in sent)
        charge_mc = sum(body.ledger.charge_mc().values()) + body.radio.charge_uc() / 1000
        return {
            "dev_eui": node.dev_eui,
            "board": node.board.name,
            "profile": node.profile.name,
            "joined": self.sessions[node.dev_eui] is not None,
            "uplinks_sent": len(sent),
            "uplinks_received": node.uplinks_received,
            "downlinks_received": node.log_path.read_text("utf-8", "replace").count(" heard=1 "),
            "records_taken": taken,
            "records_delivered": delivered,
            "records_lost": taken - delivered,
            "airtime_ms": airtime_us // 1000,
            "energy_mj": round(EnergyLedger.energy_mj(charge_mc), 1),
            "deep_sleeps": body.deep_sleeps,
        }
