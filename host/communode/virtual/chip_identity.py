# SPDX-License-Identifier: MIT
"""What tells one ESP32 chip from another over the serial port: eFuses, registers, flash chip.

Only the registers that flashing tools look at have contents; the rest of the address space reads 0
and keeps what is written. Not a model of the processor's peripherals.

Sources: the addresses and bit fields that esptool v5.6 reads, which are those of the technical reference
manuals (eFuse controller, SPI memory controller, RTC watchdog, UART); Winbond W25Q-JV data sheets
(opcodes, JEDEC identification); JESD216 (SFDP header).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

XTAL_HZ = 40_000_000

_DEFAULT_REVISION = {"esp32": 301, "esp32s3": 2, "esp32c3": 4}
_FLASH_CAPACITY = {1 << power: power for power in range(20, 26)}  # JEDEC: the third byte is log2 of the size
_PSRAM_CODE = {0: 0, 8 << 20: 1, 2 << 20: 2, 16 << 20: 3, 4 << 20: 4}


@dataclass(frozen=True)
class Layout:
    """Where one kind of chip keeps what the tools read."""

    image_chip_id: int  # in image headers and in the security information
    magic: int  # at 0x40001000 of the ROM
    spi: int
    spi_usr: int  # offsets in the SPI block
    spi_usr2: int
    spi_data: int
    spi_address_shift: int  # addresses stand at the top of the register, or at the bottom
    uart_divider: int
    efuse: int
    watchdog: int | None  # configuration register 0 of the RTC watchdog
    watchdog_lock: int | None


LAYOUTS = {
    "esp32": Layout(
        image_chip_id=0,
        magic=0x00F01D83,
        spi=0x3FF42000,
        spi_usr=0x1C,
        spi_usr2=0x24,
        spi_data=0x80,
        spi_address_shift=8,
        uart_divider=0x3FF40014,
        efuse=0x3FF5A000,
        watchdog=None,
        watchdog_lock=None,
    ),
    "esp32s3": Layout(
        image_chip_id=9,
        magic=0x00000009,
        spi=0x60002000,
        spi_usr=0x18,
        spi_usr2=0x20,
        spi_data=0x58,
        spi_address_shift=0,
        uart_divider=0x60000014,
        efuse=0x60007000,
        watchdog=0x60008098,
        watchdog_lock=0x600080B0,
    ),
    "esp32c3": Layout(
        image_chip_id=5,
        magic=0x1B31506F,
        spi=0x60002000,
        spi_usr=0x18,
        spi_usr2=0x20,
        spi_data=0x58,
        spi_address_shift=0,
        uart_divider=0x60000014,
        efuse=0x60008800,
        watchdog=0x60008090,
        watchdog_lock=0x600080A8,
    ),
}


@dataclass(frozen=True)
class ChipIdentity:
    """One chip: its kind, MAC address (6 bytes), flash size in bytes, revision (major * 100 + minor)."""

    chip: str
    mac: bytes
    flash_size: int
    revision: int | None = None  # None: one that today's firmware accepts (C3 images want v0.3 or later)
    psram_size: int = 0  # in the package; ESP32-S3 only

    def __post_init__(self) -> None:
        if self.chip not in LAYOUTS:
            raise ValueError(f"no layout for chip {self.chip}; known: {', '.join(LAYOUTS)}")
        if len(self.mac) != 6:
            raise ValueError("a MAC address has 6 bytes")
        if self.flash_size not in _FLASH_CAPACITY:
            raise ValueError(f"no flash chip of {self.flash_size} bytes")
        if self.psram_size not in _PSRAM_CODE:
            raise ValueError(f"no package with {self.psram_size} bytes of PSRAM")

    @property
    def layout(self) -> Layout:
        """The addresses of this kind of chip."""
        return LAYOUTS[self.chip]

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor revision."""
        return divmod(_DEFAULT_REVISION[self.chip] if self.revision is None else self.revision, 100)

    def security_info(self) -> bytes:
        """The 20 bytes of GET_SECURITY_INFO on a chip without any security: flags, counts, chip, API."""
        return bytes(12) + self.layout.image_chip_id.to_bytes(4, "little") + bytes(4)


class FlashId(Protocol):
    """What the SPI controller model needs to know of the flash."""

    size: int


class Registers:
    """The address space as READ_REG and WRITE_REG see it, with a flash chip behind the SPI controller.

    ``watchdog_armed`` is true once the RTC watchdog has been set to reset the chip and its registers have
    been locked again: it bites a few milliseconds later, after the answer to the lock is out.
    """

    def __init__(self, identity: ChipIdentity) -> None:
        self.identity = identity
        self._layout = identity.layout
        self._values: dict[int, int] = {}
        self.reset()

    def reset(self) -> None:
        """Power-on values; the eFuses are what they always were."""
        self._values = {0x40001000: self._layout.magic, **_efuses(self.identity)}
        self.watchdog_armed = False
        self.set_line_rate(115200)

    def set_line_rate(self, baud: int) -> None:
        """The UART divider after automatic baud detection or CHANGE_BAUDRATE."""
        self._values[self._layout.uart_divider] = XTAL_HZ // max(baud, 1)

    def read(self, address: int) -> int:
        """A 32-bit word."""
        return self._values.get(address, 0)

    def write(self, address: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """Change the bits of ``mask``."""
        layout = self._layout
        value = self.read(address) & ~mask | value & mask
        if address == layout.spi and value & 1 << 18:  # run the user-defined command; the bit clears itself
            value &= ~(1 << 18)
            self._run_spi()
        self._values[address] = value
        if address == layout.watchdog_lock and value == 0 and layout.watchdog is not None:
            setting = self.read(layout.watchdog)
            self.watchdog_armed = bool(setting >> 31 and setting >> 28 & 7)

    def _run_spi(self) -> None:
        base = self._layout.spi
        opcode = self.read(base + self._layout.spi_usr2) & 0xFF
        has_address = self.read(base + self._layout.spi_usr) >> 30 & 1
        address = self.read(base + 4) >> self._layout.spi_address_shift if has_address else 0
        answer = _flash_answer(opcode, address, self.identity.flash_size)
        for at in range(0, len(answer), 4):
            self._values[base + self._layout.spi_data + at] = int.from_bytes(answer[at : at + 4], "little")


def _flash_answer(opcode: int, address: int, flash_size: int) -> bytes:
    """What the flash chip shifts out; an opcode it does not know leaves the line high."""
    if opcode == 0x9F:  # JEDEC identification: Winbond, W25Q..JV, capacity
        return bytes((0xEF, 0x40, _FLASH_CAPACITY[flash_size], 0))
    if opcode == 0x5A:  # SFDP: signature, revision 1.5, one more parameter header, which is the vendor's
        header = b"SFDP\x05\x01\x01\xff" + b"\x00\x05\x01\x10\x80\x00\x00\xff" + b"\xef\x00\x01\x04"
        return header.ljust(256, b"\xff")[address & 0xFF :][:4].ljust(4, b"\xff")
    if opcode in (0x05, 0x15, 0x35):  # status registers: ready, nothing protected
        return bytes(4)
    if opcode in (0x04, 0x06, 0x50, 0x66, 0x99, 0xAB, 0xB9):  # write enable, reset, power-down: no answer
        return b""
    return b"\xff" * 4


def _efuses(identity: ChipIdentity) -> dict[int, int]:
    mac = identity.mac
    major, minor = identity.version
    base = identity.layout.efuse
    if identity.chip == "esp32":
        # The major revision is spread over three places, as a bar of ones: 0, 1, 2, 3 are 0, 1, 3, 7.
        bar = (0, 1, 3, 7)[major]
        return {
            base + 0x04: int.from_bytes(mac[2:], "big"),
            base + 0x08: _crc8(mac) << 16 | int.from_bytes(mac[:2], "big"),
            base + 0x0C: (bar & 1) << 15 | 1 << 13 | 1 << 9,  # 240 MHz, package D0WD
            base + 0x10: 100,  # the 8 MHz clock in units of 100 kHz ...
            base + 0x14: minor << 24 | (bar >> 1 & 1) << 20,
            0x3FF66000 + 0x7C: (bar >> 2) << 31,
            0x3FF5F06C: 1024 << 7,  # ... and its calibration, which together say 40 MHz
        }
    psram = _PSRAM_CODE[identity.psram_size]
    return {
        base + 0x44: int.from_bytes(mac[2:], "big"),
        base + 0x48: int.from_bytes(mac[:2], "big"),
        base + 0x44 + 12: (minor & 7) << 18,
        base + 0x44 + 16: (psram & 3) << 3,
        base + 0x44 + 20: major << 24 | (minor >> 3) << 23 | (psram >> 2) << 19,
    }


def _crc8(data: bytes) -> int:
    """CRC-8 over the MAC, polynomial 0x31 reflected as the ESP32 keeps it beside the MAC."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc
