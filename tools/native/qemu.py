# SPDX-License-Identifier: MIT
"""Runs a call on qemu-xtensa, to judge the simulator: result, buffers and count of instructions.

The call is put into a small ELF: the same memory image as the simulator's, and a start that calls, writes
result and buffers to standard output and exits. Instructions are counted in the log of a qemu that executes
one at a time; those of the start do not count, those of MicroPython's stubs do.
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import machine
from .machine import Argument, Buffers, Image, NativeFault, Outcome, signed

QEMU = "qemu-xtensa"
_BASE = 0x400000  # user programs do not begin at 0: every address moves up by this
_START = 0x100
_TRACE = re.compile(r"^Trace \d+: \S+ \[[0-9a-f]+/([0-9a-f]+)/", re.MULTILINE)
_EM_XTENSA = 94
_EXIT, _WRITE = 118, 13  # Linux system calls of Xtensa
_RESULT = 0xF00
_STUB = bytes((0x36, 0x21, 0x00)) + b"\x1d\xf0"  # entry a1, 16; retw.n
_MODULO = bytes((0x36, 0x21, 0x00)) + bytes((0x30, 0x22, 0xF2)) + b"\x3d\xf0" * 3 + b"\x1d\xf0"  # rems, nops


def _l32r(register: int, at: int, literal: int) -> bytes:
    offset = (literal - (at + 3 & ~3)) >> 2 & 0xFFFF
    return (1 | register << 4 | offset << 8).to_bytes(3, "little")


class _Start:
    """Assembles the start: literals lie before the code, so that l32r reaches them."""

    def __init__(self, at: int) -> None:
        self.literals, self.code = bytearray(), bytearray()
        self._literals_at, self._at = at, at + 0x80

    def load(self, register: int, value: int) -> None:
        where = self._literals_at + len(self.literals)
        self.literals += struct.pack("<I", value & 0xFFFFFFFF)
        self.code += _l32r(register, self._at + len(self.code), where)

    def raw(self, *code: int) -> None:
        self.code += bytes(code)

    def system_call(self, number: int, *arguments: int) -> None:
        self.load(2, number)
        for register, value in zip((6, 3, 4), arguments, strict=False):
            self.load(register, value)
        self.raw(0x00, 0x50, 0x00)

    def image(self) -> bytes:
        return bytes(self.literals.ljust(0x80, b"\0") + self.code)


class QemuXtensa:
    """One image of machine code; every call is a process of its own."""

    name = "xtensawin"

    def __init__(self, image: Image, qemu: str) -> None:
        self._image, self._qemu = image, qemu

    def call_viper(self, arguments: Sequence[Argument]) -> Outcome:
        """Call the code as MicroPython calls a viper function."""
        buffers = Buffers(arguments, _BASE)
        values = buffers.values
        table = struct.pack(f"<{len(values)}I", *values)
        entered = [_BASE + machine.CONTEXT, len(values), 0, _BASE + machine.ARGUMENTS]
        return self._run(buffers, entered, table)

    def call_c(self, arguments: Sequence[Argument]) -> Outcome:
        """Call the code as a C function of at most six arguments, which must run at any address."""
        buffers = Buffers(arguments, _BASE)
        return self._run(buffers, buffers.values, b"")

    def _memory(self, buffers: Buffers, values: Sequence[int], table: bytes) -> bytes:
        memory = bytearray(machine.DATA + len(buffers.image) + 0x1000)
        machine.layout_tables(memory, _BASE)
        for index in range(machine.TABLE_ENTRIES):
            code = _MODULO if index == machine.MODULO else _STUB if index in machine.ALLOWED else b"\0\0\0"
            memory[machine.STUBS + 16 * index : machine.STUBS + 16 * index + len(code)] = code
        memory[machine.ARGUMENTS : machine.ARGUMENTS + len(table)] = table
        for address, data in self._image.segments:
            memory[address : address + len(data)] = data
        memory[machine.DATA : machine.DATA + len(buffers.image)] = buffers.image
        start = _Start(_BASE + _START)
        for number, value in enumerate(values):
            start.load(10 + number, value)
        start.load(8, _BASE + self._image.entry)
        start.raw(0xE0, 0x08, 0x00)  # callx8 a8
        start.load(3, _BASE + _RESULT)
        start.raw(0xA2, 0x63, 0x00)  # s32i a10, a3, 0
        start.system_call(_WRITE, 1, _BASE + _RESULT, 4)
        start.system_call(_WRITE, 1, _BASE + machine.DATA, len(buffers.image))
        start.system_call(_EXIT, 0)
        image = start.image()
        memory[_START : _START + len(image)] = image
        return bytes(memory)

    def _run(self, buffers: Buffers, values: Sequence[int], table: bytes) -> Outcome:
        memory = self._memory(buffers, values, table)
        with tempfile.TemporaryDirectory() as folder:
            program, log = Path(folder, "call.elf"), Path(folder, "log")
            program.write_bytes(_elf(memory, _BASE + _START + 0x80))
            program.chmod(0o755)
            command = [self._qemu, "-singlestep", "-d", "exec,nochain", "-D", str(log), str(program)]
            done = subprocess.run(command, capture_output=True, timeout=60)
            if done.returncode or len(done.stdout) != 4 + len(buffers.image):
                raise NativeFault(f"qemu: {done.returncode} {done.stderr.decode(errors='replace')}")
            places = [int(place, 16) - _BASE for place in _TRACE.findall(log.read_text())]
        buffers.fetch(done.stdout[4:])
        counted = sum(1 for place in places if place >= machine.STUBS)
        return Outcome(signed(int.from_bytes(done.stdout[:4], "little")), counted)


def _elf(memory: bytes, entry: int) -> bytes:
    """A static little-endian Xtensa program of one segment."""
    offset = 0x1000
    header = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    header += struct.pack("<HHIIIIIHHHHHH", 2, _EM_XTENSA, 1, entry, 52, 0, 0x300, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<8I", 1, offset, _BASE, _BASE, len(memory), len(memory), 7, 0x1000)
    return (header + segment).ljust(offset, b"\0") + memory
