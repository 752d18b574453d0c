# SPDX-License-Identifier: MIT
"""How the state of several boards is shown: a live table on a terminal, lines elsewhere, JSON where asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from communode.messages import text
from communode.report import Report

Listener = Callable[[dict[str, Any]], None]
_COLUMNS = ("port", "board", "chip", "mac", "stage", "speed", "verdict")
_BAR = 12
_ROWS_KEPT = 200  # a bench that watches for days shows the newest


@contextmanager
def watch(report: Report) -> Iterator[Listener]:
    """A listener for `communode.flash` and `communode.tray`: shows stages, says verdicts, and sums up."""
    began = time.monotonic()
    verdicts: list[str] = []

    def finish(event: dict[str, Any]) -> None:
        verdicts.append(event["verdict"])
        if event["error"]:
            report.note(f"{event['error']['message']} {event['error']['remedy']}")
        else:
            seconds = time.monotonic() - began
            report.note(text("flash.good", port=event["port"], mac=event["mac"], seconds=seconds))

    shown = _live if sys.stderr.isatty() and not report.as_json else _lines
    with shown(report) as show:

        def listen(event: dict[str, Any]) -> None:
            report.event(**event)
            show(event)
            if event["verdict"]:
                finish(event)

        yield listen
    if len(verdicts) > 1:
        report.note(text("flash.summary", good=verdicts.count("good"), total=len(verdicts)))


@contextmanager
def _lines(report: Report) -> Iterator[Listener]:
    """One line a stage, for logs."""
    stages: dict[str, str] = {}

    def show(event: dict[str, Any]) -> None:
        port, stage = event["port"], event["stage"]
        if stages.get(port) != stage and not report.as_json:
            stages[port] = stage
            report.note(f"{port}: {text(f'flash.stage.{stage}')}")

    yield show


def cells(event: dict[str, Any]) -> tuple[str, ...]:
    """One row of the table, in the order of the columns."""
    stage = text(f"flash.stage.{event['stage']}")
    if not event["verdict"] and 0 < event["pct"] <= 100:
        filled = _BAR * event["pct"] // 100
        stage = f"{stage} {'#' * filled}{'.' * (_BAR - filled)} {event['pct']} %"
    speed = f"{event['speed_bps'] // 1000} kbit/s" if event["speed_bps"] else ""
    verdict = text(f"tray.verdict.{event['verdict']}") if event["verdict"] else ""
    return (event["port"], event["board"], event["chip"] or "", event["mac"] or "", stage, speed, verdict)


@contextmanager
def _live(report: Report) -> Iterator[Listener]:
    """A table that is drawn anew as boards go on."""
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    rows: dict[str, dict[str, Any]] = {}

    def table() -> Table:
        drawn = Table(*(text(f"tray.column.{name}") for name in _COLUMNS), box=None, pad_edge=False)
        styles = {"good": "green", "failed": "red"}
        for event in list(rows.values())[-_ROWS_KEPT:]:
            drawn.add_row(*cells(event), style=styles.get(event["verdict"], ""))
        return drawn

    console = Console(stderr=True)
    with Live(get_renderable=table, console=console, refresh_per_second=8, transient=True):

        def show(event: dict[str, Any]) -> None:
            before = rows.get(event["port"], {})
            rows[event["port"]] = event | {"speed_bps": event["speed_bps"] or before.get("speed_bps")}

        yield show
    if rows:
        console.print(table())
