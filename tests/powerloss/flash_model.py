# SPDX-License-Identifier: MIT
"""A raw NOR region in memory whose power can be cut in the middle of any operation.

The fast stand-in for `communode.virtual.flash` where hundreds of thousands of cuts are tried. It lies the way
flash lies: a torn program leaves some bytes written and one half written; a half erase leaves any mixture.
"""

from __future__ import annotations

import random

SECTOR = 4096


class PowerCut(Exception):
    """The power went."""


class RamFlash:
    """``read``, ``program``, ``erase`` as the storage layer wants them; `cut_at` counts operations down."""

    def __init__(self, sectors: int, data: bytearray | None = None) -> None:
        self.size = sectors * SECTOR
        self.data = bytearray(b"\xff" * self.size) if data is None else data
        self.operations = 0
        self.cut_at = -1  # index of the operation that is torn; -1: none
        self.torn = 0.0  # share of it that was done
        self.rng = random.Random(0)
        self.erases = [0] * sectors

    def copy(self) -> RamFlash:
        """The same contents, with power."""
        return RamFlash(self.size // SECTOR, bytearray(self.data))

    def read(self, offset: int, buffer: bytearray) -> None:
        assert 0 <= offset <= self.size - len(buffer), "read outside the region"
        buffer[:] = self.data[offset : offset + len(buffer)]

    def program(self, offset: int, data: bytes) -> None:
        assert 0 <= offset <= self.size - len(data), "program outside the region"
        assert offset // SECTOR == (offset + len(data) - 1) // SECTOR, "program across sectors"
        old = self.data[offset : offset + len(data)]
        assert all(b & ~a & 0xFF == 0 for a, b in zip(old, data, strict=True)), "programmed unerased flash"
        done = len(data)
        cut = self._is_cut()
        if cut:
            done = int(len(data) * self.torn)
        self.data[offset : offset + done] = data[:done]
        if cut:
            if done < len(data):  # the byte that was being written: some of its bits
                self.data[offset + done] = old[done] & (data[done] | self.rng.randrange(256))
            raise PowerCut

    def erase(self, offset: int) -> None:
        assert offset in range(0, self.size, SECTOR), "erase off a sector"
        self.erases[offset // SECTOR] += 1
        if self._is_cut():
            if self.torn >= 1.0:
                self.data[offset : offset + SECTOR] = b"\xff" * SECTOR
            elif self.torn > 0.0:
                # Erasing lifts bits one by one: any cell may have come up, none goes down.
                mask = self.rng.randbytes(SECTOR)
                sector = self.data[offset : offset + SECTOR]
                self.data[offset : offset + SECTOR] = bytes(a | b for a, b in zip(sector, mask, strict=True))
            raise PowerCut
        self.data[offset : offset + SECTOR] = b"\xff" * SECTOR

    def _is_cut(self) -> bool:
        index = self.operations
        self.operations += 1
        return index == self.cut_at
