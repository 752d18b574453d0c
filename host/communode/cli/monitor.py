# SPDX-License-Identifier: MIT
"""``communode monitor``: show what a board says, with the time, across resets and deep sleep."""

from __future__ import annotations

import re
import sys
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from communode.cli._options import json_option, port_option
from communode.report import Report

if TYPE_CHECKING:
    import serial

    from communode.console_log import Line

_COLOURS = {
    "start": "green",
    "record": "cyan",
    "join": "magenta",
    "send": "blue",
    "downlink": "blue",
    "error": "red",
    "source": "yellow",
    "boot": "bright_black",
}
_KINDS = ("start", "record", "join", "send", "downlink", "error", "boot", "other")


@click.command()
@port_option()
@click.option("--seconds", type=float, help="Stop after this time; without it, Ctrl-C stops.")
@click.option(
    "--only", multiple=True, type=click.Choice(_KINDS), help="Show lines of this kind only; repeat."
)
@click.option("--match", metavar="REGEX", help="Show only lines in which this is found.")
@click.option(
    "--log", type=click.Path(path_type=Path, dir_okay=False), help="Append everything to this file too."
)
@json_option
def monitor(
    port: str,
    seconds: float | None,
    only: tuple[str, ...],
    match: str | None,
    log: Path | None,
    as_json: bool,
) -> None:
    """Show what a board says, line by line, with the time, the kind of line and its figures.

    Tracebacks are shown with the source lines they name. A port that goes away (a board with native USB that
    sleeps) is waited for.

    \b
    Example: communode monitor --port /dev/ttyUSB0
    Example: communode monitor --port /dev/ttyUSB0 --only join --only error --log node.log
    """
    import serial

    from communode.link.serial_port import open_port
    from communode.messages import text

    report = Report(as_json)
    until = time.monotonic() + seconds if seconds is not None else None
    opened = open_port(port)
    with ExitStack() as stack:
        stream = stack.enter_context(log.open("a", encoding="utf-8")) if log else None
        screen = _Screen(report, port, only, _pattern(match), stream)
        report.note(text("monitor.opened", port=port))
        line = bytearray()
        while until is None or time.monotonic() < until:
            try:
                line += opened.read(256)
            except (serial.SerialException, OSError):
                opened.close()
                report.note(text("monitor.gone", port=port))
                again = _wait_for(port, until)
                if again is None:
                    return
                opened = again
            *whole, rest = bytes(line).split(b"\n")
            line = bytearray(rest)
            for item in whole:
                screen.show(item)
        if line:
            screen.show(bytes(line))
        opened.close()


def _pattern(match: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(match) if match else None
    except re.error as error:
        raise click.BadParameter(f"{match!r}: {error}", param_hint="--match") from None


class _Screen:
    """Where lines go: the terminal (or JSON) as far as they are asked for, the log file in any case."""

    def __init__(
        self,
        report: Report,
        port: str,
        only: tuple[str, ...],
        pattern: re.Pattern[str] | None,
        log: IO[str] | None,
    ) -> None:
        from communode.console_log import Decoder

        self._report = report
        self._port = port
        self._only = {*only, *(["source"] if "error" in only else [])}
        self._pattern = pattern
        self._log = log
        self._decoder = Decoder()
        self._shown = True  # whether the line before was: what explains it goes with it

    def show(self, data: bytes) -> None:
        """Take one line of the console."""
        now = datetime.now().astimezone()
        for line in self._decoder.take(data):
            if self._log:
                print(now.isoformat(timespec="milliseconds"), line.text, file=self._log, flush=True)
            self._shown = self._wanted(line)
            if self._shown:
                self._print(line, now)

    def _wanted(self, line: Line) -> bool:
        if line.kind == "source":
            return self._shown
        if self._only and line.kind not in self._only:
            return False
        return self._pattern is None or self._pattern.search(line.text) is not None

    def _print(self, line: Line, now: datetime) -> None:
        stamp = now.isoformat(timespec="milliseconds")
        figures = line.figures
        self._report.event(
            "line", port=self._port, time=stamp, kind=line.kind, text=line.text, figures=figures
        )
        words = line.text
        if sys.stdout.isatty() and not _no_colour():
            words = click.style(words, fg=_COLOURS.get(line.kind))
        self._report.line(f"{now:%H:%M:%S}.{now.microsecond // 1000:03} {words}")


def _no_colour() -> bool:
    import os

    return bool(os.environ.get("NO_COLOR"))


def _wait_for(port: str, until: float | None) -> serial.SerialBase | None:
    """The port once it is back, or None when the time is over."""
    from communode.errors import CommunodeError
    from communode.link.serial_port import open_port

    while until is None or time.monotonic() < until:
        try:
            return open_port(port)
        except CommunodeError as error:
            if error.code not in ("flash.no_port", "link.closed"):
                raise
            time.sleep(0.2)
    return None
