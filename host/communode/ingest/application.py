# SPDX-License-Identifier: MIT
"""The application server in small: takes uplink events, stores readings, answers which records it has.

Works on events in the shape of ChirpStack v4 (of the bench server or of a real one); owns no network.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from communode.errors import CommunodeError
from communode.ingest.readings import ReadingStore, decode_readings
from communode.node.codec import downlink, uplink


@dataclass(frozen=True)
class Answer:
    """A downlink for the node that just sent."""

    f_port: int
    payload: bytes


class Application:
    """Events in, readings kept, answers out."""

    def __init__(self, store: ReadingStore) -> None:
        self.store = store
        self.rejected: list[str] = []

    def take(self, event: dict[str, Any]) -> Answer | None:
        """Handle an ``up`` event. An unreadable payload is noted in ``rejected`` and changes nothing."""
        if event.get("fPort") != uplink.F_PORT or not event.get("data"):
            return None
        dev_eui = event["deviceInfo"]["devEui"]
        try:
            report = decode_readings(base64.b64decode(event["data"]))
        except CommunodeError as error:
            self.rejected.append(f"{dev_eui}: {error.message}")
            return None
        self.store.add(dev_eui, report.records)
        if report.floor is None:
            return None
        base, start, have = self.store.have(dev_eui, report.generation, report.floor, report.newest)
        return Answer(downlink.F_PORT, downlink.encode_acknowledgement(report.generation, base, start, have))
