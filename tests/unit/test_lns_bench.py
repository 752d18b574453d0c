# SPDX-License-Identifier: MIT
"""Air, gateway and bench server together over real UDP: foreign nodes, loss, an outage, two runs alike."""

from __future__ import annotations

import hashlib
from pathlib import Path

from communode.lns.airtime import time_on_air_us
from communode.lns.network import NetworkSettings
from communode.lns.server import ServerThread
from communode.lns.session import Device, Downlink
from communode.lns.store import Store
from communode.virtual.air import Air
from communode.virtual.capture import Capture
from communode.virtual.gateway import Gateway
from communode.virtual.medium import Transmission
from event_timeline import EventTimeline, packet
from foreign_node import JOIN_EUI, ForeignNode
from pamoja._native import PamojaError

HOUR_US = 3_600_000_000
CHANNELS = (868_100_000, 868_300_000, 868_500_000)


class Radio:
    """A foreign node on the air: joins until it succeeds, then sends every ten minutes."""

    def __init__(self, number: int, air: Air, timeline: EventTimeline) -> None:
        self.name = f"node-{number}"
        self.node = ForeignNode(dev_eui=f"70b3d57ed00010{number:02x}", app_key=bytes([number + 1]) * 16)
        self.air = air
        self.timeline = timeline
        self.sent = 0
        self.strange = 0
        self.waiting_hz = 0
        self.opens_us: tuple[int, ...] = ()
        air.subscribe(self._maybe)
        timeline.call_at(1_000_000 + 977_000 * number, self.act)

    def act(self) -> None:
        now_us = self.timeline.now_us()
        joined = self.node.session is not None
        phy = self.node.uplink(b"%06d" % self.sent, confirmed=self.sent % 4 == 0) if joined else None
        self.sent += joined
        phy = phy or self.node.join_request()
        length_us = time_on_air_us(7, 125_000, len(phy))
        self.waiting_hz = CHANNELS[(self.sent + self.node.dev_nonce) % 3]
        sent = packet(self.name, now_us, end_us=now_us + length_us, payload=phy, frequency_hz=self.waiting_hz)
        delay_us = 1_000_000 if joined else 5_000_000
        self.opens_us = (sent.end_us + delay_us, sent.end_us + delay_us + 1_000_000)
        self.air.transmit(sent)
        self.timeline.call_at(now_us + (600_000_000 if joined else 30_000_000), self.act)

    def _maybe(self, sent: Transmission) -> None:
        """A downlink that starts when and where the device listens."""
        if not sent.invert_iq or sent.start_us not in self.opens_us:
            return
        expected_hz = self.waiting_hz if sent.start_us == self.opens_us[0] else 869_525_000
        if sent.frequency_hz == expected_hz:
            self.timeline.call_at(sent.end_us, lambda: self._take(sent))

    def _take(self, sent: Transmission) -> None:
        reception = self.air.reception(sent, self.name)
        if reception is None or not reception.intact:
            return
        try:
            if self.node.session is None:
                self.node.accept(sent.payload)
            else:
                self.node.take(sent.payload)
        except PamojaError:
            self.strange += 1  # another node's answer: its MIC does not match here


def run_day(folder: Path, seed: int, hours: int = 24) -> dict:
    """Three foreign nodes, 10 % loss, one hour without gateway."""
    air, timeline, store = Air(seed, loss=0.1), EventTimeline(), Store()
    events: list[dict] = []
    radios = [Radio(number, air, timeline) for number in range(3)]
    for radio in radios:
        store.add(Device(radio.node.dev_eui, JOIN_EUI, radio.node.app_key))

    def answer(event: dict) -> list[Downlink]:
        return [Downlink(10, b"ok")] if event["fCnt"] % 10 == 5 else []

    path = folder / f"{seed}-{len(list(folder.iterdir()))}.pcap"
    with (
        ServerThread(
            store, NetworkSettings(rx1_delay_s=1), on_event=events.append, on_uplink=answer
        ) as server,
        Capture(path, air, observer="gateway"),
    ):
        outage = (12 * HOUR_US, 13 * HOUR_US)
        gateway = Gateway("00800000a000beef", air, timeline, server.address, name="gateway", outages=[outage])
        timeline.run_until(hours * HOUR_US)
        gateway.close()
    return {
        "radios": radios,
        "events": events,
        "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
        "errors": [event for event in events if event["event"] == "log" and event["level"] == "ERROR"],
    }


def test_a_day_of_three_foreign_nodes(tmp_path: Path):
    day = run_day(tmp_path, seed=1)
    uplinks = [event for event in day["events"] if event["event"] == "up"]
    sent = sum(radio.sent for radio in day["radios"])
    assert all(radio.node.session for radio in day["radios"])
    assert sent >= 3 * 142
    lost = sent - len(uplinks)
    assert 3 * 6 <= lost <= sent // 4, "10 % and the hour without gateway"
    seen = [(event["deviceInfo"]["devEui"], event["fCnt"]) for event in uplinks]
    assert len(set(seen)) == len(seen), "nothing twice"
    for radio in day["radios"]:
        downs = [bytes(frame.payload) for frame in radio.node.heard if frame.fport == 10]
        acks = [frame for frame in radio.node.heard if frame.ack]
        assert len(downs) >= 8
        assert set(downs) == {b"ok"}
        assert len(acks) >= 20
    for event in uplinks:
        hour = float(event["rxInfo"][0]["timeSinceGpsEpoch"][:-1])
        assert not 12 * 3600 < hour - gps_start() < 13 * 3600
    assert {event["code"] for event in day["errors"]} <= {"DOWNLINK_GATEWAY"}


def gps_start() -> float:
    from communode.lns.semtech import gps_ms_from_unix

    return gps_ms_from_unix(0.0) / 1000


def test_one_seed_gives_one_capture_and_another_seed_another(tmp_path: Path):
    first, again, other = (run_day(tmp_path, seed, hours=6) for seed in (5, 5, 6))
    assert first["digest"] == again["digest"]
    assert first["events"] == again["events"]
    assert first["digest"] != other["digest"]
