# SPDX-License-Identifier: MIT
# mypy: ignore-errors
# ruff: noqa: F821, SIM102
# Parity rows of the fragmented data block transport, and the XOR of fragments. Not here: the decoder around
# them. TS004-1.0.0 and TS004-2.0.0 differ: in 1.0.0 a column drawn twice counts as two draws, in 2.0.0 it is
# drawn again; a device takes the version that it answered with in PackageVersionAns.
# Sources: TS004-1.0.0 and TS004-2.0.0, Appendix (parity matrix, PRBS23). How kernels are written: sums.py.
# Twin on plain Python: reference.py.

import micropython


@micropython.viper
def parity_row_v1(x: int, r: int, row: ptr8, number: int, columns: int):
    """Set row[c] = 1 for the fragments c that coded fragment ``number`` (from 1) covers; TS004-1.0.0.

    x and r are scratch: pass 0. ``row`` has one byte a column and holds zeros; 2 <= columns <= 16383.
    Feedback bits of four steps depend on none of themselves, so they are made at once.
    """
    x = 1001 * number + 1
    modulus = columns
    if (columns & columns - 1) == 0:
        modulus = columns + 1
    draws = columns >> 1
    while draws > 3:
        x = (((x >> 5 ^ x) & 15) << 23) + x
        r = (x >> 1 & 0x7FFFFF) % modulus
        if r < columns:
            row[r] = 1
            draws = -1 + draws
        r = (x >> 2 & 0x7FFFFF) % modulus
        if r < columns:
            row[r] = 1
            draws = -1 + draws
        r = (x >> 3 & 0x7FFFFF) % modulus
        if r < columns:
            row[r] = 1
            draws = -1 + draws
        x = x >> 4
        r = x % modulus
        if r < columns:
            row[r] = 1
            draws = -1 + draws
    while draws:
        x = (((x >> 5 ^ x) & 1) << 23) + x >> 1
        r = x % modulus
        if r < columns:
            row[r] = 1
            draws = -1 + draws


@micropython.viper
def parity_row_v2(x: int, r: int, row: ptr8, number: int, columns: int):
    """Set row[c] = 1 for the fragments c that coded fragment ``number`` (from 1) covers; TS004-2.0.0.

    Parameters as for `parity_row_v1`.
    """
    x = 1001 * number + 1
    modulus = columns
    if (columns & columns - 1) == 0:
        modulus = columns + 1
    draws = columns >> 1
    while draws > 3:
        x = (((x >> 5 ^ x) & 15) << 23) + x
        r = (x >> 1 & 0x7FFFFF) % modulus
        if r < columns:
            if row[r] == 0:
                row[r] = 1
                draws = -1 + draws
        r = (x >> 2 & 0x7FFFFF) % modulus
        if r < columns:
            if row[r] == 0:
                row[r] = 1
                draws = -1 + draws
        r = (x >> 3 & 0x7FFFFF) % modulus
        if r < columns:
            if row[r] == 0:
                row[r] = 1
                draws = -1 + draws
        x = x >> 4
        r = x % modulus
        if r < columns:
            if row[r] == 0:
                row[r] = 1
                draws = -1 + draws
    while draws:
        x = (((x >> 5 ^ x) & 1) << 23) + x >> 1
        r = x % modulus
        if r < columns:
            if row[r] == 0:
                row[r] = 1
                draws = -1 + draws


@micropython.viper
def xor_into(p: ptr32, q: ptr32, n: int):
    """XOR ``n`` words at ``q`` into those at ``p``. n is a multiple of 4."""
    while n:
        p[0] = p[0] ^ q[0]
        p[1] = p[1] ^ q[1]
        p[2] = p[2] ^ q[2]
        p[3] = p[3] ^ q[3]
        p = ptr32(16 + int(p))
        q = ptr32(16 + int(q))
        n = -4 + n
