# SPDX-License-Identifier: MIT
# Status uplink (FPort 6): once a day, how the node is. Pure. SPEC.md, "Status uplink".
#
# Counts are those since the last status that the network confirmed. Events fill what room is left, newest
# first; what does not fit stays counted (storage/events.py) and is in the next one. It carries no time: the
# network's time of reception is right to the second, and the node's need not be.

import struct

from micropython import const

F_PORT = const(6)
VERSION = const(1)
SIZE = const(43)  # without events
RESETS = ("power_on", "hard", "watchdog", "soft")
PHASES = ("boot", "sense", "compute", "tx", "rx", "sleep")

_WHO = "<BBBBBBI"
_SINCE = "<HBBHH4B"
_USED = "<HH6HHHB"
_SINCE_AT = const(10)
_USED_AT = const(22)
_EVENT = "<BBB"
_EVENT_SIZE = const(3)
_TOP8 = const(0xFF)
_TOP16 = const(0xFFFF)
_TOP24 = const(0xFFFFFF)
_HEAP_STEP = const(16)


def pack_large(value: int) -> int:
    """A count up to 134 million in 16 bits: 12 bits and their exponent, rounded down by less than 1/2048."""
    exponent = 0
    while value >> exponent > 0x0FFF and exponent < 15:
        exponent += 1
    return exponent << 12 | min(0x0FFF, value >> exponent)


def unpack_large(code: int) -> int:
    """The count of `pack_large`."""
    return (code & 0x0FFF) << (code >> 12)


class Status:
    """How a node is: set what is known, then `encode` it."""

    def __init__(self) -> None:
        self.profile = 0  # its id
        self.version: tuple[int, int, int] = (0, 0, 0)  # of communode
        self.micropython = 0  # the minor version: 27 of 1.27
        self.configuration = 0  # counter of the command that made the configuration; 0 = the built-in one
        self.uptime_s = 0  # since power-on
        self.span_s = 0  # since the last status that was confirmed, as for all that is counted below
        self.wakings = 0
        self.battery_mv: int | None = None
        self.resets: tuple[int, ...] = (0, 0, 0, 0)  # as RESETS; waking from deep sleep is none
        self.heap_low: int | None = None  # least free heap seen, bytes
        self.airtime_ms = 0
        self.energy_mc: tuple[int, ...] = (0, 0, 0, 0, 0, 0)  # as PHASES
        self.lateness_us = 0  # the latest that a receive window opened
        self.pending = 0  # records that are not settled
        self.dropped = 0  # events whose counts had to give way


def encode(
    status: Status, events: "list[tuple[int, int, int]]", limit: int
) -> "tuple[bytes, list[tuple[int, int, int]]]":
    """(payload, told): `told` is what `limit` bytes hold of `events` (code, detail, count; newest first).

    A larger number than its field takes is told as the largest that it takes. Raises ValueError when not even
    the 43 bytes without events fit.
    """
    if limit < SIZE:
        raise ValueError("status does not fit")
    major, minor, patch = status.version
    minutes = min(_TOP24, status.uptime_s // 60)
    heap = status.heap_low
    parts = [
        struct.pack(
            _WHO,
            VERSION << 5,
            status.profile,
            major,
            minor,
            patch,
            status.micropython,
            status.configuration,
        ),
        struct.pack(
            _SINCE,
            minutes & 0xFFFF,
            minutes >> 16,
            min(_TOP8, status.span_s // 3600),
            min(_TOP16, status.wakings),
            min(_TOP16, status.battery_mv or 0),
            *[min(_TOP8, count) for count in status.resets],
        ),
        struct.pack(
            _USED,
            _TOP16 if heap is None else min(_TOP16 - 1, heap // _HEAP_STEP),
            pack_large(status.airtime_ms),
            *[pack_large(charge) for charge in status.energy_mc],
            min(_TOP16, status.lateness_us),
            min(_TOP16, status.pending),
            min(_TOP8, status.dropped),
        ),
    ]
    told = []
    for code, detail, count in events[: (limit - SIZE) // _EVENT_SIZE]:
        told.append((code, detail, min(_TOP8, count)))
        parts.append(struct.pack(_EVENT, code, detail, min(_TOP8, count)))
    return b"".join(parts), told


def decode(payload: bytes) -> "tuple[Status, list[tuple[int, int, int]]]":
    """Read a status uplink: the status, and events (code, detail, count). Raises ValueError with the reason.

    Event codes that are newer than the reader are taken.
    """
    count, rest = divmod(len(payload) - SIZE, _EVENT_SIZE)
    if count < 0:
        raise ValueError("payload too short")
    if payload[0] != VERSION << 5:
        raise ValueError("unknown payload version")
    if rest:
        raise ValueError("payload of the wrong length")
    status = Status()
    who = struct.unpack_from(_WHO, payload)
    since = struct.unpack_from(_SINCE, payload, _SINCE_AT)
    used = struct.unpack_from(_USED, payload, _USED_AT)
    status.profile, status.version, status.micropython, status.configuration = (
        who[1],
        who[2:5],
        who[5],
        who[6],
    )
    status.uptime_s = (since[1] << 16 | since[0]) * 60
    status.span_s = since[2] * 3600
    status.wakings = since[3]
    status.battery_mv = since[4] or None
    status.resets = since[5:]
    status.heap_low = None if used[0] == _TOP16 else used[0] * _HEAP_STEP
    status.airtime_ms = unpack_large(used[1])
    status.energy_mc = tuple([unpack_large(charge) for charge in used[2:8]])
    status.lateness_us, status.pending, status.dropped = used[8:]
    events = []
    for index in range(count):
        code, detail, times = struct.unpack_from(_EVENT, payload, SIZE + index * _EVENT_SIZE)
        if not code or not times:
            raise ValueError("not an event")
        events.append((code, detail, times))
    return status, events
