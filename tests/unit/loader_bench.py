# SPDX-License-Identifier: MIT
"""A chip that is nothing but flash, ROM loader and a serial port, in a thread, for tools run as subprocesses.

Goes to the loader as a board does: by DTR and RTS where the port has them, else on seeing SYNC. Goes back
to its (silent) application when told to, or when the tool closes a port without lines, unless it ``stays``.
"""

from __future__ import annotations

import hashlib
import selectors
import subprocess
import sys
import threading
import time
from types import TracebackType

from communode.virtual.chip_identity import ChipIdentity
from communode.virtual.flash import FlashFile
from communode.virtual.ports import Rfc2217End, SerialEnd
from communode.virtual.reset_circuit import ResetCircuit
from communode.virtual.rom import SYNC_REQUEST, RomLoader

MAC = bytes.fromhex("246f28a1b2c3")


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that do not compress, always the same."""
    return hashlib.shake_256(bytes([seed])).digest(size)


class LoaderBench:
    """Serves ``end`` until left. ``resets`` lists where the chip was started into."""

    def __init__(self, end: SerialEnd, flash: FlashFile, chip: str, *, stays: bool = False) -> None:
        self.end = end
        self.stays = stays
        self.flash = flash
        self.mode = "app"
        self.resets: list[str] = []
        self.baud_rates: list[int] = []
        self.error: BaseException | None = None
        identity = ChipIdentity(chip, MAC, flash.size)
        self.rom = RomLoader(
            flash,
            identity,
            end.write,
            on_run_app=lambda: self._start("app"),
            on_baud=self.baud_rates.append,
            line_rate=lambda: end.baud,
        )
        self.circuit = ResetCircuit(self._start)
        self._seen = b""
        end.on_bytes = self._take
        end.on_close = self._leave
        end.on_lines = lambda dtr, rts: self.circuit.set_lines(dtr, rts, time.monotonic())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> LoaderBench:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(5)
        self.end.close()
        self.flash.close()
        if self.error is not None and kind is None:
            raise self.error

    def esptool(self, *arguments: str, options: tuple[str, ...] = (), status: int = 0) -> str:
        """Run the real esptool on the port; return what it printed."""
        command = [sys.executable, "-m", "esptool", "--port", self.end.url, *options, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        printed = done.stdout + done.stderr
        assert done.returncode == status, printed
        return printed

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self.end, selectors.EVENT_READ)
                while not self._stop.is_set():
                    dues = [due for due in (self.end.due(), self.circuit.due()) if due is not None]
                    wait = min([0.05, *(max(0.0, due - time.monotonic()) for due in dues)])
                    selector.select(wait)
                    self.circuit.advance(time.monotonic())
                    self.end.service()
        except BaseException as error:
            self.error = error

    def _take(self, data: bytes) -> None:
        if self.mode == "rom":
            self.rom.feed(data)
            return
        self._seen = (self._seen + data)[-1024:]
        if not isinstance(self.end, Rfc2217End) and SYNC_REQUEST in self._seen:
            self.mode = "rom"
            self.rom.reset()
            self.rom.feed(SYNC_REQUEST)
            self._seen = b""

    def _leave(self) -> None:
        if self.mode == "rom" and not self.stays and not isinstance(self.end, Rfc2217End):
            self._start("app")

    def _start(self, where: str) -> None:
        self.resets.append(where)
        self.mode = where
        if where == "rom":
            self.rom.enter()
