# SPDX-License-Identifier: MIT
"""What the demonstration shows while it runs: stages at the bench, then a table that follows the day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from communode.messages import text
from communode.report import Report

Progress = Callable[[str, dict[str, Any]], None]


@contextmanager
def show_progress(report: Report) -> Iterator[Progress]:
    """A progress callback: JSON events, a live table on a terminal, or plain lines elsewhere."""
    console = Console(stderr=True)
    if report.as_json:
        yield lambda kind, event: None
    elif console.is_terminal:
        view = _View()
        with Live(view.table(), console=console, refresh_per_second=8, transient=True) as live:

            def progress(kind: str, event: dict[str, Any]) -> None:
                view.take(kind, event)
                live.update(view.table())

            yield progress
    else:
        yield _plain(report)


def _plain(report: Report) -> Progress:
    hours_said: set[int] = set()

    def progress(kind: str, event: dict[str, Any]) -> None:
        if kind == "build":
            report.note(text("demo.building", **event))
        elif kind == "flash" and event.get("verdict"):
            report.note(text("demo.flashed", **event))
        elif kind == "time":
            hour = event["time_us"] // 3_600_000_000
            if hour % 6 == 0 and hour not in hours_said:
                hours_said.add(hour)
                report.note(text("demo.hour", hour=hour))

    return progress


class _View:
    """The rows of the live table."""

    def __init__(self) -> None:
        self._stage: dict[str, tuple[str, str, str]] = {}
        self._nodes: list[dict[str, Any]] = []
        self._clock = ""

    def take(self, kind: str, event: dict[str, Any]) -> None:
        """Note one event."""
        if kind == "flash":
            done = event.get("verdict") or event.get("stage") or ""
            pct = f"{event['pct']:.0f} %" if event.get("pct") is not None else ""
            self._stage[event["port"]] = (event.get("board", ""), str(done), pct)
        elif kind == "time":
            hours, rest = divmod(event["time_us"] // 1_000_000, 3600)
            self._clock = f"{hours:02d}:{rest // 60:02d} / {event['end_us'] / 3.6e9:g} h"
            self._nodes = event["nodes"]

    def table(self) -> Table:
        """The picture of the moment."""
        if self._nodes:
            table = Table(title=text("demo.title", clock=self._clock))
            for key in ("node", "board", "joined", "records", "stored", "uplinks", "heard"):
                table.add_column(
                    text(f"demo.column.{key}"), justify="left" if key in ("node", "board") else "right"
                )
            for node in self._nodes:
                joined = "●" if node["joined"] else "…"
                table.add_row(
                    node["name"],
                    node["board"],
                    joined,
                    str(node["records"]),
                    str(node["stored"]),
                    str(node["uplinks"]),
                    str(node["heard"]),
                )
            return table
        table = Table(title=text("demo.bench"))
        for key in ("port", "board", "stage", "pct"):
            table.add_column(text(f"demo.column.{key}"))
        for port, (board, stage, pct) in self._stage.items():
            table.add_row(port, board, stage, pct)
        return table
