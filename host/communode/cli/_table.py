# SPDX-License-Identifier: MIT
"""How the state of several boards is shown: a live table on a terminal, lines elsewhere, JSON where asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from communode.messages import text
from communode.report import Report

Listener = Callable[[dict[str, Any]], None]


@contextmanager
def watch(report: Report, ports: Sequence[str]) -> Iterator[Listener]:
    """A listener for `communode.flash.run_jobs`; says the verdicts, and a summary when there are several."""
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
    with shown(report, ports) as show:

        def listen(event: dict[str, Any]) -> None:
            report.event(**event)
            show(event)
            if event["verdict"]:
                finish(event)

        yield listen
    if len(ports) > 1:
        report.note(text("flash.summary", good=verdicts.count("good"), total=len(ports)))


@contextmanager
def _lines(report: Report, ports: Sequence[str]) -> Iterator[Listener]:
    """One line a stage, for logs."""
    stages: dict[str, str] = {}

    def show(event: dict[str, Any]) -> None:
        port, stage = event["port"], event["stage"]
        if stages.get(port) != stage and not report.as_json:
            stages[port] = stage
            report.note(f"{port}: {text(f'flash.stage.{stage}')}")

    yield show


@contextmanager
def _live(report: Report, ports: Sequence[str]) -> Iterator[Listener]:
    """One bar a board."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[port]}"),
        TextColumn("{task.fields[mac]}"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks = {port: progress.add_task("", total=100, port=port, mac="") for port in ports}

        def show(event: dict[str, Any]) -> None:
            progress.update(
                tasks[event["port"]],
                completed=event["pct"],
                description=text(f"flash.stage.{event['stage']}"),
                mac=event["mac"] or "",
            )

        yield show
