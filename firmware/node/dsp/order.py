# SPDX-License-Identifier: MIT
# mypy: ignore-errors
# ruff: noqa: F821
# Kernels that count and sort: level histogram (LN of noise), median (Hampel filters). How kernels are
# written: sums.py. Twin on plain Python: reference.py.

import micropython


@micropython.viper
def histogram(x: int, bins: ptr16, p: ptr16, n: int, low: int, shift: int):
    """Count ``n`` levels at ``p`` into the 256 ``bins`` of width 2**shift that begin at ``low``.

    What lies outside is counted in the first or the last bin. n is a multiple of 4.
    """
    while n:
        x = p[0] - low >> shift
        if x >> 8:
            x = 0 if x < 0 else 255
        bins[x] = 1 + bins[x]
        x = p[1] - low >> shift
        if x >> 8:
            x = 0 if x < 0 else 255
        bins[x] = 1 + bins[x]
        x = p[2] - low >> shift
        if x >> 8:
            x = 0 if x < 0 else 255
        bins[x] = 1 + bins[x]
        x = p[3] - low >> shift
        if x >> 8:
            x = 0 if x < 0 else 255
        bins[x] = 1 + bins[x]
        p = ptr16(8 + int(p))
        n = -4 + n


@micropython.viper
def median(p: ptr32, x: int, words: ptr32, n: int) -> int:
    """Median of words[1] .. words[n], which are sorted in place; |word| < 2**30. The lower one for even n.

    words[0] is scratch: a sentinel below every value, so that the insertion needs no second test. p and x are
    scratch: pass 0. Four steps of an insertion move p once, hence p[4] down to p[1].
    """
    words[0] = -0x3FFFFFFF
    q = ptr32(8 + int(words))
    left = -1 + n
    while left > 0:
        x = q[0]
        p = ptr32(-20 + int(q))
        while True:
            if p[4] <= x:
                p[5] = x
                break
            p[5] = p[4]
            if p[3] <= x:
                p[4] = x
                break
            p[4] = p[3]
            if p[2] <= x:
                p[3] = x
                break
            p[3] = p[2]
            if p[1] <= x:
                p[2] = x
                break
            p[2] = p[1]
            p = ptr32(-16 + int(p))
        q = ptr32(4 + int(q))
        left = -1 + left
    return words[n + 1 >> 1]
