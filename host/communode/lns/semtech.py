# SPDX-License-Identifier: MIT
"""Datagrams between gateway and network server: the Semtech UDP packet-forwarder protocol, version 2.

Bytes and JSON only, no sockets; both ends use it. Nothing in this protocol is authenticated or encrypted:
it belongs on loopback or on a network that you trust.

Sources: PF = PROTOCOL.TXT of Lora-net/packet_forwarder v4.0.1 (sections 3 to 6; ``tmms`` from its v1.4).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

VERSION = 2
_READABLE_VERSIONS = (1, 2)
MAX_DATAGRAM = 65507
_DATR = re.compile(r"SF(\d{1,2})BW(\d{2,3})")

# GPS time runs 18 s ahead of UTC since 2017-01-01 (IERS Bulletin C 52); no leap second announced since.
GPS_LEAP_SECONDS = 18
GPS_EPOCH_UNIX_S = 315_964_800  # 1980-01-06T00:00:00Z


class Kind(IntEnum):
    """Identifier byte of a datagram."""

    PUSH_DATA = 0
    PUSH_ACK = 1
    PULL_DATA = 2
    PULL_RESP = 3
    PULL_ACK = 4
    TX_ACK = 5


class DatagramError(ValueError):
    """Not a datagram of this protocol."""


@dataclass(frozen=True)
class Datagram:
    """A datagram taken apart. ``gateway`` is 16 hex digits where the kind has one, else empty."""

    kind: Kind
    token: int
    gateway: str
    body: dict[str, Any]

    @classmethod
    def from_wire(cls, data: bytes) -> Datagram:
        """Parse; DatagramError for anything malformed."""
        if len(data) < 4 or data[0] not in _READABLE_VERSIONS:
            raise DatagramError("too short, or another protocol version")
        try:
            kind = Kind(data[3])
        except ValueError:
            raise DatagramError(f"unknown identifier {data[3]:02x}") from None
        token = int.from_bytes(data[1:3], "big")
        at = 4
        gateway = ""
        if kind in (Kind.PUSH_DATA, Kind.PULL_DATA, Kind.TX_ACK):
            if len(data) < 12:
                raise DatagramError("no gateway identifier")
            gateway = data[4:12].hex()
            at = 12
        return cls(kind, token, gateway, _body(data[at:]))

    def to_wire(self) -> bytes:
        """The datagram's bytes."""
        head = struct.pack(">BHB", VERSION, self.token, self.kind) + bytes.fromhex(self.gateway)
        return head + (json.dumps(self.body, separators=(",", ":")).encode() if self.body else b"")


def _body(data: bytes) -> dict[str, Any]:
    text = data.strip(b"\x00 \r\n")  # some forwarders send the terminating zero
    if not text:
        return {}
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise DatagramError("not JSON") from None
    if not isinstance(body, dict):
        raise DatagramError("not a JSON object")
    return body


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise DatagramError(f"{name} is not a number")
    if abs(value) > 1e15:
        raise DatagramError(f"{name} is out of range")
    return value


def _payload(packet: dict[str, Any]) -> bytes:
    data = packet.get("data")
    if not isinstance(data, str) or len(data) > 400:
        raise DatagramError("no data")
    try:
        payload = base64.b64decode(data + "=" * (-len(data) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise DatagramError("data is not base64") from None
    size = packet.get("size", len(payload))
    if size != len(payload) or not 1 <= len(payload) <= 255:
        raise DatagramError("size does not match the data")
    return payload


def _lora_rate(packet: dict[str, Any]) -> tuple[int, int]:
    if packet.get("modu", "LORA") != "LORA":
        raise DatagramError("not LoRa")
    found = _DATR.fullmatch(str(packet.get("datr")))
    if not found or not 5 <= int(found[1]) <= 12 or int(found[2]) not in (125, 250, 500):
        raise DatagramError("no LoRa data rate")
    return int(found[1]), int(found[2]) * 1000


def _coding_rate(packet: dict[str, Any]) -> int:
    codr = packet.get("codr", "4/5")
    if codr not in ("4/5", "4/6", "4/7", "4/8"):
        raise DatagramError("unknown coding rate")
    return int(codr[2])


@dataclass(frozen=True)
class RxPacket:
    """A packet as one gateway heard it (PF 4, ``rxpk``). ``tmst_us`` is the gateway's 32-bit counter at the
    end of the packet; ``gps_ms`` its GPS time in ms, None without GPS."""

    payload: bytes
    tmst_us: int
    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    rssi_dbm: float
    snr_db: float
    coding_rate: int = 5
    channel: int = 0
    rf_chain: int = 0
    crc_status: int = 1
    time: str = ""
    gps_ms: int | None = None

    @property
    def datr(self) -> str:
        """``SF7BW125``"""
        return f"SF{self.spreading_factor}BW{self.bandwidth_hz // 1000}"

    @classmethod
    def from_json(cls, packet: Any) -> RxPacket:
        """Parse one ``rxpk`` element; DatagramError when malformed or not LoRa."""
        if not isinstance(packet, dict):
            raise DatagramError("rxpk holds no object")
        payload = _payload(packet)
        spreading_factor, bandwidth_hz = _lora_rate(packet)
        gps_ms = packet.get("tmms")
        return cls(
            payload=payload,
            tmst_us=int(_number(packet.get("tmst"), "tmst")) & 0xFFFFFFFF,
            frequency_hz=round(_number(packet.get("freq"), "freq") * 1e6),
            spreading_factor=spreading_factor,
            bandwidth_hz=bandwidth_hz,
            rssi_dbm=_number(packet.get("rssi"), "rssi"),
            snr_db=_number(packet.get("lsnr", 0), "lsnr"),
            coding_rate=_coding_rate(packet),
            channel=int(_number(packet.get("chan", 0), "chan")),
            rf_chain=int(_number(packet.get("rfch", 0), "rfch")),
            crc_status=int(_number(packet.get("stat", 0), "stat")),
            time=str(packet.get("time", "")),
            gps_ms=None if gps_ms is None else int(_number(gps_ms, "tmms")),
        )

    def to_json(self) -> dict[str, Any]:
        """The ``rxpk`` element."""
        packet: dict[str, Any] = {"tmst": self.tmst_us}
        if self.time:
            packet["time"] = self.time
        if self.gps_ms is not None:
            packet["tmms"] = self.gps_ms
        packet |= {
            "freq": round(self.frequency_hz / 1e6, 6),
            "chan": self.channel,
            "rfch": self.rf_chain,
            "stat": self.crc_status,
            "modu": "LORA",
            "datr": self.datr,
            "codr": f"4/{self.coding_rate}",
            "rssi": round(self.rssi_dbm),
            "lsnr": round(self.snr_db, 1),
            "size": len(self.payload),
            "data": base64.b64encode(self.payload).decode(),
        }
        return packet


@dataclass(frozen=True)
class TxPacket:
    """A packet to be sent (PF 6, ``txpk``). ``tmst_us`` None and ``gps_ms`` None means at once."""

    payload: bytes
    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    power_dbm: float
    tmst_us: int | None = None
    gps_ms: int | None = None
    coding_rate: int = 5
    invert_iq: bool = True
    crc: bool = False
    preamble_symbols: int = 8

    @property
    def datr(self) -> str:
        """``SF7BW125``"""
        return f"SF{self.spreading_factor}BW{self.bandwidth_hz // 1000}"

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> TxPacket:
        """Parse the object of a PULL_RESP; DatagramError when malformed or not LoRa."""
        packet = body.get("txpk")
        if not isinstance(packet, dict):
            raise DatagramError("no txpk")
        spreading_factor, bandwidth_hz = _lora_rate(packet)
        tmst, gps = packet.get("tmst"), packet.get("tmms")
        if packet.get("imme"):
            tmst = gps = None
        elif tmst is None and gps is None:
            raise DatagramError("no time to send at")
        return cls(
            payload=_payload(packet),
            frequency_hz=round(_number(packet.get("freq"), "freq") * 1e6),
            spreading_factor=spreading_factor,
            bandwidth_hz=bandwidth_hz,
            power_dbm=_number(packet.get("powe", 14), "powe"),
            tmst_us=None if tmst is None else int(_number(tmst, "tmst")) & 0xFFFFFFFF,
            gps_ms=int(_number(gps, "tmms")) if tmst is None and gps is not None else None,
            coding_rate=_coding_rate(packet),
            invert_iq=bool(packet.get("ipol", False)),
            crc=not packet.get("ncrc", False),
            preamble_symbols=max(6, int(_number(packet.get("prea", 8), "prea"))),
        )

    def to_json(self) -> dict[str, Any]:
        """The object of a PULL_RESP."""
        when: dict[str, Any] = {"imme": True}
        if self.tmst_us is not None:
            when = {"imme": False, "tmst": self.tmst_us}
        elif self.gps_ms is not None:
            when = {"imme": False, "tmms": self.gps_ms}
        return {
            "txpk": {
                **when,
                "freq": round(self.frequency_hz / 1e6, 6),
                "rfch": 0,
                "powe": round(self.power_dbm),
                "modu": "LORA",
                "datr": self.datr,
                "codr": f"4/{self.coding_rate}",
                "ipol": self.invert_iq,
                "prea": self.preamble_symbols,
                "ncrc": not self.crc,
                "size": len(self.payload),
                "data": base64.b64encode(self.payload).decode(),
            }
        }


def gps_ms_from_unix(unix_s: float) -> int:
    """GPS time in milliseconds of a UNIX time (valid since 2017)."""
    return round((unix_s - GPS_EPOCH_UNIX_S + GPS_LEAP_SECONDS) * 1000)


def unix_from_gps_ms(gps_ms: int) -> float:
    """UNIX time in seconds of a GPS time (valid since 2017)."""
    return gps_ms / 1000 + GPS_EPOCH_UNIX_S - GPS_LEAP_SECONDS
