# SPDX-License-Identifier: MIT
"""The raw REPL's client against a console that is slow to wake up (on boards: `test_deploy`)."""

from __future__ import annotations

import contextlib
import io

from communode.link.raw_repl import CTRL_A, CTRL_B, CTRL_C, CTRL_D, CTRL_E, RawRepl


class SlowConsole:
    """A raw REPL that takes what has come in only when ``attempts`` have been made to enter it."""

    def __init__(self, attempts: int) -> None:
        self.timeout: float | None = None
        self._attempts = attempts
        self._waiting = b""
        self._line = b""
        self._pasting = False
        self._output = b""

    def write(self, data: bytes, /) -> int:
        self._waiting += data
        self._attempts -= CTRL_A in data
        if self._attempts <= 0:
            for value in self._waiting:
                self._take(bytes([value]))
            self._waiting = b""
        return len(data)

    def read(self, size: int = 1, /) -> bytes:
        size = min(size, self._output.find(b">") + 1 or size)  # it does not answer all at once
        given, self._output = self._output[:size], self._output[size:]
        return given

    def close(self) -> None:
        """Nothing to give back."""

    def _take(self, byte: bytes) -> None:
        if byte == CTRL_D:
            self._output += (b"\x04" if self._pasting else b"OK") + self._run() + b"\x04\x04>"
            self._pasting, self._line = False, b""
        elif byte == CTRL_A and self._line == CTRL_E + b"A":
            self._output += b"R\x01\x20\x00\x01"
            self._pasting, self._line = True, b""
        elif byte == CTRL_A:
            self._output += b"raw REPL; CTRL-B to exit\r\n>"
            self._line = b""
        elif byte in (CTRL_B, CTRL_C):
            self._line = b""
        else:
            self._line += byte

    def _run(self) -> bytes:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(self._line.decode(), {})
        return printed.getvalue().encode()


def test_answers_to_earlier_attempts_are_not_taken_for_the_first_answer() -> None:
    with RawRepl(SlowConsole(attempts=3), "slow") as repl:
        assert repl.run("print(6 * 7)") == b"42\n"
        assert repl.run("print('>')") == b">\n"


def test_a_board_that_answers_at_once_is_asked_once() -> None:
    console = SlowConsole(attempts=1)
    with RawRepl(console, "quick") as repl:
        assert console.read(1) == b""
        assert repl.run("print(1)") == b"1\n"
