# SPDX-License-Identifier: MIT
# The one checksum of everything in flash and RTC memory: CRC-32 as in IEEE 802.3, in C on the device. Pure.

import binascii


def crc32(data: "bytes | bytearray", start: int = 0) -> int:
    """CRC-32 of `data`, continued from `start`."""
    return binascii.crc32(data, start) & 0xFFFFFFFF
