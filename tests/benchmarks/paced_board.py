# SPDX-License-Identifier: MIT
"""A virtual board behind a serial line of a given latency, which counts what goes over it and into flash.

Flash takes its time after the one table of costs. MicroPython waits for it, so all of it counts. The loader's
stub acknowledges a block before it writes it, so that the next one travels meanwhile (esp-flasher-stub,
Espressif): there only what is left to do after the last block counts.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType

from communode.boards import load_board
from communode.build import Build
from communode.profiles import load_profile
from communode.virtual.air import Air
from communode.virtual.board import BoardSettings, VirtualProcessorBoard
from communode.virtual.costs import cost_table
from communode.virtual.flash import FlashFile
from communode.virtual.kernel import RealtimeKernel
from communode.virtual.ports import Pacing, PtyEnd
from communode.virtual.station import Station
from communode.virtual.world import World
from littlefs import LittleFS

_PAGE = 256


class _CountingPty(PtyEnd):
    """Counts the bytes of both directions."""

    wire_bytes = 0

    def _received(self, data: bytes) -> None:
        self.wire_bytes += len(data)
        super()._received(data)

    def write(self, data: bytes) -> None:
        self.wire_bytes += len(data)
        super().write(data)


class PacedBoard:
    """A board with MicroPython and an empty file system; the line goes as fast as the tool sets its port."""

    def __init__(self, image: Build, file: Path, latency_ms: float) -> None:
        board = load_board("virtual")
        self._flash = FlashFile(file, board.flash_size)
        for region in image.regions:
            data = region.data if region.name != "vfs" else _empty_file_system(len(region.data))
            self._flash.program(region.offset, data)
        self._flash.on_operation = self._count
        self.kernel = RealtimeKernel()
        settings = BoardSettings(mac=bytes.fromhex("0200c0000001"), radio_settings={"air": Air(seed=1)})
        profile = load_profile("air")
        processor = VirtualProcessorBoard(board, profile, self._flash, self.kernel, World(), settings)
        self.end = _CountingPty(pacing=Pacing(None, latency_ms))
        self.port = self.end.url
        self._station = Station(processor, self.end, self.kernel)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._costs = cost_table()["flash"]
        self.reset_counts()

    def reset_counts(self) -> None:
        """Count from here."""
        self.end.wire_bytes = 0
        self._flash_us = 0
        self._busy_until_s = self._last_s = 0.0

    @property
    def flash_s(self) -> float:
        """How much longer all would have taken with a flash chip that takes its time."""
        return self._flash_us / 1e6 + max(0.0, self._busy_until_s - self._last_s)

    def _count(self, kind: str, offset: int, data: bytes) -> None:
        pages = -(-len(data) // _PAGE)
        erasing = kind == "erase"
        took_us = self._costs["erase_us"] if erasing else pages * self._costs["program_us_per_256"]
        if self._station.in_loader:
            self._last_s = time.monotonic()
            self._busy_until_s = max(self._busy_until_s, self._last_s) + took_us / 1e6
        else:
            self._flash_us += took_us

    def _run(self) -> None:
        self._station.power_on()
        self.kernel.run()

    def __enter__(self) -> PacedBoard:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kernel.stop()
        self._thread.join(10)
        self._station.close()
        self._flash.close()


def _empty_file_system(size: int) -> bytes:
    """What MicroPython's first boot makes of the partition."""
    made = LittleFS(
        block_size=4096,
        block_count=size // 4096,
        read_size=32,
        prog_size=32,
        lookahead_size=32,
        cache_size=128,
        disk_version=0x20000,
    )
    return bytes(made.context.buffer)
