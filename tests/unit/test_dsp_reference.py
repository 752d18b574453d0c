# SPDX-License-Identifier: MIT
"""The references of the kernels, held to published vectors and to other people's code."""

from __future__ import annotations

import binascii
import math
import random
import statistics
from array import array

import pytest
from communode.node.dsp import power, reference

# The first ten parity rows of 100 bytes in 10 fragments. v1: LoRaMac-node, Semtech SWL2001 v1.0.0 and LoRa
# Basics Modem; v2: SWL2001 v2.0.0. Both agree in rows 2, 3 and 9.
TS004_V1 = [
    "262622222e2e22222626",
    "5455565758596a6b7c7d",
    "5c5d6e6f101102030405",
    "363632323e3e22223636",
    "3a3a0e0e0a0a06060a0a",
    "0e0e3232363622223e3e",
    "02020e0e727276766262",
    "1e1e1a1a66665a5a4e4e",
    "1a1b1c1d1e1f30312223",
    "22232425262718190a0b",
]
TS004_V2 = [
    "686952535c5d76777071",
    "5455565758596a6b7c7d",
    "5c5d6e6f101102030405",
    "6c6d6e6f606142435455",
    "12132425262728293a3b",
    "48497a7b7c7d6e6f7071",
    "1c1d2e2f505152534445",
    "585952532c2d16170001",
    "1a1b1c1d1e1f30312223",
    "00013a3b44457e7f6869",
]


def words(values: list[int]) -> array[int]:
    return array("i", values)


@pytest.mark.parametrize(
    ("row_of", "rows"), [(reference.parity_row_v1, TS004_V1), (reference.parity_row_v2, TS004_V2)]
)
def test_parity_rows_are_the_published_ones(row_of, rows: list[str]) -> None:  # type: ignore[no-untyped-def]
    block = bytes(range(0x64))
    for number, expected in enumerate(rows, 1):
        row = bytearray(10)
        row_of(0, 0, row, number, 10)
        coded = bytes(10)
        for column in range(10):
            if row[column]:
                coded = bytes(
                    a ^ b for a, b in zip(coded, block[10 * column : 10 * column + 10], strict=True)
                )
        assert coded.hex() == expected, number


@pytest.mark.parametrize(
    ("polynomial", "start", "inverted", "check"),
    [
        (0xA001, 0xFFFF, 0, 0x4B37),  # CRC-16/MODBUS
        (0x8408, 0, 0, 0x2189),  # CRC-16/KERMIT
        (0x8408, 0xFFFF, 0xFFFF, 0x906E),  # CRC-16/IBM-SDLC
    ],
)
def test_crc16_gives_the_catalogue_s_check_values(
    polynomial: int, start: int, inverted: int, check: int
) -> None:
    """Reveng catalogue of parametrised CRC algorithms: the CRC of "123456789"."""
    table = words([0] * 256)
    reference.crc_table(0, polynomial, table)
    assert reference.crc16(start, table, b"123456789", 9) ^ inverted == check


def test_crc32_is_that_of_the_standard_library() -> None:
    table = words([0] * 256)
    reference.crc_table(0, 0xEDB88320, table)
    data = random.Random(1).randbytes(333)
    assert ~reference.crc32(-1, table, data, 333) & 0xFFFFFFFF == binascii.crc32(data)


def read_bits(data: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in data)


@pytest.mark.parametrize("width", range(1, 17))
def test_packed_bits_read_back(width: int) -> None:
    rng = random.Random(width)
    values = array("H", [rng.getrandbits(width) for _ in range(37)])
    out = bytearray(100)
    length = reference.pack_bits(0, 0, values, 37, width, out)
    assert length == math.ceil(37 * width / 8)
    text = read_bits(out[:length])
    assert [int(text[k * width : (k + 1) * width], 2) for k in range(37)] == list(values)


@pytest.mark.parametrize("k", [0, 1, 4, 9, 15])
def test_rice_codes_read_back(k: int) -> None:
    rng = random.Random(k)
    values = [0, 65535, *(min(65535, int(rng.expovariate(1 / (1 << k)))) for _ in range(200))]
    out = bytearray(700)
    length = reference.rice_encode(0, 0, array("H", values), len(values), k, out)
    bits, at, found = read_bits(out[:length]), 0, []
    for _ in values:
        ones = len(bits[at : at + 8]) - len(bits[at : at + 8].lstrip("1"))
        if ones == 8:
            found.append(int(bits[at + 8 : at + 24], 2))
            at += 24
        else:
            low = bits[at + ones + 1 : at + ones + 1 + k]
            found.append(ones << k | int(low or "0", 2))
            at += ones + 1 + k
    assert found == values
    assert "1" not in bits[at:]
    assert len(bits) - at < 8


def test_the_median_is_the_lower_one() -> None:
    rng = random.Random(5)
    for n in range(1, 20):
        values = [rng.randint(-1000, 1000) for _ in range(n)]
        assert reference.median(0, 0, words([0, *values]), n) == statistics.median_low(values)


def test_the_histogram_keeps_what_lies_outside_in_its_ends() -> None:
    bins = array("H", [0] * 256)
    reference.histogram(0, bins, array("H", [0, 299, 300, 301, 302, 65535]), 6, 300, 1)
    assert (bins[0], bins[1], bins[255]) == (4, 1, 1)


def test_sums_carry_beyond_32_bits() -> None:
    out = words([65535, 7])
    reference.sum_squares(0, 0, words([16383] * 64), 64, out)
    assert out[1] * 65536 + out[0] == 7 * 65536 + 65535 + 64 * 16383**2


def test_mains_are_measured_whatever_the_offset() -> None:
    """230 V at 1 A, 60 degrees: half of the apparent power is real."""
    n = 80
    pairs: list[int] = []
    for k in range(n):
        angle = 2 * math.pi * k / n
        pairs += [round(2047 + 1500 * math.sin(angle)), round(1990 + 1000 * math.sin(angle - math.pi / 3))]
    sums = words([0] * 5)
    reference.mains_sums(array("H", pairs), 0, n, sums)
    voltage, current, real = power.mains(list(sums), n)
    assert voltage == pytest.approx(1500 / math.sqrt(2), rel=1e-3)
    assert current == pytest.approx(1000 / math.sqrt(2), rel=1e-3)
    assert real == pytest.approx(voltage * current / 2, rel=2e-3)


def test_the_echo_is_found_where_the_burst_begins() -> None:
    codes = array("H", [2048] * 400)
    for k in range(32):
        codes[200 + k] += round(
            300 * math.cos(math.pi / 2 * k + 0.7) * math.sin(math.pi * (k + 0.5) / 32) ** 2
        )
    pairs, shape = words([0] * 736), words([0] * 368)
    reference.match_echo(codes, 0, 368, pairs)
    reference.envelope(0, 0, pairs, 368, shape)
    assert abs(list(shape).index(max(shape)) - 200) <= 1
    assert max(shape) > 20 * statistics.median(shape) + 20


def test_the_envelope_is_close_to_the_magnitude() -> None:
    for degree in range(0, 360, 5):
        x = round(1e6 * math.cos(math.radians(degree)))
        y = round(1e6 * math.sin(math.radians(degree)))
        out = words([0])
        reference.envelope(0, 0, words([x, y]), 1, out)
        assert -0.125 - 1e-5 <= out[0] / 1e6 - 1 <= 0.02, degree
