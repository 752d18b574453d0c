# SPDX-License-Identifier: MIT
# Alarm uplink and its acknowledgement, both on FPort 5. Pure. SPEC.md, the sections of these names.
#
# A report is (kind, quantity, state, occurrence, value, age in s), as app/alarms.py gives it; kinds and
# states are those of schema/alarms.py. A reader takes kinds and quantities that are newer than itself: an
# alarm that it has no word for is an alarm all the same.

import struct

from micropython import const

from ..schema.alarms import ACKNOWLEDGED, MAX_ALARMS, PENDING

TYPE_CHECKING = const(0)  # the compiler drops the block below; mypy takes the name for true

if TYPE_CHECKING:
    Report = tuple[int, int, int, int, int, int]
    ReadReport = tuple[int, int, int, int, int | None, int | None]

F_PORT = const(5)
VERSION = const(1)
ACKNOWLEDGE = const(0x01)
NO_RECORD = const(0xFFFFFF)
NO_VALUE = const(-0x80000000)
NO_AGE = const(0xFFFFFF)
_HEAD = "<BHHBIB"
_HEAD_SIZE = const(11)
_REPORT = "<BBHHi"
_REPORT_SIZE = const(10)
_ANSWER = "<BBH"
_ANSWER_SIZE = const(4)
_MINUTES = const(0x8000)
_NEVER = const(0xFFFF)


def capacity(limit: int) -> int:
    """How many reports fit into a payload of `limit` bytes."""
    return max(0, min(MAX_ALARMS, (limit - _HEAD_SIZE) // _REPORT_SIZE))


def pack_age(age_s: int) -> int:
    """Seconds up to 9 h, then minutes up to 22 days, then not known."""
    if age_s < _MINUTES:
        return age_s
    minutes = age_s // 60
    return _MINUTES | minutes if age_s < NO_AGE and minutes < _MINUTES - 1 else _NEVER


def unpack_age(code: int) -> "int | None":
    """Seconds; None = not known."""
    if code == _NEVER:
        return None
    return (code & ~_MINUTES) * 60 if code & _MINUTES else code


def encode(
    generation: int,
    record_id: int,
    stamp: "tuple[int, int]",
    reports: "list[Report]",
) -> bytes:
    """The uplink of 1 to 8 reports; `capacity` says how many fit.

    `record_id` is the newest record (NO_RECORD: none yet), `stamp` (time, flags) of now as a record has them.
    """
    if not 0 < len(reports) <= MAX_ALARMS:
        raise ValueError("1 to 8 reports")
    first = VERSION << 5 | len(reports) - 1
    low, high = record_id & 0xFFFF, record_id >> 16
    parts = [struct.pack(_HEAD, first, generation, low, high, stamp[0], stamp[1])]
    for kind, quantity, state, occurrence, value, age_s in reports:
        parts.append(struct.pack(_REPORT, kind << 4 | state, quantity, occurrence, pack_age(age_s), value))
    return b"".join(parts)


def decode(payload: bytes) -> "tuple[int, int | None, int, int, list[ReadReport]]":
    """Read an alarm uplink. Raises ValueError with the reason.

    (generation, newest record or None, time_s, flags, reports); value and age of a report None where the node
    knew none.
    """
    if len(payload) < _HEAD_SIZE:
        raise ValueError("payload too short")
    if payload[0] >> 5 != VERSION:
        raise ValueError("unknown payload version")
    count = (payload[0] & 0x1F) + 1
    if count > MAX_ALARMS:
        raise ValueError("too many alarms")
    if len(payload) != _HEAD_SIZE + count * _REPORT_SIZE:
        raise ValueError("payload of the wrong length")
    _, generation, low, high, time_s, flags = struct.unpack_from(_HEAD, payload)
    reports = []
    for index in range(count):
        kind_state, quantity, occurrence, age, value = struct.unpack_from(
            _REPORT, payload, _HEAD_SIZE + index * _REPORT_SIZE
        )
        kind, state = kind_state >> 4, kind_state & 0x0F
        if not kind or not occurrence or state > ACKNOWLEDGED or state == PENDING:
            raise ValueError("unknown alarm or state")
        known = None if value == NO_VALUE else value
        reports.append((kind, quantity, state, occurrence, known, unpack_age(age)))
    record_id = high << 16 | low
    return generation, None if record_id == NO_RECORD else record_id, time_s, flags, reports


def encode_acknowledgement(generation: int, alarms: "list[tuple[int, int, int]]") -> bytes:
    """The downlink: somebody knows of these occurrences, 1 to 8 (kind, quantity, occurrence)."""
    if not 0 < len(alarms) <= MAX_ALARMS:
        raise ValueError("1 to 8 alarms")
    parts = [struct.pack("<BH", ACKNOWLEDGE, generation)]
    for alarm in alarms:
        parts.append(struct.pack(_ANSWER, *alarm))
    return b"".join(parts)


def decode_acknowledgement(payload: bytes) -> "tuple[int, list[tuple[int, int, int]]]":
    """(generation, [(kind, quantity, occurrence)]). Raises ValueError for anything else."""
    count, rest = divmod(len(payload) - 3, _ANSWER_SIZE)
    if rest or not 0 < count <= MAX_ALARMS or payload[0] != ACKNOWLEDGE:
        raise ValueError("not an acknowledgement of alarms")
    answers = []
    for index in range(count):
        kind, quantity, occurrence = struct.unpack_from(_ANSWER, payload, 3 + index * _ANSWER_SIZE)
        answers.append((kind, quantity, occurrence))
    return payload[1] | payload[2] << 8, answers
