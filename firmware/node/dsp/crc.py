# SPDX-License-Identifier: MIT
# mypy: ignore-errors
# ruff: noqa: F821
# CRC kernels for buses that MicroPython's C library does not serve (its binascii.crc32 does what it can:
# storage uses that). Both are reflected: crc16 with the table of 0xA001 is Modbus, with 0x8408 it is
# CRC-16/KERMIT and X-25; crc32 with that of 0xEDB88320 is IEEE 802.3. How kernels are written: sums.py.
# Twin: reference.py.

import micropython


@micropython.viper
def crc_table(x: uint, polynomial: uint, table: ptr32):
    """Fill the 256 words of ``table`` for a reflected ``polynomial`` of up to 32 bits. x: pass 0."""
    n = 0
    while n < 256:
        x = uint(n)
        x = (uint(1) & x) * polynomial ^ (x >> uint(1))
        x = (uint(1) & x) * polynomial ^ (x >> uint(1))
        x = (uint(1) & x) * polynomial ^ (x >> uint(1))
        x = (uint(1) & x) * polynomial ^ (x >> uint(1))
        x = (uint(1) & x) * polynomial ^ (x >> uint(1))
        x = (uint(1) & x) * polynomial ^ (x >> uint(1))
        x = (uint(1) & x) * polynomial ^ (x >> uint(1))
        x = (uint(1) & x) * polynomial ^ (x >> uint(1))
        table[n] = int(x)
        n = 1 + n


@micropython.viper
def crc16(x: int, table: ptr32, p: ptr16, n: int) -> int:
    """CRC of the ``n`` bytes at ``p`` (address and n even), continued from the 16-bit ``x``."""
    while n:
        x = p[0] ^ x
        x = table[255 & x] ^ (x >> 8)
        x = table[255 & x] ^ (x >> 8)
        p = ptr16(2 + int(p))
        n = -2 + n
    return x


@micropython.viper
def crc32(x: uint, table: ptr32, p: ptr32, n: int) -> int:
    """CRC of ``n`` bytes at ``p`` (address and n multiples of 4), continued from ``x``, not inverted."""
    while n:
        x = uint(p[0]) ^ x
        x = uint(table[int(uint(255) & x)]) ^ (x >> uint(8))
        x = uint(table[int(uint(255) & x)]) ^ (x >> uint(8))
        x = uint(table[int(uint(255) & x)]) ^ (x >> uint(8))
        x = uint(table[int(uint(255) & x)]) ^ (x >> uint(8))
        p = ptr32(4 + int(p))
        n = -4 + n
    return int(x)
