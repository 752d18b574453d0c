# SPDX-License-Identifier: MIT
"""A bench server whose gateways are played by the test: no sockets, time is the gateways' counter."""

from __future__ import annotations

from communode.lns.network import NetworkSettings
from communode.lns.semtech import Datagram, Kind, RxPacket, TxPacket
from communode.lns.server import Server
from communode.lns.session import Device, Downlink
from communode.lns.store import Store
from foreign_node import APP_KEY, JOIN_EUI, ForeignNode

GATEWAY, OTHER = "00800000a0000001", "00800000a0000002"
ADDRESSES = {GATEWAY: ("127.0.0.1", 40001), OTHER: ("127.0.0.1", 40002)}


class Bench:
    """A server with its gateways played by the test; time is the gateways' counter."""

    def __init__(self, store: Store | None = None, **options) -> None:
        self.store = store or Store()
        self.events: list[dict] = []
        self.answers: list[Downlink] = []
        self.outbox: list[tuple[Datagram, tuple[str, int]]] = []
        dedup_ms = options.pop("dedup_ms", 0)
        self.server = Server(
            self.store,
            lambda data, address: self.outbox.append((Datagram.from_wire(data), address)),
            NetworkSettings(**options),
            dedup_ms=dedup_ms,
            on_event=self.events.append,
            on_uplink=lambda event: [self.answers.pop(0)] if self.answers else [],
        )
        self.tmst_us = 0
        self.tx_error = "NONE"
        self.lsnr = 7.0
        self.store.add(Device("70b3d57ed0001234", JOIN_EUI, APP_KEY))
        for gateway in ADDRESSES:
            self.give(Kind.PULL_DATA, gateway)
        self.outbox.clear()

    def give(self, kind: Kind, gateway: str = GATEWAY, body: dict | None = None, token: int = 7) -> None:
        self.server.handle(Datagram(kind, token, gateway, body or {}).to_wire(), ADDRESSES[gateway])

    def hear(self, phy: bytes, gateway: str = GATEWAY, **changes) -> None:
        packet = {
            "payload": phy,
            "tmst_us": self.tmst_us & 0xFFFFFFFF,
            "frequency_hz": 868_100_000,
            "spreading_factor": 7,
            "bandwidth_hz": 125_000,
            "rssi_dbm": -80,
            "snr_db": self.lsnr,
            "gps_ms": 1_400_000_000_000 + self.tmst_us // 1000,
            "time": "2026-01-01T00:00:00.000000Z",
        } | changes
        self.give(Kind.PUSH_DATA, gateway, {"rxpk": [RxPacket(**packet).to_json()]})

    def downlinks(self) -> list[tuple[TxPacket, tuple[str, int], int]]:
        """PULL_RESPs so far, each answered with `tx_error`."""
        found = []
        while self.outbox:
            datagram, address = self.outbox.pop(0)
            if datagram.kind is Kind.PULL_RESP:
                found.append((TxPacket.from_json(datagram.body), address, datagram.token))
                gateway = next(eui for eui, known in ADDRESSES.items() if known == address)
                self.give(Kind.TX_ACK, gateway, {"txpk_ack": {"error": self.tx_error}}, datagram.token)
        return found

    def exchange(self, phy: bytes, **changes) -> TxPacket | None:
        """An uplink ten seconds after the last; the downlink that answers it."""
        self.tmst_us += 10_000_000
        self.hear(phy, **changes)
        found = self.downlinks()
        assert len(found) <= 1
        return found[0][0] if found else None

    def joined(self, node: ForeignNode) -> ForeignNode:
        packet = self.exchange(node.join_request())
        assert packet is not None
        node.accept(packet.payload)
        return node

    def of(self, name: str) -> list[dict]:
        return [event for event in self.events if event["event"] == name]

    def log_codes(self) -> list[str]:
        return [event["code"] for event in self.of("log")]
