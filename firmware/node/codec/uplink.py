# SPDX-License-Identifier: MIT
# Readings uplink (FPort 2): as many records as fit, newest first. Pure. SPEC.md, "Readings uplink".
#
# byte 0: version << 5 | ask << 4 | (records - 1); profile id u8; generation u16; newest id u24;
# if ask: floor u24 (all ids below are settled); then per record: ids back u8 (0 for the first), time
# (u32 for the first, then seconds back u16), flags u8, body.

import struct

from micropython import const

from .record import HEAD, body_size, unpack_values

TYPE_CHECKING = const(0)  # the compiler drops the block below; mypy takes the name for true

if TYPE_CHECKING:
    from collections.abc import Callable

    from .record import Codes

F_PORT = const(2)
VERSION = const(1)
MAX_RECORDS = const(16)
_ASK = const(0x10)
_HEAD = const(7)


def u24(value: int) -> bytes:
    """Three bytes, little endian."""
    return struct.pack("<I", value & 0xFFFFFF)[:3]


class UplinkWriter:
    """Fills one payload of at most `limit` bytes."""

    def __init__(self, profile_id: int, generation: int, floor: int, limit: int, ask: bool) -> None:
        self._head = (profile_id, generation, floor, ask)
        self.ask = ask
        self._room = limit - (_HEAD + 3 if ask else _HEAD)
        self._parts: list[bytes] = []
        self._last = (0, 0)
        self.ids: list[int] = []

    def add(self, record_id: int, record: bytes) -> bool:
        """Take one record (older than those before); False when it does not fit or is too far back."""
        if len(self._parts) == MAX_RECORDS:
            return False
        time_s = struct.unpack_from("<I", record)[0]
        if self._parts:
            back = self._last[0] - record_id
            seconds = self._last[1] - time_s
            if not 0 < back < 256 or not 0 <= seconds < 65536:
                return False
            part = struct.pack("<BH", back, seconds) + record[4:]
        else:
            part = b"\x00" + record
        if len(part) > self._room:
            return False
        self._room -= len(part)
        self._parts.append(part)
        self._last = (record_id, time_s)
        self.ids.append(record_id)
        return True

    def to_bytes(self) -> bytes:
        """The payload; empty when no record was taken."""
        if not self._parts:
            return b""
        profile_id, generation, floor, ask = self._head
        first = VERSION << 5 | (_ASK if ask else 0) | len(self._parts) - 1
        head = (
            struct.pack("<BBH", first, profile_id, generation)
            + u24(self.ids[0])
            + (u24(floor) if ask else b"")
        )
        return head + b"".join(self._parts)


def decode(payload: bytes, quantities_of: "Callable[[int], Codes]") -> "dict[str, object]":
    """Read a readings uplink; `quantities_of(profile_id)` gives the codes. Raises ValueError with the reason.

    {profile, generation, newest, ask, floor, records: [{id, time_s, flags, readings}]}
    """
    if len(payload) < _HEAD:
        raise ValueError("payload too short")
    if payload[0] >> 5 != VERSION:
        raise ValueError("unknown payload version")
    ask = bool(payload[0] & _ASK)
    count = (payload[0] & 0x0F) + 1
    quantities = quantities_of(payload[1])
    size = body_size(quantities)
    newest = int.from_bytes(payload[4:7], "little")
    at = _HEAD
    floor = None
    if ask:
        if len(payload) < _HEAD + 3:
            raise ValueError("payload too short")
        floor = int.from_bytes(payload[_HEAD : _HEAD + 3], "little")
        at = _HEAD + 3
    records = []
    record_id, time_s = newest, 0
    for index in range(count):
        head = HEAD + 1 if index == 0 else 4
        if at + head + size > len(payload):
            raise ValueError("payload too short")
        if index == 0:
            time_s = struct.unpack_from("<I", payload, at + 1)[0]
        else:
            record_id -= payload[at]
            time_s -= payload[at + 1] | payload[at + 2] << 8
        if record_id < 0:
            raise ValueError("record id out of range")
        flags = payload[at + head - 1]
        body = payload[at + head : at + head + size]
        readings = unpack_values(quantities, body)
        records.append({"id": record_id, "time_s": time_s, "flags": flags, "readings": readings})
        at += head + size
    if at != len(payload):
        raise ValueError("payload too long")
    return {
        "profile": payload[1],
        "generation": payload[2] | payload[3] << 8,
        "newest": newest,
        "ask": ask,
        "floor": floor,
        "records": records,
    }
