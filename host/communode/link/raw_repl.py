# SPDX-License-Identifier: MIT
"""MicroPython's raw REPL with raw paste, as a client: run code on a board, get what it printed.

Not a file copier (`communode.deploy`), not a terminal (`communode.cli.monitor`). Code goes out under the
board's own flow control, so nothing is lost however slow the board is; every wait has an end.

Source: MicroPython documentation v1.27, "The MicroPython Interactive Interpreter Mode" (raw, raw-paste).
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol

from communode.errors import CommunodeError

CTRL_A, CTRL_B, CTRL_C, CTRL_D, CTRL_E = b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"
_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
_ENTER_TRIES = 20
_MARK = "caught up"


class SerialPort(Protocol):
    """What the client needs of a port (pyserial's ``Serial`` is one)."""

    timeout: float | None

    def read(self, size: int = ..., /) -> bytes:
        """Up to ``size`` bytes, fewer when ``timeout`` ends."""

    def write(self, data: bytes, /) -> int | None:
        """Send all of ``data``."""

    def close(self) -> None:
        """Give the port back."""


class BoardError(Exception):
    """The code raised on the board; the text is its traceback."""


class RawRepl:
    """A board's raw REPL, entered by ``with``; leaving it goes back to the friendly prompt."""

    def __init__(self, port: SerialPort, name: str, *, timeout_s: float = 10.0) -> None:
        self._port = port
        self._name = name
        self._timeout_s = timeout_s
        port.timeout = 0.2

    def __enter__(self) -> RawRepl:
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._port.write(CTRL_B)

    def _enter(self) -> None:
        """Interrupt what runs and enter raw mode; ``link.no_repl`` if the board does not let us."""
        for attempt in range(_ENTER_TRIES):
            self._port.write(b"\r" + CTRL_C + CTRL_C + b"\r" + CTRL_A)
            until = time.monotonic() + 1.0
            seen = b""
            while time.monotonic() < until:
                seen += self._port.read(256)
                if seen.endswith(_PROMPT):
                    if attempt:
                        self._catch_up()
                    return
        raise CommunodeError("link.no_repl", port=self._name)

    def _catch_up(self) -> None:
        """Read past the answers to earlier attempts: a board that was only slow gives one to each."""
        self._port.write(f"print(end={_MARK!r})".encode() + CTRL_D)
        until = time.monotonic() + self._timeout_s
        while not self._until(b">", until).endswith(b"OK" + _MARK.encode() + CTRL_D + CTRL_D):
            pass

    def soft_reset(self) -> None:
        """Restart the interpreter without main.py: an empty heap, and no application that still runs."""
        self._port.write(CTRL_D)
        until = time.monotonic() + self._timeout_s
        seen = b""
        while not seen.endswith(_PROMPT):
            if time.monotonic() > until:
                raise CommunodeError("link.silent", port=self._name)
            seen += self._port.read(256)

    def run(self, code: str, *, timeout_s: float | None = None) -> bytes:
        """Run ``code``; return what it printed. Raises `BoardError`, or ``link.silent`` after a while."""
        until = time.monotonic() + (timeout_s or self._timeout_s)
        self._paste(code.encode(), until)
        printed = self._until(CTRL_D, until)
        error = self._until(CTRL_D, until)
        self._expect(b">", until)
        if error:
            raise BoardError(error.decode("utf-8", "replace"))
        return printed

    def send(self, code: str) -> None:
        """Start ``code`` and do not wait for it: it may end the connection, as a reset does."""
        self._paste(code.encode(), time.monotonic() + self._timeout_s)

    def _paste(self, code: bytes, until: float) -> None:
        self._port.write(CTRL_E + b"A" + CTRL_A)
        answer = self._exactly(2, until)
        if answer != b"R\x01":
            raise CommunodeError("link.no_repl", port=self._name)
        window = int.from_bytes(self._exactly(2, until), "little")
        allowed = window
        position = 0
        while position < len(code):
            while allowed == 0:
                byte = self._exactly(1, until)
                if byte == CTRL_D:  # the board ends the transfer: the code does not compile so far
                    self._port.write(CTRL_D)
                    return
                allowed += window if byte == b"\x01" else 0
            part = code[position : position + allowed]
            self._port.write(part)
            position += len(part)
            allowed -= len(part)
        self._port.write(CTRL_D)
        while True:
            byte = self._exactly(1, until)
            if byte == CTRL_D:
                return
            if byte != b"\x01":
                raise CommunodeError("link.no_repl", port=self._name)

    def _exactly(self, size: int, until: float) -> bytes:
        data = b""
        while len(data) < size:
            if time.monotonic() > until:
                raise CommunodeError("link.silent", port=self._name)
            data += self._port.read(size - len(data))
        return data

    def _until(self, end: bytes, until: float) -> bytes:
        data = bytearray()
        while True:
            byte = self._exactly(1, until)
            if byte == end:
                return bytes(data)
            data += byte

    def _expect(self, wanted: bytes, until: float) -> None:
        if self._exactly(len(wanted), until) != wanted:
            raise CommunodeError("link.no_repl", port=self._name)
