# SPDX-License-Identifier: MIT
"""The flash layout of a node: which partition is where, and the table that the bootloader reads.

| partition | what | written by |
|---|---|---|
| nvs | identity and keys | `communode provision` only |
| phy_init | RF calibration of the chip | ESP-IDF |
| factory | MicroPython | `communode flash` |
| vfs | our code, LittleFS | `communode flash`, `communode deploy`; never by the app |
| state | MAC state and configuration, raw | the app |
| journal | records, raw | the app |

So new code never touches identity, MAC state or records. The first three lie where the official image has
them. ``vfs`` is data subtype 0x81 (fat), by which MicroPython 1.27 finds its file system: with such an entry
it makes no partition of its own from the unused rest of the flash.

Source: ESP-IDF Programming Guide v5.5, "Partition Tables" (32-byte entries, magic 0x50AA, MD5 row 0xEBEB).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

TABLE_OFFSET = 0x8000
TABLE_SIZE = 0xC00
SECTOR = 0x1000

_ENTRY = struct.Struct("<HBBII16sI")
_MAGIC = 0x50AA
_MD5_MAGIC = b"\xeb\xeb" + b"\xff" * 14

APP, DATA = 0, 1


@dataclass(frozen=True)
class Partition:
    """One entry: offsets and sizes in bytes."""

    name: str
    type: int
    subtype: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """First byte behind the partition."""
        return self.offset + self.size


def table_for(flash_size: int) -> tuple[Partition, ...]:
    """Our partitions on a flash of ``flash_size`` bytes (4 MiB or more): the journal gets what is left."""
    journal = 0x310000
    return (
        Partition("nvs", DATA, 0x02, 0x9000, 0x6000),
        Partition("phy_init", DATA, 0x01, 0xF000, 0x1000),
        Partition("factory", APP, 0x00, 0x10000, 0x1F0000),
        Partition("vfs", DATA, 0x81, 0x200000, 0x100000),
        Partition("state", DATA, 0x41, 0x300000, 0x10000),
        Partition("journal", DATA, 0x40, journal, flash_size - journal),
    )


def table_to_bytes(partitions: tuple[Partition, ...]) -> bytes:
    """The table as it lies at 0x8000, with its MD5 row, `TABLE_SIZE` bytes."""
    rows = b"".join(
        _ENTRY.pack(_MAGIC, item.type, item.subtype, item.offset, item.size, item.name.encode(), 0)
        for item in partitions
    )
    digest = _MD5_MAGIC + hashlib.md5(rows, usedforsecurity=False).digest()
    return (rows + digest).ljust(TABLE_SIZE, b"\xff")


def table_from_bytes(data: bytes) -> tuple[Partition, ...]:
    """Read a table. ValueError for a bad magic, a wrong MD5 or a table without its MD5 row."""
    found: list[Partition] = []
    for offset in range(0, min(len(data), TABLE_SIZE), _ENTRY.size):
        row = data[offset : offset + _ENTRY.size]
        if row.startswith(_MD5_MAGIC):
            if row[16:] != hashlib.md5(data[:offset], usedforsecurity=False).digest():
                raise ValueError("the MD5 row of the partition table is wrong")
            return tuple(found)
        if len(row) < _ENTRY.size:
            break
        magic, kind, subtype, start, size, name, _flags = _ENTRY.unpack(row)
        if magic != _MAGIC:
            raise ValueError(f"no partition entry at byte {offset} of the table")
        found.append(Partition(name.rstrip(b"\0").decode("ascii", "replace"), kind, subtype, start, size))
    raise ValueError("the partition table has no MD5 row")
