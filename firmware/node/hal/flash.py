# SPDX-License-Identifier: MIT
# A raw partition as the storage layer wants it: read, program, erase by byte offset.

import esp32
from micropython import const

_BLOCK = const(4096)


class PartitionRegion:
    """The data partition with this label; OSError when the table has none."""

    def __init__(self, label: str) -> None:
        found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label=label)
        if not found:
            raise OSError(2)
        self._partition = found[0]
        self.size = self._partition.info()[3]

    def read(self, offset: int, buffer: bytearray) -> None:
        """Fill `buffer` from `offset`."""
        self._partition.readblocks(offset // _BLOCK, buffer, offset % _BLOCK)

    def program(self, offset: int, data: bytes) -> None:
        """Program erased flash; never erases by itself."""
        self._partition.writeblocks(offset // _BLOCK, data, offset % _BLOCK)

    def erase(self, offset: int) -> None:
        """Erase the 4 KiB sector at `offset`."""
        self._partition.ioctl(6, offset // _BLOCK)
