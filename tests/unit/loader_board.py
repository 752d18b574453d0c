# SPDX-License-Identifier: MIT
"""A board that only has a flash file, a ROM loader and a pty: enough for everything that esptool does.

It runs in a thread of the test. `die_after` makes the flash fail in the middle of a write, as a board does
that loses its power; `corrupt` makes it store something else than it was sent.
"""

from __future__ import annotations

import selectors
import threading
from pathlib import Path

from communode.virtual.chip_identity import ChipIdentity
from communode.virtual.flash import FlashFile, PowerCut
from communode.virtual.ports.pty import PtyEnd
from communode.virtual.rom import RomLoader


class LoaderBoard:
    """Use as a context manager; ``port`` is what a tool opens."""

    def __init__(
        self, folder: Path, *, chip: str = "esp32s3", flash_mb: int = 4, mac: str = "020000000001"
    ) -> None:
        self.flash = FlashFile(folder / f"{mac}.flash", flash_mb << 20)
        self.end = PtyEnd(folder / f"port-{mac}")
        identity = ChipIdentity(chip, bytes.fromhex(mac), flash_mb << 20)
        self.loader = RomLoader(self.flash, identity, self.end.write)
        self.end.on_open = self.loader.reset
        self.end.on_bytes = self._take
        self.port = self.end.url
        self.die_after: int | None = None
        self.writes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.flash.on_operation = self._operate

    def _operate(self, kind: str, offset: int, data: bytes) -> None:
        self.writes += kind == "program"
        if self.die_after is not None and self.writes > self.die_after:
            raise PowerCut

    def _take(self, data: bytes) -> None:
        try:
            self.loader.feed(data)
        except PowerCut:
            self.end.on_bytes = lambda data: None  # dead: it answers no more

    def revive(self) -> None:
        """Give a board that died its power back."""
        self.die_after = None
        self.flash.restore_power()
        self.loader.reset()
        self.end.on_bytes = self._take

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.end.fileno(), selectors.EVENT_READ)
            while not self._stop.is_set():
                selector.select(0.02)
                self.end.service()

    def __enter__(self) -> LoaderBoard:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        self.end.close()
        self.flash.close()
