# SPDX-License-Identifier: MIT
"""The SPI NOR flash of a virtual board: a file that behaves like the chip.

Programming clears bits and never sets them; only an erase sets them, a whole sector at a time. An
operation can be cut by a power failure, and then leaves what a real chip leaves: a part that is
done, bytes that are half done, and a part that was never reached. Not a file system and not a
timing model: what an operation costs is charged by the clock of the board.

Source: Winbond W25Q32JV data sheet, "Page Program" and "Sector Erase" (sizes and AND semantics are those
of every SPI NOR chip that ESP32 modules carry).
"""

from __future__ import annotations

import fcntl
import mmap
import os
from array import array
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from communode.errors import CommunodeError
from communode.virtual.chips.chip import Violation

SECTOR_SIZE = 4096  # the smallest unit of erase
ERASED = b"\xff"

OperationHook = Callable[[str, int, bytes], None]


class PowerCut(Exception):
    """The supply failed during a flash operation; raised by a hook, seen by whoever asked for it.

    ``done`` bytes of the operation were finished. The bytes after them take what ``torn`` says, and
    the rest was never reached. For a program, each byte of ``torn`` is a mask of the bits that had
    been programmed already; for an erase it is the very content left behind, because a chip programs
    a sector to zero before it erases it, and may be stopped anywhere between.
    """

    def __init__(self, done: int = 0, torn: bytes = b"") -> None:
        super().__init__(f"power failed after {done} bytes")
        self.done = done
        self.torn = torn


class FlashFile:
    """A flash chip of ``size`` bytes in the file ``path``, owned by one process at a time.

    A missing or empty file becomes an erased chip, readable by its owner only (it will hold keys).
    An existing one must have the size; otherwise, or when another board holds it, `CommunodeError`.

    ``on_operation(kind, offset, data)`` is called before each ``"program"`` and each sector
    ``"erase"`` (``data`` empty), and may raise `PowerCut`. After that every operation raises
    `PowerCut` until `restore_power`.
    """

    def __init__(self, path: str | Path, size: int) -> None:
        if size <= 0 or size % SECTOR_SIZE:
            raise ValueError(f"a flash chip has whole sectors of {SECTOR_SIZE} bytes, not {size} bytes")
        self.path = Path(path)
        self.size = size
        self.on_operation: OperationHook | None = None
        self.reads = 0
        self.programs = 0
        self.erases = 0  # of sectors
        self.bytes_programmed = 0
        self.sector_erases = array("I", bytes(4 * (size // SECTOR_SIZE)))  # since this object was made
        self._without_power = False
        self._fd = _open_alone(self.path)
        try:
            _fill_or_check(self._fd, self.path, size)
            self._map = mmap.mmap(self._fd, size)
        except BaseException:
            os.close(self._fd)
            raise

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``. Raises `Violation` outside the chip."""
        self._check(offset, length)
        self.reads += 1
        return self._map[offset : offset + length]

    def program(self, offset: int, data: bytes, *, strict: bool = True) -> None:
        """Clear the bits that are 0 in ``data``.

        A 1 over a programmed 0 stays 0: a `Violation` when ``strict`` (the application forgot to
        erase), silently wrong when not (the ROM loader, whose client then sees a wrong hash).
        """
        data = bytes(data)
        end = offset + len(data)
        self._check(offset, len(data))
        old = self._map[offset:end]
        new = _and(old, data)
        if strict and new != data:
            at = next(i for i, (have, want) in enumerate(zip(new, data, strict=True)) if have != want)
            wanted, found = data[at], old[at]
            raise Violation(
                f"flash 0x{offset + at:06x}: 0x{wanted:02x} programmed over 0x{found:02x} without an erase"
            )
        try:
            self._announce("program", offset, data)
        except PowerCut as cut:
            self._map[offset:end] = _torn_program(old, new, cut)
            raise
        self.programs += 1
        self.bytes_programmed += len(data)
        self._map[offset:end] = new

    def erase(self, offset: int, length: int) -> None:
        """Set whole sectors to 0xFF, first to last. Raises `Violation` for parts of sectors."""
        self._check(offset, length)
        if offset % SECTOR_SIZE or length % SECTOR_SIZE:
            raise Violation(f"flash erase of 0x{length:x} bytes at 0x{offset:x}: not whole sectors")
        for start in range(offset, offset + length, SECTOR_SIZE):
            end = start + SECTOR_SIZE
            try:
                self._announce("erase", start, b"")
            except PowerCut as cut:
                self._map[start:end] = _torn_erase(self._map[start:end], cut)
                raise
            self.erases += 1
            self.sector_erases[start // SECTOR_SIZE] += 1
            self._map[start:end] = ERASED * SECTOR_SIZE

    def restore_power(self) -> None:
        """The supply is back after a `PowerCut`."""
        self._without_power = False

    def region(self, offset: int, size: int) -> FlashRegion:
        """A part of the chip (a partition) with addresses of its own."""
        self._check(offset, size)
        return FlashRegion(self, offset, size)

    def close(self) -> None:
        """Write back and give the file to the next owner. May be called twice."""
        if self._fd >= 0:
            self._map.close()
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> FlashFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, offset: int, length: int) -> None:
        if self._without_power:
            raise PowerCut
        if offset < 0 or length < 0 or offset + length > self.size:
            raise Violation(f"flash 0x{offset:x}+0x{length:x} is outside a chip of 0x{self.size:x} bytes")

    def _announce(self, kind: str, offset: int, data: bytes) -> None:
        if self.on_operation is None:
            return
        try:
            self.on_operation(kind, offset, data)
        except PowerCut:
            self._without_power = True
            raise


class FlashRegion:
    """A part of a flash chip; offsets count from its start, and it cannot be left."""

    def __init__(self, flash: FlashFile, offset: int, size: int) -> None:
        self.flash = flash
        self.offset = offset
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """As `FlashFile.read`."""
        return self.flash.read(self._inside(offset, length), length)

    def program(self, offset: int, data: bytes, *, strict: bool = True) -> None:
        """As `FlashFile.program`."""
        self.flash.program(self._inside(offset, len(data)), data, strict=strict)

    def erase(self, offset: int, length: int) -> None:
        """As `FlashFile.erase`."""
        self.flash.erase(self._inside(offset, length), length)

    def _inside(self, offset: int, length: int) -> int:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise Violation(f"flash 0x{offset:x}+0x{length:x} is outside a region of 0x{self.size:x} bytes")
        return self.offset + offset


def _open_alone(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CommunodeError("virtual_flash.unusable", path=path, reason=error.strerror) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise CommunodeError("virtual_flash.busy", path=path) from error
    return fd


def _fill_or_check(fd: int, path: Path, size: int) -> None:
    """Erase a new file. The lock is held, so nobody sees it half filled."""
    found = os.fstat(fd).st_size
    if found == 0:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(ERASED * size)
    elif found != size:
        raise CommunodeError("virtual_flash.size", path=path, found=found, expected=size)


def _and(old: bytes, data: bytes) -> bytes:
    if old.count(ERASED) == len(old):
        return data
    both = int.from_bytes(old, "little") & int.from_bytes(data, "little")
    return both.to_bytes(len(old), "little")


def _torn_program(old: bytes, new: bytes, cut: PowerCut) -> bytes:
    torn = zip(old[cut.done :], new[cut.done :], cut.torn, strict=False)
    half_done = bytes(before & (after | ~mask & 0xFF) for before, after, mask in torn)
    return new[: cut.done] + half_done + old[cut.done + len(half_done) :]


def _torn_erase(old: bytes, cut: PowerCut) -> bytes:
    done = ERASED * min(cut.done, len(old))
    torn = cut.torn[: len(old) - len(done)]
    return done + torn + old[len(done) + len(torn) :]
