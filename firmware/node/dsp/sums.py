# SPDX-License-Identifier: MIT
# mypy: ignore-errors
# ruff: noqa: F821
# Kernels for sums of squares: signal energy, and the mains (CT RMS and real power). Not here: what is made of
# the sums (power.py takes them apart) and A-weighting, which sums as it filters (a_weighting_*.py).
#
# How all kernels are written (measured per statement; README.md beside this file): the first two parameters
# are the only registers, so `scratch` parameters come first and callers pass 0; literals stand on the left of
# a commutative operator and compound operands too; loops are unrolled with constant offsets. A sum that
# outgrows 32 bits is kept as (low 16 bits, rest): value = rest * 65536 + low.
# Twin on plain Python: reference.py, same names and parameters.

import micropython


@micropython.viper
def sum_squares(x: int, acc: int, p: ptr32, n: int, out: ptr32):
    """Add the squares of ``n`` words at ``p`` to ``out`` (low, rest). |word| <= 16383; n is a multiple of 8.

    Eight squares of 14 bits and a 16-bit rest just fit below 2**31: one carry for eight.
    """
    acc = out[0]
    rest = out[1]
    while n:
        x = p[0]
        acc = x * x + acc
        x = p[1]
        acc = x * x + acc
        x = p[2]
        acc = x * x + acc
        x = p[3]
        acc = x * x + acc
        x = p[4]
        acc = x * x + acc
        x = p[5]
        acc = x * x + acc
        x = p[6]
        acc = x * x + acc
        x = p[7]
        acc = x * x + acc
        rest = (acc >> 16) + rest
        acc = 65535 & acc
        p = ptr32(32 + int(p))
        n = -8 + n
    out[0] = acc
    out[1] = rest


@micropython.viper
def mains_sums(p: ptr16, x: int, n: int, out: ptr32):
    """Sums over ``n`` pairs (voltage, current) of 12-bit ADC codes at ``p``: v, i, v*v, i*i, v*i into
    ``out``.

    n is a multiple of 4 and at most 128: 128 * 4095**2 < 2**31. The codes carry their offset; power.py takes
    it out. x is scratch: pass 0.
    """
    sv = 0
    si = 0
    svv = 0
    sii = 0
    svi = 0
    while n:
        sv = p[0] + p[2] + p[4] + p[6] + sv
        si = p[1] + p[3] + p[5] + p[7] + si
        x = p[0]
        svv = x * x + svv
        svi = p[1] * x + svi
        x = p[1]
        sii = x * x + sii
        x = p[2]
        svv = x * x + svv
        svi = p[3] * x + svi
        x = p[3]
        sii = x * x + sii
        x = p[4]
        svv = x * x + svv
        svi = p[5] * x + svi
        x = p[5]
        sii = x * x + sii
        x = p[6]
        svv = x * x + svv
        svi = p[7] * x + svi
        x = p[7]
        sii = x * x + sii
        p = ptr16(16 + int(p))
        n = -4 + n
    out[0] = sv
    out[1] = si
    out[2] = svv
    out[3] = sii
    out[4] = svi
