# SPDX-License-Identifier: MIT
"""``communode ingest``: events of a network server into a store of readings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

import click

from communode.cli._options import json_option
from communode.report import Report


@click.command()
@click.option(
    "--store",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="SQLite file, made when missing.",
)
@click.argument("events", type=click.File("r", encoding="utf-8"), default="-")
@json_option
def ingest(store: Path, events: IO[str], as_json: bool) -> int:
    """Store what nodes sent: events as JSON lines, from the bench server or from ChirpStack.

    A record that is there already changes nothing, so the same events may be read again.

    \b
    Example: communode lns run --store lns.sqlite --json | communode ingest --store readings.sqlite
    Example: communode ingest --store readings.sqlite events.jsonl
    """
    from communode.errors import CommunodeError
    from communode.ingest.application import Application
    from communode.ingest.readings import ReadingStore
    from communode.messages import text

    readings = ReadingStore(store)
    report = Report(as_json)
    taken = unread = 0
    try:
        application = Application(readings)
        for number, line in enumerate(events, 1):
            if not line.strip():
                continue
            try:
                event = json.loads(line)
                dev_eui = event["deviceInfo"]["devEui"] if event.get("event", "up") == "up" else None
            except (ValueError, KeyError, TypeError, AttributeError):
                raise CommunodeError("ingest.not_events", usage=True, line=number) from None
            if dev_eui is None:
                continue
            before = len(application.rejected)
            application.take(event)
            if len(application.rejected) > before:
                unread += 1
                report.note(application.rejected[-1])
                continue
            taken += 1
            report.event("stored", dev_eui=dev_eui, records=readings.count(dev_eui))
    finally:
        readings.close()
    report.line(text("ingest.done", events=taken, unread=unread, store=store))
    return 1 if unread else 0
