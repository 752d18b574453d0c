# SPDX-License-Identifier: MIT
"""The board that a test talks to, virtual or at a serial port: `Bench` plugs it in, `Node` talks with it.

Not a test framework: patterns, services and many boards at once are pytest-embedded's.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from communode.link.raw_repl import RawRepl
from communode.link.serial_port import open_port

_RESET_S = 0.1  # how long EN is held low


def _ignore(event: dict[str, Any]) -> None:
    """Progress is nobody's business in a test."""


@dataclass
class Bench:
    """One board on the table. ``port`` None means a virtual board, made on entering."""

    board: str = "virtual"
    profile: str = "air"
    port: Any = None
    provision: bool = False
    keep: bool = False
    _plugged: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Bench:
        virtual = self.port is None
        try:
            if virtual:
                from communode.virtual import VirtualBoard

                self.port = self._plugged.enter_context(VirtualBoard(self.board, profile=self.profile)).port
            if not self.keep:
                self._flash("virtual" if virtual else "device")
            if self.provision:
                self._provision()
        except BaseException:
            self._plugged.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._plugged.close()

    def _flash(self, body: str) -> None:
        from communode.boards import load_board
        from communode.build import build
        from communode.flash import check_ports, job_for, run_jobs
        from communode.profiles import load_profile

        check_ports([self.port])
        image = build(load_board(self.board), load_profile(self.profile), body=body)
        for outcome in run_jobs([job_for(image, self.port)], self.board, _ignore):
            if outcome.error is not None:
                raise outcome.error

    def _provision(self) -> None:
        from communode.boards import load_board
        from communode.provision import provision_ports

        for done in provision_ports([self.port], load_board(self.board), replace=True, listener=_ignore):
            if done.outcome.error is not None:
                raise done.outcome.error


class Node:
    """A board with its port open. What it prints is kept until somebody expects it."""

    def __init__(self, port: str) -> None:
        self.port = port
        self._serial: Any = None
        self._seen = ""

    def __enter__(self) -> Node:
        self._serial = open_port(self.port, timeout_s=0.05)
        try:
            self.reset()
        except BaseException:
            self._serial.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._serial.close()

    def exec(self, code: str, *, timeout_s: float = 10.0) -> str:
        """Run ``code`` at the prompt, interrupting the program; return what it printed, lines ended by LF.

        Raises `communode.link.raw_repl.BoardError` with the traceback when it fails on the board.
        """
        with RawRepl(self._serial, self.port, timeout_s=timeout_s) as repl:
            printed = repl.run(code)
        self._serial.timeout = 0.05
        return printed.decode("utf-8", "replace").replace("\r\n", "\n")

    def expect(self, pattern: str, *, timeout_s: float = 30.0) -> re.Match[str]:
        """Wait until the board prints what ``pattern`` matches; what came before and with it is used up."""
        until = time.monotonic() + timeout_s
        while True:
            match = re.search(pattern, self._seen)
            if match is not None:
                self._seen = self._seen[match.end() :]
                return match
            if time.monotonic() > until:
                raise AssertionError(
                    f"{self.port} did not print {pattern!r} in {timeout_s} s, but {self._seen!r}"
                )
            self._read()

    def write(self, text: str) -> None:
        """Type ``text`` at the console; lines end with CR."""
        self._serial.write(text.encode())

    def reset(self) -> None:
        """Start the board's program anew, as its button does where the port has modem lines."""
        if self._has_lines():
            self._serial.dtr = False
            self._serial.rts = True
            time.sleep(_RESET_S)
            self._serial.reset_input_buffer()
            self._serial.rts = False
        else:
            with RawRepl(self._serial, self.port) as repl:
                repl.send("import machine; machine.reset()")
            self._serial.timeout = 0.05
        self._seen = ""

    def _has_lines(self) -> bool:
        return not os.path.realpath(self.port).startswith("/dev/pts/") and not self.port.startswith("socket:")

    def _read(self) -> None:
        data = self._serial.read(max(1, self._serial.in_waiting))
        self._seen += data.decode("utf-8", "replace")
