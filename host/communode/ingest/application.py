# SPDX-License-Identifier: MIT
"""The application server in small: takes uplink events, stores what they say, answers which records it lacks.

Works on events in the shape of ChirpStack v4 (of the bench server or of a real one); owns no network.
"""

from __future__ import annotations

import base64
import itertools
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from communode.errors import CommunodeError
from communode.ingest.alarms import AlarmStore, decode_alarms
from communode.ingest.readings import ReadingStore, Report, decode_readings
from communode.ingest.status import StatusStore, decode_status
from communode.node.codec import alarm, downlink, status, uplink

Runs = list[tuple[int, int]]  # (newest id, how many, going down), newest first
_FARTHEST = 12  # records between two runs, about as many as a frame at DR5 holds


@dataclass(frozen=True)
class Answer:
    """A downlink for the node that just sent."""

    f_port: int
    payload: bytes


class Application:
    """Events in; readings, alarms and status kept; answers out."""

    def __init__(self, store: ReadingStore) -> None:
        self.store = store
        self.alarms = AlarmStore(store.database)
        self.status = StatusStore(store.database)
        self.rejected: list[str] = []

    def take(self, event: dict[str, Any]) -> Answer | None:
        """Handle an ``up`` event. An unreadable payload is noted in ``rejected`` and changes nothing.

        One downlink can follow an uplink: an operator's acknowledgement of an alarm goes first, the node asks
        for its records again.
        """
        dev_eui = event["deviceInfo"]["devEui"]
        answer = None
        try:
            if event.get("data"):
                answer = self._take(dev_eui, event["fPort"], base64.b64decode(event["data"]), event)
        except CommunodeError as error:
            self.rejected.append(f"{dev_eui}: {error.message}")
        acknowledgement = self.alarms.answer(dev_eui)
        return answer if acknowledgement is None else Answer(alarm.F_PORT, acknowledgement)

    def acknowledge(self, dev_eui: str, name: str) -> int:
        """An operator knows of the open alarm ``name``: its occurrence. `CommunodeError` if none is."""
        return self.alarms.acknowledge(dev_eui, name)

    def _take(self, dev_eui: str, f_port: int, payload: bytes, event: dict[str, Any]) -> Answer | None:
        if f_port == alarm.F_PORT:
            self.alarms.add(dev_eui, decode_alarms(payload).reports)
        elif f_port == status.F_PORT:
            self.status.add(dev_eui, _utc(event["time"]), decode_status(payload))
        elif f_port == uplink.F_PORT:
            return self._take_readings(dev_eui, payload)
        return None

    def _take_readings(self, dev_eui: str, payload: bytes) -> Answer | None:
        report = decode_readings(payload)
        self.store.add(dev_eui, report.records)
        return answer_readings(self.store, dev_eui, report)


def answer_readings(store: ReadingStore, dev_eui: str, report: Report) -> Answer | None:
    """Which records are to be sent again, where the node has asked; they are in ``store`` already."""
    if report.floor is None:
        return None
    base, runs = store.missing(dev_eui, report.generation, report.floor, report.newest)
    payload = downlink.encode_acknowledgement(report.generation, base, bridge_runs(runs))
    return Answer(downlink.F_PORT, payload)


def bridge_runs(runs: Runs) -> Runs:
    """``runs`` with those joined that lie close together, the closest first, until one answer holds them all.

    What lies between is sent once more for nothing: 26 ms of airtime a record at DR5, where an answer is one of
    ten that a day allows. At 30 % loss random losses alone fill an answer, and what is older would never be named.
    """
    gaps = [newest - count - older for (newest, count), (older, _) in itertools.pairwise(runs)]
    near = sorted((gap, index) for index, gap in enumerate(gaps) if gap <= _FARTHEST)

    def joined(number: int) -> Runs:
        return _join(runs, {index for _, index in near[:number]})

    return joined(bisect_left(range(len(near)), True, key=lambda number: _fits(joined(number))))


def _join(runs: Runs, bridged: set[int]) -> Runs:
    """``runs``, each of ``bridged`` joined with the one after it."""
    joined: Runs = []
    for index, (newest, count) in enumerate(runs):
        lowest = newest - count + 1
        if index - 1 in bridged:
            newest = joined.pop()[0]
        joined.append((newest, newest - lowest + 1))
    return joined


def _fits(runs: Runs) -> bool:
    """Whether an acknowledgement has pairs enough for ``runs``: a byte counts to 255."""
    pairs, at = 0, runs[0][0]
    for newest, count in runs:
        pairs += max(0, at - newest - 1) // 255 + -(-count // 255)
        at = newest - count
    return pairs <= downlink.MAX_PAIRS


def _utc(time: str) -> str:
    """A time of an event as the store has it."""
    return datetime.fromisoformat(time).astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
