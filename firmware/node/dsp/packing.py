# SPDX-License-Identifier: MIT
# mypy: ignore-errors
# ruff: noqa: F821
# Bit and Rice packing, most significant bit first. Not here: what is packed and with which width (codec,
# schema). How kernels are written: sums.py. Twin on plain Python: reference.py.

import micropython


@micropython.viper
def pack_bits(acc: int, bits: int, p: ptr16, n: int, width: int, out: ptr8) -> int:
    """Pack ``n`` values of ``width`` (1 to 16) bits from ``p`` into ``out``; returns the bytes written.

    acc and bits are scratch: pass 0. Values must fit their width. ``out`` needs n * width / 8 + 2 bytes.
    """
    start = int(out)
    while n:
        acc = (acc << width) + p[0]
        bits = width + bits
        if bits > 15:
            bits = -16 + bits
            out[0] = acc >> bits + 8
            out[1] = acc >> bits
            out = ptr8(2 + int(out))
        p = ptr16(2 + int(p))
        n = -1 + n
    if bits > 7:
        bits = -8 + bits
        out[0] = acc >> bits
        out = ptr8(1 + int(out))
    if bits:
        out[0] = acc << 8 - bits
        out = ptr8(1 + int(out))
    return int(out) - start


@micropython.viper
def rice_encode(acc: int, bits: int, p: ptr16, n: int, k: int, out: ptr8) -> int:
    """Rice code with parameter ``k`` (0 to 15) of ``n`` unsigned values at ``p``; returns the bytes written.

    A value v is q = v >> k ones, a zero and its k low bits; from eight ones on it is eight ones and all 16
    bits. acc and bits are scratch: pass 0. ``out`` needs 3 * n + 1 bytes.
    """
    start = int(out)
    fixed = 1 + k
    while n:
        q = p[0] >> k
        if q < 8:
            # ((acc + 1) << q + 1) - 2 appends q ones and a zero; v - (q << k) are the low bits.
            acc = ((1 + acc << 1 + q) - 2 - q << k) + p[0]
            bits = bits + fixed + q
        else:
            acc = ((acc << 8) + 255 << 16) + p[0]
            bits = 24 + bits
        while bits > 7:
            bits = -8 + bits
            out[0] = acc >> bits
            out = ptr8(1 + int(out))
        p = ptr16(2 + int(p))
        n = -1 + n
    if bits:
        out[0] = acc << 8 - bits
        out = ptr8(1 + int(out))
    return int(out) - start
