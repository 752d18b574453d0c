# SPDX-License-Identifier: MIT
# One record as bytes: time, uncertainty, then each value of the profile in its bits. Pure.
#
# The same bytes lie in the journal and travel in an uplink (there with the time shortened): SPEC.md,
# "Record".
# Values are integers in the base units of schema/quantities.py.

import struct

from micropython import const

from ..schema.quantities import ABSENT, CLAMPED, QUALITY_BITS, QUANTITIES
from .bits import BitReader, BitWriter

TYPE_CHECKING = const(0)  # the compiler drops the block below; mypy takes the name for true

if TYPE_CHECKING:
    Codes = tuple[int, ...]  # quantity codes, in the profile's order
    Readings = dict[int, tuple[int | None, int]]  # {code: (value in base units, quality)}

UNSYNCED = const(0x10)  # the time counts from the node's power-on, not from 2000
HEAD = const(5)


def pack_values(quantities: "Codes", readings: "Readings") -> bytes:
    """The body: for each code of `quantities` its quality, then its value.

    A value outside its packed range is clamped and says so; a missing one is ABSENT and all ones.
    """
    writer = BitWriter()
    for code in quantities:
        _, _, _, low, step, bits = QUANTITIES[code]
        value, quality = readings.get(code, (None, ABSENT))
        top = (1 << bits) - 1
        if value is None:
            packed = top
        else:
            packed = (value - low + step // 2) // step
            if packed < 0 or packed >= top:
                packed = 0 if packed < 0 else top - 1
                quality = quality or CLAMPED
        writer.put(quality, QUALITY_BITS)
        writer.put(packed, bits)
    return writer.to_bytes()


def body_size(quantities: "Codes") -> int:
    """Bytes of a packed body."""
    bits = 0
    for code in quantities:
        bits += QUALITY_BITS + QUANTITIES[code][5]
    return (bits + 7) // 8


def unpack_values(quantities: "Codes", body: bytes) -> "Readings":
    """{code: (value or None, quality)}; raises ValueError when `body` is too short."""
    reader = BitReader(body)
    readings: Readings = {}
    for code in quantities:
        _, _, _, low, step, bits = QUANTITIES[code]
        quality = reader.take(QUALITY_BITS)
        packed = reader.take(bits)
        value = None if packed == (1 << bits) - 1 else low + packed * step
        readings[code] = (value, quality)
    return readings


def uncertainty_code(seconds: int) -> int:
    """Smallest k with seconds <= 2**k, at most 15."""
    code = 0
    while code < 15 and seconds > 1 << code:
        code += 1
    return code


def pack_record(time_s: int, flags: int, body: bytes) -> bytes:
    """A record as the journal keeps it: time u32 (s since 2000, or since power-on), flags u8, body."""
    return struct.pack("<IB", time_s, flags) + body


def lost_record(like: bytes) -> bytes:
    """In place of a record that a power cut tore: no time, all values ABSENT, as long and late as `like`."""
    return like[:4] + bytes((UNSYNCED | 0x0F,)) + b"\xff" * (len(like) - HEAD)
