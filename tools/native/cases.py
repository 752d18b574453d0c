# SPDX-License-Identifier: MIT
"""The kernels as the harness sees them: where each lies, how it is called, and random data for it.

Data mixes uniform noise with the extremes of each kernel's documented domain. Data is a function of kernel,
seed and index, so that every body (rv32imc, xtensawin, x64, a 32-bit MicroPython) is given the same.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from .machine import Argument


@dataclass(frozen=True)
class Case:
    """One kernel: its module in node/dsp, its data, and how many elements a call handles."""

    name: str
    module: str
    element: str
    arguments: Callable[[random.Random, int], list[Argument]]
    elements: Callable[[list[Argument]], int]
    scratch: tuple[int, ...] = (0, 1)
    function: str = ""
    plain: str = ""
    plain_extra: Callable[[], list[Argument]] = list
    bench_size: int = 256

    @property
    def viper_name(self) -> str:
        """The function's name in its module."""
        return self.function or self.name

    def data(self, seed: int, index: int, size: int) -> list[Argument]:
        """Arguments of call ``index``; ``size`` is the number of elements, or nearly so."""
        return self.arguments(random.Random(f"{self.name}/{seed}/{index}"), size)

    def without_scratch(self, arguments: list[Argument]) -> list[Argument]:
        """The arguments of the C and the plain kernel, which have no scratch parameters."""
        return [argument for at, argument in enumerate(arguments) if at not in self.scratch]


def _mixed(rng: random.Random, count: int, low: int, high: int) -> list[int]:
    """Numbers of low .. high: noise, or small noise, or extremes only, or a constant extreme."""
    kind = rng.randrange(5)
    middle = (low + high) // 2
    if kind == 0:
        return [rng.choice((low, high, middle, low + 1, high - 1)) for _ in range(count)]
    if kind == 1:
        return [rng.choice((low, high))] * count
    if kind == 2:
        spread = max(1, (high - low) >> rng.randrange(4, 12))
        return [min(high, max(low, middle + rng.randint(-spread, spread))) for _ in range(count)]
    return [rng.randint(low, high) for _ in range(count)]


def _number(arguments: list[Argument], at: int) -> int:
    value = arguments[at]
    assert isinstance(value, int)
    return value


def _sums(rng: random.Random, size: int) -> list[Argument]:
    n = max(8, size & ~7)
    out = array("i", [rng.randrange(65536), rng.randrange(1 << 20)])
    return [0, 0, array("i", _mixed(rng, n, -16383, 16383)), n, out]


def _mains(rng: random.Random, size: int) -> list[Argument]:
    n = min(128, max(4, size & ~3))
    return [array("H", _mixed(rng, 2 * n, 0, 4095)), 0, n, array("i", [0] * 5)]


def _histogram(rng: random.Random, size: int) -> list[Argument]:
    n = max(4, size & ~3)
    bins = array("H", _mixed(rng, 256, 0, 65535))
    return [0, bins, array("H", _mixed(rng, n, 0, 65535)), n, rng.randint(-1000, 3000), rng.randrange(0, 10)]


def _median(rng: random.Random, size: int) -> list[Argument]:
    n = max(1, size)
    return [0, 0, array("i", [0, *_mixed(rng, n, -(1 << 30) + 2, (1 << 30) - 1)]), n]


def crc_words(polynomial: int) -> array[int]:
    """The table of a reflected polynomial."""
    table = array("I")
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (polynomial if n & 1 else 0)
        table.append(n)
    return table


def _crc_table(rng: random.Random, _size: int) -> list[Argument]:
    polynomial = rng.choice((0xA001, 0x8408, 0xEDB88320, 0x8C, rng.getrandbits(32)))
    return [0, polynomial, array("i", [0] * 256)]


def _crc16(rng: random.Random, size: int) -> list[Argument]:
    n = max(2, size & ~1)
    table = crc_words(rng.choice((0xA001, 0x8408)))
    return [rng.choice((0, 0xFFFF, rng.getrandbits(16))), table, bytearray(_mixed(rng, n, 0, 255)), n]


def _crc32(rng: random.Random, size: int) -> list[Argument]:
    n = max(4, size & ~3)
    start = rng.choice((0, 0xFFFFFFFF, rng.getrandbits(32)))
    return [start, crc_words(0xEDB88320), bytearray(_mixed(rng, n, 0, 255)), n]


def _pack(rng: random.Random, size: int) -> list[Argument]:
    width = rng.randint(1, 16)
    values = array("H", _mixed(rng, size, 0, (1 << width) - 1))
    return [0, 0, values, size, width, bytearray(2 * size + 2)]


def _rice(rng: random.Random, size: int) -> list[Argument]:
    k = rng.randrange(16)
    if rng.randrange(4):
        values = [min(65535, int(rng.expovariate(1.0) * (1 << k))) for _ in range(size)]
    else:
        values = _mixed(rng, size, 0, 65535)
    return [0, 0, array("H", values), size, k, bytearray(3 * size + 2)]


ODD_COLUMNS = (4, 5, 31, 33, 77, 127, 255, 256, 257, 300)


def _row(rng: random.Random, size: int) -> list[Argument]:
    columns = (
        rng.choice((2, 3, 8, 10, 64, 128, rng.choice(ODD_COLUMNS))) if size < 64 else size + rng.randrange(9)
    )
    number = rng.choice((1, 2, 8000, rng.randint(1, 8000)))
    return [0, 0, bytearray(columns), number, columns]


def _xor(rng: random.Random, size: int) -> list[Argument]:
    n = max(4, size & ~3)
    ours, theirs = (array("I", [rng.getrandbits(32) for _ in range(n)]) for _ in range(2))
    return [ours, theirs, n]


def _echo(rng: random.Random, size: int) -> list[Argument]:
    return [array("H", _mixed(rng, size + 31, 0, 65535)), 0, size, array("i", [0] * (2 * size))]


def _envelope(rng: random.Random, size: int) -> list[Argument]:
    size = max(4, size & ~3)
    pairs = array("i", _mixed(rng, 2 * size, -(1 << 29) + 1, (1 << 29) - 1))
    return [0, 0, pairs, size, array("i", [0] * size)]


def _weigh(rng: random.Random, size: int) -> list[Argument]:
    n = max(4, size & ~3)
    state = array("i", [0] * 10)
    for at in (6, 8):
        state[at], state[at + 1] = rng.randrange(65536), rng.randrange(1 << 20)
    loud = 1 << rng.choice((14, 20, 26, 31, 31))
    return [0, 0, array("i", _mixed(rng, n, -loud, loud - 1)), n, state]


def _echo_taps() -> list[Argument]:
    return [array("i", (0, -4, 12, -23, 35, -47, 57, -63, 64, -60, 52, -41, 29, -17, 7, -1))]


def _weights(flat: tuple[int, ...], low: int) -> Callable[[], list[Argument]]:
    return lambda: [array("i", [*flat, 0, 0, 0, 1024 if flat[7] == 11 else 512]), low]


CASES = (
    Case(
        "weigh_32k",
        "a_weighting_32k",
        "sample",
        _weigh,
        lambda a: _number(a, 3),
        function="weigh",
        plain="weigh",
        plain_extra=_weights((132, 15, 132, 15, 171, 13, 138, 10), 218),
    ),
    Case(
        "weigh_48k",
        "a_weighting_48k",
        "sample",
        _weigh,
        lambda a: _number(a, 3),
        function="weigh",
        plain="weigh",
        plain_extra=_weights((176, 16, 176, 16, 229, 14, 189, 11), 194),
    ),
    Case("sum_squares", "sums", "sample", _sums, lambda a: _number(a, 3)),
    Case("mains_sums", "sums", "pair", _mains, lambda a: _number(a, 2), scratch=(1,), bench_size=128),
    Case("histogram", "order", "level", _histogram, lambda a: _number(a, 3), scratch=(0,)),
    Case("median", "order", "value", _median, lambda a: _number(a, 3), bench_size=31),
    Case("crc_table", "crc", "entry", _crc_table, lambda a: 256, scratch=(0,)),
    Case("crc16", "crc", "byte", _crc16, lambda a: _number(a, 3), scratch=()),
    Case("crc32", "crc", "byte", _crc32, lambda a: _number(a, 3), scratch=()),
    Case("pack_bits", "packing", "value", _pack, lambda a: _number(a, 3)),
    Case("rice_encode", "packing", "value", _rice, lambda a: _number(a, 3)),
    Case("parity_row_v1", "parity", "draw", _row, lambda a: _number(a, 4) // 2),
    Case("parity_row_v2", "parity", "draw", _row, lambda a: _number(a, 4) // 2),
    Case("xor_into", "parity", "word", _xor, lambda a: _number(a, 2), scratch=()),
    Case(
        "match_echo", "echo", "sample", _echo, lambda a: _number(a, 2), scratch=(1,), plain_extra=_echo_taps
    ),
    Case("envelope", "echo", "pair", _envelope, lambda a: _number(a, 3)),
)
