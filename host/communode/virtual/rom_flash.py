# SPDX-License-Identifier: MIT
"""What the serial loader (`rom`) does with the flash: downloads into it, uploads and digests of it.

The ROM erases a whole download first and reads back what it wrote; the stub erases as it goes. Not here:
commands and answers. Sources: as `rom`.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import Any

from communode.virtual.flash import SECTOR_SIZE, FlashFile
from communode.virtual.rom_refusal import (
    BAD_LENGTH,
    FLASH_FAILED,
    INFLATE_FAILED,
    NOT_STARTED,
    READ_FAILED,
    TOO_MUCH,
    WRITE_FAILED,
    Refused,
)

_ROM_DEFAULT_SIZE = 2 << 20  # what the ROM believes of the flash before SPI_SET_PARAMS
_MAX_PACKET = 4096


@dataclass
class Download:
    """A flash download under way."""

    offset: int
    left: int  # bytes still to be written
    erased_to: int
    inflate: Any  # zlib's decompressor, whose type has no public name; None when not compressed


@dataclass
class Upload:
    """The stub's READ_FLASH under way: one packet in flight at a time (ST)."""

    flash: FlashFile
    start: int
    end: int
    packet: int
    offset: int
    ended: bool = False

    def next_packet(self) -> bytes:
        """The packet that follows."""
        size = min(self.packet, self.end - self.offset)
        packet = self.flash.read(self.offset, size)
        self.offset += size
        return packet

    def answer(self, frame: bytes) -> bytes:
        """What follows the host's ``frame``: a packet, the digest at the end, or nothing yet.

        The frame says how many bytes the host has; anything else ends the transfer (ST).
        """
        if len(frame) == 4 and self.offset < self.end:
            return self.next_packet()
        if len(frame) == 4 and int.from_bytes(frame, "little") < self.end - self.start:
            return b""
        self.ended = True
        sent = self.flash.read(self.start, self.offset - self.start)
        return hashlib.md5(sent, usedforsecurity=False).digest()


class LoaderFlash:
    """The flash of one chip as its loader sees it. Everything raises `Refused`."""

    def __init__(self, flash: FlashFile) -> None:
        self._flash = flash
        self.reset()

    def reset(self) -> None:
        """The ROM's loader starts."""
        self.attached = False
        self._limit = min(_ROM_DEFAULT_SIZE, self._flash.size)
        self._stub = False
        self._download: Download | None = None

    def enter_stub(self) -> None:
        """The stub starts, and asks the flash chip itself for its size."""
        self.attached = True
        self._limit = self._flash.size
        self._stub = True

    def set_size(self, size: int) -> None:
        """What SPI_SET_PARAMS says."""
        self._limit = min(size, self._flash.size)

    # Writing

    def begin(self, offset: int, size: int, padded_size: int, compressed: bool) -> None:
        """A download of ``size`` bytes, in plain blocks of ``padded_size`` together."""
        self._check_range(offset, size, FLASH_FAILED)
        start = offset - offset % SECTOR_SIZE
        end = -(-(offset + size) // SECTOR_SIZE) * SECTOR_SIZE
        self._check_range(start, end - start, FLASH_FAILED)
        left = size if compressed or self._stub else max(size, padded_size)
        self._download = Download(offset, left, start, zlib.decompressobj() if compressed else None)
        if not self._stub and size:
            self._flash.erase(start, end - start)
            self._download.erased_to = end

    def download(self, compressed: bool) -> Download:
        """The download that was begun."""
        if self._download is None or (self._download.inflate is not None) != compressed:
            raise Refused(NOT_STARTED)
        return self._download

    def store(self, download: Download, block: bytes) -> None:
        """Write a block of a download."""
        if download.inflate is not None:
            try:
                block = download.inflate.decompress(block)
            except zlib.error as error:
                raise Refused(INFLATE_FAILED) from error
            if len(block) > download.left:
                raise Refused(TOO_MUCH)
        block = block[: download.left]  # the last plain block is padded
        end = download.offset + len(block)
        self._check_range(download.offset, len(block), FLASH_FAILED)
        while self._stub and download.erased_to < end:
            self._flash.erase(download.erased_to, SECTOR_SIZE)
            download.erased_to += SECTOR_SIZE
        self._flash.program(download.offset, block, strict=False)
        if not self._stub and self._flash.read(download.offset, len(block)) != block:
            raise Refused(WRITE_FAILED)  # the ROM reads back what it wrote (SP)
        download.offset = end
        download.left -= len(block)

    def finish(self) -> None:
        """The end of a download; only the stub minds whether it was complete."""
        download, self._download = self._download, None
        if not self._stub:
            return
        if download is None:
            raise Refused(NOT_STARTED)
        if download.left:
            raise Refused(BAD_LENGTH)

    def erase_all(self) -> None:
        """ERASE_FLASH."""
        self._flash.erase(0, self._flash.size)

    def erase(self, offset: int, size: int) -> None:
        """ERASE_REGION, whole sectors."""
        if offset % SECTOR_SIZE or size % SECTOR_SIZE:
            raise Refused(BAD_LENGTH)
        self._check_range(offset, size, FLASH_FAILED)
        self._flash.erase(offset, size)

    # Reading

    def read(self, offset: int, size: int) -> bytes:
        """Bytes within the size that the loader believes in."""
        self._check_range(offset, size, READ_FAILED)
        return self._flash.read(offset, size)

    def upload(self, offset: int, size: int, packet: int) -> Upload:
        """Begin READ_FLASH in packets of ``packet`` bytes."""
        if not 0 < packet <= _MAX_PACKET:
            raise Refused(BAD_LENGTH)
        self._check_range(offset, size, READ_FAILED)
        return Upload(self._flash, offset, offset + size, packet, offset)

    def _check_range(self, offset: int, size: int, error: tuple[int, int]) -> None:
        if not self.attached or offset + size > self._limit:
            raise Refused(error)
