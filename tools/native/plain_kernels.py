# SPDX-License-Identifier: MIT
# mypy: ignore-errors
# ruff: noqa: F821, SIM108
"""The kernels as one would first write them in viper: what the tuning is worth is measured by them."""

import micropython


@micropython.viper
def sum_squares(p: ptr32, n: int, out: ptr32):
    low = out[0]
    rest = out[1]
    for i in range(n):
        square = p[i] * p[i]
        low += square & 0xFFFF
        rest += square >> 16
    rest += low >> 16
    out[0] = low & 0xFFFF
    out[1] = rest


@micropython.viper
def mains_sums(p: ptr16, n: int, out: ptr32):
    sv = 0
    si = 0
    svv = 0
    sii = 0
    svi = 0
    for k in range(n):
        v = p[2 * k]
        i = p[2 * k + 1]
        sv += v
        si += i
        svv += v * v
        sii += i * i
        svi += v * i
    out[0] = sv
    out[1] = si
    out[2] = svv
    out[3] = sii
    out[4] = svi


@micropython.viper
def histogram(bins: ptr16, p: ptr16, n: int, low: int, shift: int):
    for i in range(n):
        x = (p[i] - low) >> shift
        if x < 0:
            x = 0
        if x > 255:
            x = 255
        bins[x] += 1


@micropython.viper
def median(words: ptr32, n: int) -> int:
    words[0] = -0x3FFFFFFF
    for i in range(2, n + 1):
        x = words[i]
        j = i - 1
        while words[j] > x:
            words[j + 1] = words[j]
            j -= 1
        words[j + 1] = x
    return words[(n + 1) >> 1]


@micropython.viper
def crc_table(polynomial: uint, table: ptr32):
    for n in range(256):
        x = uint(n)
        for _bit in range(8):
            if x & uint(1):
                x = x >> uint(1) ^ polynomial
            else:
                x = x >> uint(1)
        table[n] = int(x)


@micropython.viper
def crc16(x: int, table: ptr32, p: ptr8, n: int) -> int:
    for i in range(n):
        x = (x >> 8) ^ table[(x ^ p[i]) & 0xFF]
    return x


@micropython.viper
def crc32(x: uint, table: ptr32, p: ptr8, n: int) -> int:
    for i in range(n):
        x = (x >> uint(8)) ^ uint(table[int((x ^ uint(p[i])) & uint(0xFF))])
    return int(x)


@micropython.viper
def pack_bits(p: ptr16, n: int, width: int, out: ptr8) -> int:
    acc = 0
    bits = 0
    written = 0
    for i in range(n):
        acc = (acc << width) | p[i]
        bits += width
        while bits > 7:
            bits -= 8
            out[written] = acc >> bits
            written += 1
    if bits:
        out[written] = acc << (8 - bits)
        written += 1
    return written


@micropython.viper
def rice_encode(p: ptr16, n: int, k: int, out: ptr8) -> int:
    acc = 0
    bits = 0
    written = 0
    for i in range(n):
        v = p[i]
        q = v >> k
        if q < 8:
            acc = (acc << (1 + q)) | ((2 << q) - 2)
            acc = (acc << k) | (v & ((1 << k) - 1))
            bits += 1 + q + k
        else:
            acc = (acc << 24) | 0xFF0000 | v
            bits += 24
        while bits > 7:
            bits -= 8
            out[written] = acc >> bits
            written += 1
    if bits:
        out[written] = acc << (8 - bits)
        written += 1
    return written


@micropython.viper
def parity_row_v1(row: ptr8, number: int, columns: int):
    x = 1 + 1001 * number
    modulus = columns
    if columns & (columns - 1) == 0:
        modulus += 1
    for _draw in range(columns >> 1):
        r = columns
        while r >= columns:
            x = (x >> 1) | (((x & 1) ^ ((x >> 5) & 1)) << 22)
            r = x % modulus
        row[r] = 1


@micropython.viper
def parity_row_v2(row: ptr8, number: int, columns: int):
    x = 1 + 1001 * number
    modulus = columns
    if columns & (columns - 1) == 0:
        modulus += 1
    draws = columns >> 1
    while draws > 0:
        x = (x >> 1) | (((x & 1) ^ ((x >> 5) & 1)) << 22)
        r = x % modulus
        if r < columns and row[r] == 0:
            row[r] = 1
            draws -= 1


@micropython.viper
def xor_into(p: ptr32, q: ptr32, n: int):
    for i in range(n):
        p[i] = p[i] ^ q[i]


@micropython.viper
def match_echo(p: ptr16, n: int, out: ptr32, taps: ptr32):
    for i in range(n):
        in_phase = 0
        quadrature = 0
        for k in range(16):
            in_phase += taps[k] * p[i + 2 * k]
            quadrature -= taps[k] * p[i + 31 - 2 * k]
        out[2 * i] = in_phase >> 4
        out[2 * i + 1] = quadrature >> 4


@micropython.viper
def envelope(p: ptr32, n: int, out: ptr32):
    for i in range(n):
        x = p[2 * i]
        y = p[2 * i + 1]
        if x < 0:
            x = -x
        if y < 0:
            y = -y
        if x < y:
            z = x
            x = y
            y = z
        out[i] = x - (x >> 3) + (y >> 1)


@micropython.viper
def weigh(p: ptr32, n: int, state: ptr32, high: ptr32, low: int):
    for i in range(n):
        x = p[i] >> 10
        for k in range(4):
            x = x - state[k]
            state[k] = state[k] + ((high[2 * k] * x + high[8 + k]) >> high[2 * k + 1])
        for k in range(4, 6):
            state[k] = state[k] + (((x - state[k]) * low) >> 8)
            x = state[k]
        if x >= -16384 and x < 16384:
            x = x * x + state[6]
            state[6] = x & 0xFFFF
            state[7] = state[7] + (x >> 16)
        else:
            x = x >> 8
            x = x * x + state[8]
            state[8] = x & 0xFFFF
            state[9] = state[9] + (x >> 16)
