# SPDX-License-Identifier: MIT
"""``communode monitor``: show what a board says, with the time, across resets and deep sleep."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from communode.cli._options import json_option, port_option
from communode.report import Report

if TYPE_CHECKING:
    import serial


@click.command()
@port_option()
@click.option("--seconds", type=float, help="Stop after this time; without it, Ctrl-C stops.")
@json_option
def monitor(port: str, seconds: float | None, as_json: bool) -> None:
    """Show what a board says, line by line, with the time.

    A port that goes away (a board with native USB that sleeps) is waited for.

    \b
    Example: communode monitor --port /dev/ttyUSB0
    """
    import serial

    from communode.link.serial_port import open_port
    from communode.messages import text

    report = Report(as_json)
    until = time.monotonic() + seconds if seconds is not None else None
    opened = open_port(port)
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
            _show(report, port, item)
    if line:
        _show(report, port, bytes(line))
    opened.close()


def _show(report: Report, port: str, line: bytes) -> None:
    """Print one line; control characters that would steer the terminal are taken out."""
    words = line.decode("utf-8", "replace").rstrip("\r")
    words = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in words)
    now = datetime.now().astimezone()
    report.event("line", port=port, time=now.isoformat(timespec="milliseconds"), text=words)
    report.line(f"{now:%H:%M:%S}.{now.microsecond // 1000:03} {words}")


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
