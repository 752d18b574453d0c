# SPDX-License-Identifier: MIT
# Acknowledgement of records (downlink, FPort 3). Pure. SPEC.md, "Acknowledgement".
#
# 0x01, generation u8, base u24 (all ids below are stored), count u8, bitmap: bit i of byte i // 8 set =
# record base + i is stored.

from micropython import const

F_PORT = const(3)
ACKNOWLEDGE = const(0x01)
MAX_COUNT = const(128)


def encode_acknowledgement(generation: int, base: int, have: list) -> bytes:
    """`have[i]` says whether record base + i is stored; at most 128 of them are told."""
    have = have[:MAX_COUNT]
    bitmap = bytearray((len(have) + 7) // 8)
    for index, stored in enumerate(have):
        if stored:
            bitmap[index >> 3] |= 1 << (index & 7)
    head = bytes((ACKNOWLEDGE, generation, base & 0xFF, base >> 8 & 0xFF, base >> 16 & 0xFF, len(have)))
    return head + bytes(bitmap)


def decode_acknowledgement(payload: bytes) -> tuple:
    """(generation, base, count, bitmap). Raises ValueError for anything else."""
    if len(payload) < 6 or payload[0] != ACKNOWLEDGE:
        raise ValueError("not an acknowledgement")
    count = payload[5]
    bitmap = payload[6:]
    if count > MAX_COUNT or len(bitmap) != (count + 7) // 8:
        raise ValueError("bitmap of the wrong length")
    return payload[1], payload[2] | payload[3] << 8 | payload[4] << 16, count, bitmap
