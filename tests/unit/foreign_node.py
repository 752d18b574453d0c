# SPDX-License-Identifier: MIT
"""A LoRaWAN device for tests of the network side, made of `pamoja-lorawan`: nothing of ours inside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pamoja import lorawan

APP_KEY = bytes(range(16))
JOIN_EUI = "70b3d57ed0000001"


@dataclass
class ForeignNode:
    """Joins, sends, and opens what it receives; counters as a correct device keeps them."""

    dev_eui: str = "70b3d57ed0001234"
    app_key: bytes = APP_KEY
    dev_nonce: int = 0
    fcnt_up: int = 0
    fcnt_down: int = -1
    session: Any = None
    accepted: Any = None
    heard: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.device = lorawan.device(bytes.fromhex(self.dev_eui), bytes.fromhex(JOIN_EUI), self.app_key)

    def join_request(self) -> bytes:
        self.dev_nonce += 1
        return bytes(self.device.join_request(self.dev_nonce))

    def accept(self, phy: bytes) -> None:
        self.accepted = self.device.accept_join(phy, self.dev_nonce)
        self.session = self.accepted.session()
        self.fcnt_up, self.fcnt_down = 0, -1

    def uplink(self, payload: bytes = b"data", f_port: int = 2, **flags: Any) -> bytes:
        phy = bytes(self.session.encode_uplink(self.fcnt_up & 0xFFFFFFFF, f_port, payload, **flags))
        self.fcnt_up += 1
        return phy

    def take(self, phy: bytes) -> Any:
        """Open a downlink: the counter must rise, the MIC must match (else PamojaError)."""
        fcnt = self.fcnt_down + 1
        for candidate in range(fcnt, fcnt + 64):
            if candidate & 0xFFFF == int.from_bytes(phy[6:8], "little"):
                frame = self.session.decode(phy, candidate)
                self.fcnt_down = candidate
                self.heard.append(frame)
                return frame
        raise AssertionError("FCntDown went back or leapt")
