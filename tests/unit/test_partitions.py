# SPDX-License-Identifier: MIT
"""The partition table: where everything is, byte for byte, and that a damaged one is not taken."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from communode.partitions import SECTOR, TABLE_SIZE, table_for, table_from_bytes, table_to_bytes

MIB = 1 << 20

# The first three rows and their layout, as in the official MicroPython v1.27.0 image for the ESP32-S3.
OFFICIAL_ROWS = bytes.fromhex(
    "aa50010200900000006000006e76730000000000000000000000000000000000"
    "aa50010100f00000001000007068795f696e6974000000000000000000000000"
)


@pytest.mark.parametrize("size", [4 * MIB, 8 * MIB, 16 * MIB])
def test_partitions_fill_the_flash_without_overlap(size: int) -> None:
    partitions = table_for(size)
    for before, after in pairwise(partitions):
        assert before.end == after.offset
        assert after.offset % SECTOR == 0
    assert partitions[-1].end == size


def test_four_megabytes_are_laid_out_as_promised() -> None:
    found = {item.name: (item.offset, item.size) for item in table_for(4 * MIB)}
    assert found == {
        "nvs": (0x9000, 0x6000),
        "phy_init": (0xF000, 0x1000),
        "factory": (0x10000, 0x1F0000),
        "vfs": (0x200000, 0x100000),
        "state": (0x300000, 0x10000),
        "journal": (0x310000, 0xF0000),
    }


def test_nvs_and_phy_are_where_the_official_image_has_them() -> None:
    assert table_to_bytes(table_for(4 * MIB)).startswith(OFFICIAL_ROWS)


def test_a_table_reads_back() -> None:
    partitions = table_for(8 * MIB)
    data = table_to_bytes(partitions)
    assert len(data) == TABLE_SIZE
    assert table_from_bytes(data) == partitions


def test_the_md5_row_is_the_one_of_the_format() -> None:
    data = table_to_bytes(table_for(4 * MIB))
    assert data[6 * 32 : 6 * 32 + 16] == b"\xeb\xeb" + b"\xff" * 14
    assert set(data[7 * 32 :]) == {0xFF}


def test_any_changed_byte_of_the_rows_is_noticed() -> None:
    data = bytearray(table_to_bytes(table_for(4 * MIB)))
    for position in range(6 * 32):
        data[position] ^= 1
        with pytest.raises(ValueError, match=r"MD5|no partition entry"):
            table_from_bytes(bytes(data))
        data[position] ^= 1


def test_a_table_without_its_md5_row_is_refused() -> None:
    row = struct.pack("<HBBII16sI", 0x50AA, 1, 2, 0x9000, 0x6000, b"nvs", 0)
    with pytest.raises(ValueError, match=r"MD5|no partition entry"):
        table_from_bytes(row)
