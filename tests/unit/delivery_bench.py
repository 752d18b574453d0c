# SPDX-License-Identifier: MIT
"""A node and its application server joined by a lossy air, without radio and MAC: for tests of delivery.

The node's side is the firmware's own: journal, delivery, codec and sender. The server's is `ReadingStore`.
"""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path
from types import SimpleNamespace

from communode.ingest.application import answer_readings
from communode.ingest.readings import ReadingStore, decode_readings, quantities_of
from communode.node.app.sender import Sender
from communode.node.codec.record import pack_record, pack_values
from communode.node.radio.airtime import time_on_air_us
from communode.node.radio.modem import LoraParameters
from communode.node.storage.delivery import Delivery
from communode.node.storage.journal import Journal
from raw_flash import RawFlash

DAY_MS = 86_400_000
EVERY_MS = 600_000
NODE = "0011223344556677"
_AIR = 1
DR5 = (LoraParameters(868_100_000, 7, 125_000), 222)  # and the longest application payload


class DeliveryBench:
    """One node with profile air (the longest records); `wake` is one sampling and what follows."""

    def __init__(self, folder: Path, *, loss: float = 0.0, seed: int = 1, sectors: int = 64) -> None:
        self.now_ms = 0
        self.loss = loss
        self.gateway = True
        self.rng = random.Random(seed)
        self.store = ReadingStore(folder / "readings.sqlite")
        self.flash = RawFlash(sectors)
        self.journal = Journal(self.flash, 7)
        self.delivery = Delivery(0)
        self.frames: list[list[int]] = []  # ids of each frame that was sent
        self.repeated = 0  # records that the server got though it had them
        self.airtime: deque[tuple[int, int]] = deque()  # (ms, us) of each frame
        self.asked: deque[int] = deque()  # ms
        self.body = pack_values(quantities_of(_AIR), {})
        mac = SimpleNamespace(max_payload=lambda: DR5[1], request_device_time=lambda: None, device_time=None)
        mac.session = SimpleNamespace(data_rate=5, adr=True)
        mac.longest_ms = lambda: time_on_air_us(DR5[0], 13 + DR5[1]) // 1000 + 1
        mac.set_adr = lambda enabled, data_rate: None
        self.runner = SimpleNamespace(mac=mac, send=self._send, late_min_us=0, late_max_us=0)
        keeper = SimpleNamespace(known=True, is_due=lambda now_ms: False, memory=SimpleNamespace(rate=5))
        self.sender = Sender(self.runner, self.journal, self.delivery, keeper, _AIR)

    def wake(self, *, sample: bool = True) -> None:
        """One waking, ten minutes after the last."""
        self.now_ms += EVERY_MS
        if sample:
            self.journal.append(pack_record(self.now_ms // 1000, 0, self.body))
        self.sender.send(SimpleNamespace(now_ms=lambda: self.now_ms))

    def stored(self) -> set[int]:
        """Numbers of the records that the server has."""
        rows = self.store.rows(NODE)
        return {record_id & 0xFFFFFF for record_id, *_ in rows}

    def power_loss(self) -> None:
        """What is in flash stays: the journal. The delivery state is lost here, as in the worst case."""
        self.journal = self.sender.journal = Journal(self.flash, 99)
        first_id = max(0, self.journal.next_id - self.journal.capacity)
        self.delivery = self.sender.delivery = Delivery(first_id, self.now_ms)

    def _send(self, f_port: int, payload: bytes, confirmed: bool) -> SimpleNamespace:
        air_us = time_on_air_us(DR5[0], 13 + len(payload))
        self.airtime.append((self.now_ms, air_us))
        report = decode_readings(payload)
        self.frames.append([record.number for record in report.records])
        if report.floor is not None:
            self.asked.append(self.now_ms)
        outcome = SimpleNamespace(
            code="sent", reason="", wait_ms=0, heard=False, window=0, rssi_dbm=0, snr_quarter_db=0
        )
        outcome.airtime_us = air_us
        outcome.downlinks = []
        if not self.gateway or self.rng.random() < self.loss:
            return outcome
        self.repeated += len(report.records) - self.store.add(NODE, report.records)
        if report.floor is not None and self.rng.random() >= self.loss:
            answer = answer_readings(self.store, NODE, report)
            assert answer is not None
            outcome.downlinks = [(answer.f_port, answer.payload)]
        return outcome


def most_in_a_day(events: deque[tuple[int, int]]) -> int:
    """Largest sum of the second column over any 24 hours of the first (ms)."""
    window: deque[tuple[int, int]] = deque()
    total = most = 0
    for at_ms, amount in events:
        window.append((at_ms, amount))
        total += amount
        while window[0][0] <= at_ms - DAY_MS:
            total -= window.popleft()[1]
        most = max(most, total)
    return most
