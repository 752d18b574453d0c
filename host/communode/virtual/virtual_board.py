# SPDX-License-Identifier: MIT
"""`VirtualBoard`: a virtual board in real time as a context manager, in a thread of its own.

>>> with VirtualBoard("virtual", profile="air") as board:
...     print(board.port)

`run_board` is the same in the calling thread, for ``communode virtual run``.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from communode.boards import load_board
from communode.profiles import load_profile
from communode.virtual.air import Air
from communode.virtual.air_link import AirLink
from communode.virtual.board import BoardSettings, VirtualProcessorBoard
from communode.virtual.flash import FlashFile
from communode.virtual.gateway import Gateway
from communode.virtual.kernel import RealtimeKernel
from communode.virtual.ports import Pacing, PtyEnd, Rfc2217End, SerialEnd, SocketEnd
from communode.virtual.processor import prepare
from communode.virtual.station import Station
from communode.virtual.world import World

MAC_PREFIX = bytes.fromhex("0200c0")  # locally administered: no real board has such an address


@dataclass
class StationOptions:
    """Everything that ``communode virtual run`` can be told."""

    board: str = "virtual"
    profile: str | None = None
    serial: str = "pty"
    link: Path | None = None
    flash: Path | None = None
    mac: str | None = None
    air: tuple[str, int] | None = None
    gateway: tuple[str, int] | None = None
    world: Path | None = None
    pacing: Pacing | None = None
    boot_held: bool = False  # as with the BOOT button held down: the board stays in its loader


def default_mac(number: int = 1) -> bytes:
    """MAC of a virtual board that was given none."""
    return MAC_PREFIX + number.to_bytes(3, "big")


def _make_end(options: StationOptions) -> SerialEnd:
    if options.serial == "socket":
        return SocketEnd(pacing=options.pacing)
    if options.serial == "rfc2217":
        return Rfc2217End(pacing=options.pacing)
    return PtyEnd(options.link, pacing=options.pacing)


class _Assembly:
    """All parts of one station, made and unmade together."""

    def __init__(self, options: StationOptions) -> None:
        board = load_board(options.board)
        profile = load_profile(options.profile) if options.profile else None
        world = World.load(options.world) if options.world else World()
        mac = bytes.fromhex(options.mac.replace(":", "")) if options.mac else default_mac()
        self.kernel = RealtimeKernel()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        path = options.flash
        if path is None:
            self._folder = tempfile.TemporaryDirectory(prefix="communode-board-")
            path = Path(self._folder.name) / "board.flash"
        self.flash = FlashFile(path, board.flash_size)
        self.air: Any = AirLink(options.air, self.kernel) if options.air else Air(seed=1)
        settings = BoardSettings(mac=mac, faults=dict(world.faults), radio_settings={"air": self.air})
        self.board = VirtualProcessorBoard(board, profile, self.flash, self.kernel, world, settings)
        self.end = _make_end(options)
        self.station = Station(self.board, self.end, self.kernel, boot_held=options.boot_held)
        self.gateway: Gateway | None = None
        if options.gateway:
            self.gateway = Gateway(
                "02" + mac.hex() + "01", self.air, self.kernel, options.gateway, realtime=True
            )
        self.facts = {
            "port": self.end.url,
            "flash": str(path),
            "board": board.name,
            "mac": mac.hex(":"),
        }

    def close(self) -> None:
        self.station.close()
        if self.gateway is not None:
            self.gateway.close()
        if isinstance(self.air, AirLink):
            self.air.close()
        self.flash.close()
        if self._folder is not None:
            self._folder.cleanup()


def run_board(options: StationOptions, ready: Callable[[dict[str, str], RealtimeKernel], None]) -> None:
    """Run one board until somebody stops the kernel given to ``ready``."""
    prepare()
    assembly = _Assembly(options)
    try:
        assembly.station.power_on()
        ready(assembly.facts, assembly.kernel)
        assembly.kernel.run()
    finally:
        assembly.close()


class VirtualBoard:
    """A virtual board in real time; see the module's head. ``port`` is what tools take as their port."""

    def __init__(self, board: str = "virtual", profile: str | None = None, **options: Any) -> None:
        self._options = StationOptions(board=board, profile=profile, **options)
        self._thread: threading.Thread | None = None
        self._kernel: RealtimeKernel | None = None
        self._error: BaseException | None = None
        self.facts: dict[str, str] = {}

    @property
    def port(self) -> str:
        """Device path or URL of the serial port."""
        return self.facts["port"]

    @property
    def flash(self) -> Path:
        """The flash file."""
        return Path(self.facts["flash"])

    def __enter__(self) -> VirtualBoard:
        started = threading.Event()

        def ready(facts: dict[str, str], kernel: RealtimeKernel) -> None:
            self.facts, self._kernel = facts, kernel
            started.set()

        def run() -> None:
            try:
                run_board(self._options, ready)
            except BaseException as error:
                self._error = error
            finally:
                started.set()

        self._thread = threading.Thread(target=run, name="virtual-board", daemon=True)
        self._thread.start()
        started.wait(30)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._kernel is not None:
            self._kernel.stop()
        if self._thread is not None:
            self._thread.join(10)
