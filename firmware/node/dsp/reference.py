# SPDX-License-Identifier: MIT
# The kernels in plain Python: same names, parameters and results as the viper functions of this package, bit
# by bit. For machines without native code (CPython, where tests judge by it) and for reading what a kernel
# does. Too slow for a node: nothing on a node imports it.
#
# Numbers stay within the domains that the kernels name; `_wrap` stands where a kernel counts on 32 bits.

from array import array


def _wrap(value: int) -> int:
    return (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000


def _add_square_sum(total: int, out: "array[int]", at: int) -> None:
    total += out[at + 1] * 65536 + out[at]
    out[at] = total & 65535
    out[at + 1] = total >> 16


def sum_squares(_x: int, _acc: int, p: "array[int]", n: int, out: "array[int]") -> None:
    """Add the squares of ``n`` words to ``out`` (low 16 bits, rest)."""
    _add_square_sum(sum(x * x for x in p[:n]), out, 0)


def mains_sums(p: "array[int]", _x: int, n: int, out: "array[int]") -> None:
    """Sums over ``n`` pairs: v, i, v*v, i*i, v*i."""
    pairs = [(p[2 * k], p[2 * k + 1]) for k in range(n)]
    out[0] = sum(v for v, _ in pairs)
    out[1] = sum(i for _, i in pairs)
    out[2] = sum(v * v for v, _ in pairs)
    out[3] = sum(i * i for _, i in pairs)
    out[4] = sum(v * i for v, i in pairs)


def histogram(_x: int, bins: "array[int]", p: "array[int]", n: int, low: int, shift: int) -> None:
    """Count ``n`` levels into 256 bins of width 2**shift from ``low`` on."""
    for level in p[:n]:
        index = min(max(level - low >> shift, 0), 255)
        bins[index] = bins[index] + 1 & 0xFFFF


def median(_p: int, _x: int, words: "array[int]", n: int) -> int:
    """Sort words[1] .. words[n] in place, put the sentinel at words[0]; the (lower) median."""
    words[0] = -0x3FFFFFFF
    for at, value in enumerate(sorted(words[1 : n + 1]), 1):
        words[at] = value
    return words[(n + 1) >> 1]


def crc_table(_x: int, polynomial: int, table: "array[int]") -> None:
    """The table of a reflected polynomial, as signed words."""
    for n in range(256):
        x = n
        for _ in range(8):
            x = x >> 1 ^ (polynomial & 0xFFFFFFFF if x & 1 else 0)
        table[n] = _wrap(x)


def crc16(x: int, table: "array[int]", p: "bytes | bytearray", n: int) -> int:
    """CRC of ``n`` bytes, continued from ``x``."""
    for byte in p[:n]:
        x = table[(x ^ byte) & 255] ^ x >> 8
    return x


def crc32(x: int, table: "array[int]", p: "bytes | bytearray", n: int) -> int:
    """CRC of ``n`` bytes, continued from ``x``, as a signed word."""
    x &= 0xFFFFFFFF
    for byte in p[:n]:
        x = table[(x ^ byte) & 255] & 0xFFFFFFFF ^ x >> 8
    return _wrap(x)


def _to_bytes(code: int, bits: int, out: bytearray) -> int:
    length = (bits + 7) // 8
    out[:length] = (code << 8 * length - bits).to_bytes(length, "big")
    return length


def pack_bits(_acc: int, _bits: int, p: "array[int]", n: int, width: int, out: bytearray) -> int:
    """Pack ``n`` values of ``width`` bits, the first one highest; the number of bytes."""
    code = 0
    for value in p[:n]:
        code = code << width | value
    return _to_bytes(code, n * width, out)


def rice_encode(_acc: int, _bits: int, p: "array[int]", n: int, k: int, out: bytearray) -> int:
    """Rice code of ``n`` values with parameter ``k``; the number of bytes."""
    code = bits = 0
    for value in p[:n]:
        ones = value >> k
        if ones < 8:
            code = (code << 1 + ones | (2 << ones) - 2) << k | value & (1 << k) - 1
            bits += 1 + ones + k
        else:
            code = code << 24 | 0xFF0000 | value
            bits += 24
    return _to_bytes(code, bits, out)


def _parity_row(row: "bytearray", number: int, columns: int, redraw: bool) -> None:
    x = 1 + 1001 * number
    modulus = columns + (columns & columns - 1 == 0)
    for _ in range(columns // 2):
        while True:
            x = x >> 1 | (x & 1 ^ x >> 5 & 1) << 22
            column = x % modulus
            if column < columns and not (redraw and row[column]):
                break
        row[column] = 1


def parity_row_v1(_x: int, _r: int, row: bytearray, number: int, columns: int) -> None:
    """Mark the columns of coded fragment ``number``, TS004-1.0.0: a repeated column counts as drawn."""
    _parity_row(row, number, columns, False)


def parity_row_v2(_x: int, _r: int, row: bytearray, number: int, columns: int) -> None:
    """Mark the columns of coded fragment ``number``, TS004-2.0.0: a repeated column is drawn again."""
    _parity_row(row, number, columns, True)


def xor_into(p: "array[int]", q: "array[int]", n: int) -> None:
    """XOR ``n`` words of ``q`` into ``p``."""
    for at in range(n):
        p[at] ^= q[at]


def match_echo(p: "array[int]", _acc: int, n: int, out: "array[int]") -> None:
    """Correlate with the 40 kHz burst of `BURST`: ``n`` pairs (in-phase, quadrature)."""
    for at in range(n):
        out[2 * at] = sum(tap * p[at + 2 * k] for k, tap in enumerate(BURST)) >> 4
        out[2 * at + 1] = -sum(tap * p[at + 31 - 2 * k] for k, tap in enumerate(BURST)) >> 4


def envelope(_x: int, _y: int, p: "array[int]", n: int, out: "array[int]") -> None:
    """The larger part of each pair, less 1/8 of it, plus half of the smaller one."""
    for at in range(n):
        small, large = sorted((abs(p[2 * at]), abs(p[2 * at + 1])))
        out[at] = large - (large >> 3) + (small >> 1)


# In-phase taps at even samples of the burst (tools/kernels/echo.py); quadrature is their mirror image,
# negated.
BURST = (0, -4, 12, -23, 35, -47, 57, -63, 64, -60, 52, -41, 29, -17, 7, -1)

# (coefficient, shift) of the high-passes, coefficient of the low-passes (tools/kernels/a_weighting.py).
A_WEIGHTING = {
    32000: (((132, 15), (132, 15), (171, 13), (138, 10)), 218),
    48000: (((176, 16), (176, 16), (229, 14), (189, 11)), 194),
}


def weigh(rate_hz: int, p: "array[int]", n: int, state: "array[int]") -> None:
    """A-weight ``n`` I2S words and add their energy to ``state`` (see a_weighting_48k.weigh)."""
    high, low = A_WEIGHTING[rate_hz]
    w = [state[k] for k in range(6)]
    fine = coarse = 0
    for word in p[:n]:
        x = word >> 10
        for k, (c, shift) in enumerate(high):
            x = x - w[k]
            w[k] += (c * x + (1 << shift - 1 if k == 3 else 0)) >> shift
        w[4] += (x - w[4]) * low >> 8
        w[5] += (w[4] - w[5]) * low >> 8
        x = w[5]
        if -16384 <= x < 16384:
            fine += x * x
        else:
            coarse += (x >> 8) ** 2
    for k in range(6):
        state[k] = w[k]
    _add_square_sum(fine, state, 6)
    _add_square_sum(coarse, state, 8)


def weigh_32k(_x: int, _fine: int, p: "array[int]", n: int, state: "array[int]") -> None:
    """`weigh` at 32 kHz, with the parameters of the kernel."""
    weigh(32000, p, n, state)


def weigh_48k(_x: int, _fine: int, p: "array[int]", n: int, state: "array[int]") -> None:
    """`weigh` at 48 kHz, with the parameters of the kernel."""
    weigh(48000, p, n, state)
