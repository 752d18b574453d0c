# SPDX-License-Identifier: MIT
"""The serial loader in the ROM of an ESP32, ESP32-S3 or ESP32-C3, and the flasher stub that replaces it.

Unmodified flashing tools talk to it. Bytes come in through `RomLoader.feed` and go out through the
``write`` it was given; there is no thread and no clock. An uploaded stub is not executed: once told to
jump into it, the loader behaves like the stub, whose commands are richer and whose answers are shorter.
Secure boot, flash encryption and eFuse burning are not here; neither is the time that flash takes.

Sources: SP = "Serial Protocol" of the esptool documentation v5; ST = esp-flasher-stub (Espressif,
Apache-2.0 OR MIT) for what the stub answers and in which order; traces of chips in esptool's issues
(352, 698, 921): the ROM leaves the last register value, or the first word of SYNC, in ``value``.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

from communode.virtual.bootable import download_banner, xor_bytes
from communode.virtual.chip_identity import ChipIdentity, Registers
from communode.virtual.flash import FlashFile
from communode.virtual.rom_flash import LoaderFlash, Upload
from communode.virtual.rom_refusal import (
    BAD_CHECKSUM,
    BAD_LENGTH,
    NOT_HERE,
    TOO_LONG,
    TOO_MUCH,
    UNKNOWN,
    Refused,
)
from communode.virtual.slip import Decoder, encode

# SYNC as it looks on the wire (SP "Initial Synchronisation"): a board without modem lines goes to
# the loader when it sees this.
SYNC_REQUEST = encode(b"\x00\x08\x24\x00\x00\x00\x00\x00\x07\x07\x12\x20" + b"\x55" * 32)

_SLOW_READ = 64


class RomLoader:
    """The loader of one chip; holds its state from `reset` to the jump to the application.

    ``write(bytes)`` sends to the host. ``on_run_app()`` is called when the host tells the loader to
    leave; from then on it ignores all input until `reset`. ``on_baud(baud)`` follows CHANGE_BAUDRATE.
    ``line_rate()`` is the baud rate that the host's port has (the ROM measures it from SYNC).
    ``mode`` is ``"rom"``, ``"stub"`` or ``"gone"``.
    """

    def __init__(
        self,
        flash: FlashFile,
        identity: ChipIdentity,
        write: Callable[[bytes], object],
        *,
        on_run_app: Callable[[], object] | None = None,
        on_baud: Callable[[int], object] | None = None,
        line_rate: Callable[[], int] | None = None,
    ) -> None:
        if flash.size != identity.flash_size:
            raise ValueError("the flash file and the chip identity disagree about the size")
        self.flash = flash
        self.identity = identity
        self._write = write
        self._on_run_app = on_run_app or (lambda: None)
        self._on_baud = on_baud or (lambda baud: None)
        self._line_rate = line_rate or (lambda: 115200)
        self.registers = Registers(identity)
        self._storage = LoaderFlash(flash)
        self._commands = self._command_table()
        self.reset()

    def reset(self) -> None:
        """The chip came out of reset with the strapping pins at download."""
        self.mode = "rom"
        self.registers.reset()
        self._frames = Decoder()
        self._synced = False
        self._value = 0  # what the ROM's answers carry when they have no value of their own
        self._storage.reset()
        self._upload: Upload | None = None
        self._memory: list[range] = []  # RAM that was loaded
        self._memory_left = 0
        self._after_reply: Callable[[], None] | None = None
        self._late_error: tuple[int, int] | None = None

    def enter(self) -> None:
        """`reset`, and print what the ROM prints (only where a reset line said so: SP)."""
        self.reset()
        self._write(download_banner(self.identity.chip))

    def feed(self, data: bytes) -> None:
        """Take bytes from the host, in any portions. Lets a `PowerCut` of the flash through."""
        for frame in self._frames.feed(data):
            if self.mode == "gone":
                return
            if self._upload is not None:
                self._acknowledge(self._upload, frame)
            else:
                self._answer(frame)

    # Answering

    def _answer(self, frame: bytes) -> None:
        if len(frame) < 8 or frame[0] != 0x00:
            return
        command, size, checksum = struct.unpack_from("<xBHI", frame)
        data = frame[8:]
        if not self._synced and command != 0x08:
            return
        if self._late_error is not None:  # of the block before, which was acknowledged unwritten
            error, self._late_error = self._late_error, None
            self._reply(command, error=error)
            return
        try:
            if size != len(data):
                raise Refused(BAD_LENGTH)
            handler, least = self._commands.get(command, (None, 0))
            if handler is None or not self._knows(command):
                raise Refused(UNKNOWN)
            if len(data) < least:
                raise Refused(BAD_LENGTH)
            handler(command, data, checksum)
        except Refused as refused:
            self._after_reply = None
            if refused.error == UNKNOWN and self.mode == "rom":
                self._reply(0x00, error=refused.error)  # not the opcode that was asked: so tools tell it
            else:
                self._reply(command, error=refused.error)
        self._finish()

    def _finish(self) -> None:
        """What the stub does after it has answered, so that the next block can travel meanwhile."""
        after, self._after_reply = self._after_reply, None
        if after is None:
            return
        try:
            after()
        except Refused as refused:
            self._late_error = refused.error

    def _reply(
        self,
        command: int,
        body: bytes = b"",
        *,
        value: int | None = None,
        error: tuple[int, int] | None = None,
        times: int = 1,
    ) -> None:
        if self.mode == "stub":
            status = b"\x00\x00" if error is None else bytes((error[1], 0))
            value = value or 0
        else:
            status = b"\x00\x00\x00\x00" if error is None else bytes((1, error[0], 0, 0))
            self._value = value = self._value if value is None else value
        payload = body + status
        frame = struct.pack("<BBHI", 0x01, command, len(payload), value) + payload
        self._write(encode(frame) * times)

    def _knows(self, command: int) -> bool:
        if self.mode == "stub":
            return command != 0x0E
        return command < 0xD0 and not (command == 0x14 and self.identity.chip == "esp32")

    def _command_table(self) -> dict[int, tuple[Callable[[int, bytes, int], None], int]]:
        """Opcode -> handler and the least size of its data (SP "Commands")."""
        return {
            0x02: (self._begin, 16),
            0x03: (self._data, 16),
            0x04: (self._end, 4),
            0x05: (self._memory_begin, 16),
            0x06: (self._memory_end, 8),
            0x07: (self._memory_data, 16),
            0x08: (self._sync, 36),
            0x09: (self._write_registers, 16),
            0x0A: (self._read_register, 4),
            0x0B: (self._set_flash_parameters, 24),
            0x0D: (self._attach, 4),
            0x0E: (self._read_slowly, 8),
            0x0F: (self._change_baud, 8),
            0x10: (self._begin, 16),
            0x11: (self._data, 16),
            0x12: (self._end, 4),
            0x13: (self._hash, 16),
            0x14: (self._security_info, 0),
            0xD0: (self._erase_all, 0),
            0xD1: (self._erase_region, 8),
            0xD2: (self._read, 16),
            0xD3: (self._run_user_code, 0),
        }

    # The chip

    def _sync(self, command: int, data: bytes, checksum: int) -> None:
        self._synced = True
        if self.mode == "rom":
            self.registers.set_line_rate(self._line_rate())
        self._reply(command, value=int.from_bytes(data[:4], "little") if self.mode == "rom" else 0, times=8)

    def _read_register(self, command: int, data: bytes, checksum: int) -> None:
        self._reply(command, value=self.registers.read(int.from_bytes(data[:4], "little")))

    def _write_registers(self, command: int, data: bytes, checksum: int) -> None:
        for at in range(0, len(data) - 15, 16):
            address, value, mask, _ = struct.unpack_from("<IIII", data, at)
            self.registers.write(address, value, mask)
        self._reply(command)
        if self.registers.watchdog_armed:
            self._leave()

    def _change_baud(self, command: int, data: bytes, checksum: int) -> None:
        (baud,) = struct.unpack_from("<I", data)
        self._reply(command)
        self.registers.set_line_rate(baud)
        self._on_baud(baud)

    def _security_info(self, command: int, data: bytes, checksum: int) -> None:
        if self.identity.chip == "esp32":
            raise Refused(NOT_HERE)
        self._reply(command, self.identity.security_info())

    def _run_user_code(self, command: int, data: bytes, checksum: int) -> None:
        self._leave()  # without an answer (SP)

    def _leave(self) -> None:
        self.mode = "gone"
        self._on_run_app()

    # RAM

    def _memory_begin(self, command: int, data: bytes, checksum: int) -> None:
        size, _, _, address = struct.unpack_from("<IIII", data)
        self._memory.append(range(address, address + size))
        self._memory_left = size
        self._reply(command)

    def _memory_data(self, command: int, data: bytes, checksum: int) -> None:
        block = self._block(data, checksum)
        if len(block) > self._memory_left:
            raise Refused(TOO_MUCH)
        self._memory_left -= len(block)
        self._reply(command)

    def _memory_end(self, command: int, data: bytes, checksum: int) -> None:
        stay, entry = struct.unpack_from("<II", data)
        self._reply(command)
        if stay:
            return
        loaded = self._memory_left == 0 and any(entry in block for block in self._memory)
        self._memory = []
        self.mode = "stub" if loaded else "gone"  # a jump to where nothing was loaded hangs the chip
        if loaded:
            self._storage.enter_stub()
            self._write(encode(b"OHAI"))

    # Flash

    def _attach(self, command: int, data: bytes, checksum: int) -> None:
        self._storage.attached = True
        self._reply(command)

    def _set_flash_parameters(self, command: int, data: bytes, checksum: int) -> None:
        (size,) = struct.unpack_from("<4xI", data)
        self._storage.set_size(size)
        self._reply(command)

    def _begin(self, command: int, data: bytes, checksum: int) -> None:
        size, blocks, block_size, offset = struct.unpack_from("<IIII", data)
        self._storage.begin(offset, size, blocks * block_size, compressed=command == 0x10)
        self._reply(command)

    def _data(self, command: int, data: bytes, checksum: int) -> None:
        download = self._storage.download(compressed=command == 0x11)
        block = self._block(data, checksum)
        if self.mode == "stub":
            self._reply(command)
            self._after_reply = lambda: self._storage.store(download, block)
        else:
            self._storage.store(download, block)
            self._reply(command)

    def _block(self, data: bytes, checksum: int) -> bytes:
        block = data[16:]
        if len(block) != int.from_bytes(data[:4], "little"):
            raise Refused(TOO_MUCH)
        if xor_bytes(block) ^ 0xEF != checksum & 0xFF:
            raise Refused(BAD_CHECKSUM)
        return block

    def _end(self, command: int, data: bytes, checksum: int) -> None:
        stay = int.from_bytes(data[:4], "little")
        self._storage.finish()
        self._reply(command)
        if self.mode == "rom":
            self._leave()  # whether asked to reboot or to run user code: the ROM's loader is left
        elif not stay:
            self.reset()  # a software reset keeps the straps: back to the ROM's loader

    def _hash(self, command: int, data: bytes, checksum: int) -> None:
        digest = hashlib.md5(self._storage.read(*struct.unpack_from("<II", data)), usedforsecurity=False)
        self._reply(command, digest.digest() if self.mode == "stub" else digest.hexdigest().encode())

    def _read_slowly(self, command: int, data: bytes, checksum: int) -> None:
        offset, size = struct.unpack_from("<II", data)
        if size > _SLOW_READ:
            raise Refused(TOO_LONG)
        self._reply(command, self._storage.read(offset, size).ljust(_SLOW_READ, b"\0"))

    def _erase_all(self, command: int, data: bytes, checksum: int) -> None:
        self._storage.erase_all()
        self._reply(command)

    def _erase_region(self, command: int, data: bytes, checksum: int) -> None:
        self._storage.erase(*struct.unpack_from("<II", data))
        self._reply(command)

    def _read(self, command: int, data: bytes, checksum: int) -> None:
        offset, size, packet, _ = struct.unpack_from("<IIII", data)
        self._upload = self._storage.upload(offset, size, packet)
        self._reply(command)
        self._write(encode(self._upload.next_packet()))

    def _acknowledge(self, upload: Upload, frame: bytes) -> None:
        answer = upload.answer(frame)
        if upload.ended:
            self._upload = None
        if answer:
            self._write(encode(answer))
