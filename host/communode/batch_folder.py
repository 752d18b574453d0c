# SPDX-License-Identifier: MIT
"""A batch folder: one record a board that was on the bench, and a log of every verdict. No keys.

``<mac>.json`` says how far a board has come and is replaced whole at each step, so that a run which was cut
short, by a power failure too, is taken up where it was. ``log.jsonl`` gets one line a verdict, also of boards
that never told a MAC address.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from communode.errors import CommunodeError

LOG = "log.jsonl"
STEPS = ("flashed", "identified", "joined", "labelled")


def now() -> str:
    """The time as records hold it: UTC, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass
class BoardRecord:
    """What a batch knows of one board. ``steps``: step -> when it was done; EUIs in hex."""

    mac: str
    board: str
    chip: str | None = None
    profile: str | None = None
    version: str | None = None
    image: str | None = None  # SHA-256 over the hashes of the image's regions
    port: str | None = None
    dev_eui: str | None = None
    join_eui: str | None = None
    dev_addr: str | None = None
    steps: dict[str, str] = field(default_factory=dict)
    verdict: str | None = None
    error: dict[str, str] | None = None
    attempts: int = 0
    seconds: float = 0.0
    written: int = 0
    baud: int | None = None
    time: str = ""

    def reach(self, step: str) -> None:
        """Note that ``step`` is done now."""
        assert step in STEPS, step
        self.steps[step] = now()


class BatchFolder:
    """The records of one batch; without a path they are kept in memory only."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._records: dict[str, BoardRecord] = {}
        if path is not None:
            path.mkdir(parents=True, exist_ok=True)
            for file in sorted(path.glob("*.json")):
                record = _read(file)
                self._records[record.mac] = record

    def record(self, mac: str, board: str) -> BoardRecord:
        """The record of the board with this address; a new one if the batch does not know it."""
        return self._records.setdefault(mac, BoardRecord(mac, board))

    def records(self) -> list[BoardRecord]:
        """All records, by address."""
        return [self._records[mac] for mac in sorted(self._records)]

    def save(self, record: BoardRecord) -> None:
        """Keep a record, whole or not at all."""
        record.time = now()
        if self.path is None:
            return
        file = self.path / f"{record.mac.replace(':', '')}.json"
        fresh = file.with_name(f".{file.name}.new")
        with fresh.open("w", encoding="utf-8") as stream:
            stream.write(json.dumps({"schema": 1, **asdict(record)}, indent=2) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(fresh, file)

    def log(self, event: dict[str, Any]) -> None:
        """Add a verdict to the log."""
        if self.path is not None:
            with (self.path / LOG).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"time": now(), **event}, ensure_ascii=False) + "\n")


def _read(file: Path) -> BoardRecord:
    try:
        values = json.loads(file.read_text("utf-8"))
        values.pop("schema")
        return BoardRecord(**values)
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = str(error)
    raise CommunodeError("tray.bad_record", usage=True, file=file, reason=reason)
