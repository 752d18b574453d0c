# SPDX-License-Identifier: MIT
"""A raw NOR region in memory that counts what is done to it; programming what is not erased is an error."""

from __future__ import annotations

SECTOR = 4096


class RawFlash:
    """``read``, ``program``, ``erase`` and ``size`` as the storage layer wants them."""

    def __init__(self, sectors: int, cells: bytes | None = None) -> None:
        self.size = sectors * SECTOR
        self.cells = bytearray(b"\xff" * self.size if cells is None else cells)
        self.reads = 0
        self.erased: list[int] = []

    def read(self, offset: int, buffer: bytearray) -> None:
        assert 0 <= offset <= self.size - len(buffer)
        self.reads += 1
        buffer[:] = self.cells[offset : offset + len(buffer)]

    def program(self, offset: int, data: bytes) -> None:
        assert 0 <= offset <= self.size - len(data)
        assert offset // SECTOR == (offset + len(data) - 1) // SECTOR, "across sectors"
        assert set(self.cells[offset : offset + len(data)]) <= {0xFF}, "not erased"
        self.cells[offset : offset + len(data)] = data

    def erase(self, offset: int) -> None:
        assert offset in range(0, self.size, SECTOR)
        self.erased.append(offset // SECTOR)
        self.cells[offset : offset + SECTOR] = b"\xff" * SECTOR
