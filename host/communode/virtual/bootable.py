# SPDX-License-Identifier: MIT
"""Would the chip boot what is in its flash? Checked as the ROM and the second-stage boot loader check.

Reads flash and says what a console would show; starts nothing. Partitions of the default
application are chosen as by a boot loader without OTA data.

Sources: "Firmware Image Format" of the esptool documentation v5; "Partition Tables" and "Bootloader"
of the ESP-IDF Programming Guide v5.4; console texts as printed by chips (public issue reports).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Protocol

from communode.virtual.chip_identity import LAYOUTS

TABLE_OFFSET = 0x8000
TABLE_SIZE = 0xC00
APP, DATA = 0, 1  # partition types

_ENTRY = struct.Struct("<2sBBII16sI")
_MD5_ROW = b"\xeb\xeb" + b"\xff" * 14
_IMAGE_HEADER = 24
_MAX_SEGMENTS = 16
_NO_APP = "E (70) boot: No bootable app partitions in the partition table"

_RESET_BANNER = {
    "esp32": "ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:{boot}\r\n",
    "esp32s3": "ESP-ROM:esp32s3-20210327\r\nBuild:Mar 27 2021\r\nrst:0x1 (POWERON),boot:{boot}\r\n",
    "esp32c3": "ESP-ROM:esp32c3-api1-20210207\r\nBuild:Feb  7 2021\r\nrst:0x1 (POWERON),boot:{boot}\r\n",
}
_BOOT_FLASH = {
    "esp32": "0x13 (SPI_FAST_FLASH_BOOT)",
    "esp32s3": "0x8 (SPI_FAST_FLASH_BOOT)",
    "esp32c3": "0xc (SPI_FAST_FLASH_BOOT)",
}
_BOOT_DOWNLOAD = {
    "esp32": "0x3 (DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2))",
    "esp32s3": "0x0 (DOWNLOAD(USB/UART0))",
    "esp32c3": "0x4 (DOWNLOAD(USB/UART0/1))",
}


class Readable(Protocol):
    """Flash, or anything with its bytes."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Read bytes."""


@dataclass(frozen=True)
class Partition:
    """A row of the partition table; offset and size in bytes."""

    label: str
    type: int
    subtype: int
    offset: int
    size: int


class TableError(Exception):
    """The partition table is missing or damaged; the text is what the boot loader prints."""


def download_banner(chip: str) -> bytes:
    """What the ROM prints when the strapping pins send it to the serial loader."""
    return (_RESET_BANNER[chip].format(boot=_BOOT_DOWNLOAD[chip]) + "waiting for download\r\n").encode()


def boot_banner(chip: str) -> bytes:
    """What the ROM prints when it goes on to the flash."""
    return _RESET_BANNER[chip].format(boot=_BOOT_FLASH[chip]).encode()


def read_partitions(flash: Readable) -> list[Partition]:
    """The partitions in the table at 0x8000. Raises `TableError` for none, or a wrong hash."""
    table = flash.read(TABLE_OFFSET, TABLE_SIZE)
    found: list[Partition] = []
    for at in range(0, TABLE_SIZE, _ENTRY.size):
        row = table[at : at + _ENTRY.size]
        if row == b"\xff" * _ENTRY.size:
            break
        if row.startswith(_MD5_ROW):
            if row[16:] != hashlib.md5(table[:at], usedforsecurity=False).digest():
                raise TableError("E (32) flash_parts: MD5 hash mismatch")
            continue
        magic, kind, subtype, offset, size, label, _ = _ENTRY.unpack(row)
        if magic != b"\xaa\x50":
            number = at // _ENTRY.size
            raise TableError(
                f"E (32) flash_parts: partition {number} invalid magic number 0x{magic[1]:02x}{magic[0]:02x}"
            )
        name = label.split(b"\0")[0].decode("ascii", "replace")
        found.append(Partition(name, kind, subtype, offset, size))
    if not found:
        raise TableError("E (32) flash_parts: partition table is empty")
    return found


def find_fault(flash: Readable, bootloader_offset: int, chip: str | None = None) -> str | None:
    """What the console shows when ``flash`` does not start an application; None when it does.

    Images for another chip than ``chip`` are a fault too. The second-stage boot loader believes the flash
    size in its own image header, so a partition beyond that is a fault even where the flash is larger; a
    header that says more than there is, is one as well.
    """
    header = flash.read(bootloader_offset, _IMAGE_HEADER)
    if header[0] != 0xE9:
        return f"invalid header: 0x{int.from_bytes(header[:4], 'little'):08x}"
    fault = find_image_fault(flash, bootloader_offset, chip)
    if fault is not None:
        return f"ets_main.c 371: {fault}"
    believed = 1 << 20 << (header[3] >> 4)
    try:
        partitions = read_partitions(flash)
        _check_ends(partitions, believed)
    except TableError as error:
        return f"{error}\r\nE (38) boot: Failed to verify partition table"
    if believed > flash.size:
        text = f"Detected size({flash.size >> 10}k) smaller than the size in the binary image header"
        return f"E (120) spi_flash: {text}({believed >> 10}k). Probe failed."
    apps = sorted((p for p in partitions if p.type == APP), key=lambda p: (p.subtype, p.offset))
    if not apps:
        return _NO_APP
    fault = find_image_fault(flash, apps[0].offset, chip)
    return None if fault is None else f"E (60) esp_image: {fault}\r\n{_NO_APP}"


def _check_ends(partitions: list[Partition], flash_size: int) -> None:
    for number, partition in enumerate(partitions):
        if partition.offset + partition.size > flash_size:
            raise TableError(
                f"E (32) flash_parts: partition {number} invalid - offset 0x{partition.offset:x} "
                f"size 0x{partition.size:x} exceeds flash chip size 0x{flash_size:x}"
            )


def find_image_fault(flash: Readable, offset: int, chip: str | None = None) -> str | None:
    """What is wrong with the image at ``offset``: magic, chip, segments, checksum, appended SHA-256."""
    header = flash.read(offset, _IMAGE_HEADER)
    magic, count = header[0], header[1]
    if magic != 0xE9:
        return f"image at 0x{offset:x} has invalid magic byte (nothing flashed here?)"
    chip_id = int.from_bytes(header[12:14], "little")
    if chip is not None and chip_id != LAYOUTS[chip].image_chip_id:
        return f"mismatch chip ID, expected {LAYOUTS[chip].image_chip_id}, found {chip_id}"
    if not 0 < count <= _MAX_SEGMENTS:
        return f"image at 0x{offset:x} segment count {count} exceeds max {_MAX_SEGMENTS}"
    at = offset + _IMAGE_HEADER
    checksum = 0xEF
    for number in range(count):
        if at + 8 > flash.size:
            return f"image at 0x{offset:x} leaves the flash"
        length = int.from_bytes(flash.read(at + 4, 4), "little")
        if length % 4 or at + 8 + length > flash.size:
            return f"invalid segment {number} length 0x{length:x}"
        checksum ^= xor_bytes(flash.read(at + 8, length))
        at += 8 + length
    end = at + 16 - (at - offset) % 16  # padded so that the checksum is the last byte of 16
    if end + 32 > flash.size:
        return f"image at 0x{offset:x} leaves the flash"
    found = flash.read(end - 1, 1)[0]
    if found != checksum:
        return f"Checksum failed. Calculated 0x{checksum:x} read 0x{found:x}"
    if header[23] == 1 and hashlib.sha256(flash.read(offset, end - offset)).digest() != flash.read(end, 32):
        return "Image hash failed - image is corrupt"
    return None


def xor_bytes(data: bytes) -> int:
    """All bytes XORed into one, by folding in halves: a loop over megabytes would take seconds."""
    value, size = int.from_bytes(data, "little"), len(data)
    while size > 1:
        half = (size + 1) // 2
        value = value >> 8 * half ^ value & (1 << 8 * half) - 1
        size = half
    return value
