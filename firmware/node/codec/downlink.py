# SPDX-License-Identifier: MIT
# Acknowledgement of records (downlink, FPort 3). Pure. SPEC.md, "Acknowledgement".
#
# 0x01, generation u16, base u24 (all ids below are stored), start u24, count u8, bitmap: bit i of byte i // 8
# set = record start + i is stored. All ids from start + count to the newest that the server heard of are
# stored.

from micropython import const

F_PORT = const(3)
ACKNOWLEDGE = const(0x01)
MAX_COUNT = const(128)
_HEAD = const(10)


def encode_acknowledgement(generation: int, base: int, start: int, have: "list[bool]") -> bytes:
    """`have[i]` says whether record start + i is stored; at most 128 of them."""
    if len(have) > MAX_COUNT:
        raise ValueError("at most 128 records fit")
    bitmap = bytearray((len(have) + 7) // 8)
    for index, stored in enumerate(have):
        if stored:
            bitmap[index >> 3] |= 1 << (index & 7)
    head = (
        bytes((ACKNOWLEDGE,))
        + generation.to_bytes(2, "little")
        + base.to_bytes(3, "little")
        + start.to_bytes(3, "little")
        + bytes((len(have),))
    )
    return head + bytes(bitmap)


def decode_acknowledgement(payload: bytes) -> "tuple[int, int, int, int, bytes]":
    """(generation, base, start, count, bitmap). Raises ValueError for anything else."""
    if len(payload) < _HEAD or payload[0] != ACKNOWLEDGE:
        raise ValueError("not an acknowledgement")
    count = payload[9]
    bitmap = payload[_HEAD:]
    if count > MAX_COUNT or len(bitmap) != (count + 7) // 8:
        raise ValueError("bitmap of the wrong length")
    generation = int.from_bytes(payload[1:3], "little")
    base = int.from_bytes(payload[3:6], "little")
    return generation, base, int.from_bytes(payload[6:9], "little"), count, bitmap
