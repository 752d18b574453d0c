# SPDX-License-Identifier: MIT
# mypy: allow-untyped-calls
"""RV32IMC machine on Unicorn: calls viper functions and C functions, and counts executed instructions."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from unicorn import UC_ARCH_RISCV, UC_HOOK_BLOCK, UC_MODE_RISCV32, Uc, UcError  # type: ignore[attr-defined]
from unicorn import riscv_const as reg

from . import machine
from .machine import Argument, Buffers, Image, NativeFault, Outcome, signed

_RET = b"\x82\x80"  # c.jr ra
_EBREAK = b"\x02\x90"
_MODULO = b"\x33\x65\xb5\x02" + b"\x01\x00" * 3 + _RET  # rem a0, a0, a1; three nops for the branches
_ARGUMENT_REGISTERS = (
    reg.UC_RISCV_REG_A0,
    reg.UC_RISCV_REG_A1,
    reg.UC_RISCV_REG_A2,
    reg.UC_RISCV_REG_A3,
    reg.UC_RISCV_REG_A4,
    reg.UC_RISCV_REG_A5,
    reg.UC_RISCV_REG_A6,
    reg.UC_RISCV_REG_A7,
)
_TIMEOUT_US = 20_000_000


class Rv32:
    """One image of machine code in a machine of its own."""

    name = "rv32imc"

    def __init__(self, image: Image) -> None:
        self._entry = image.entry
        self._uc = Uc(UC_ARCH_RISCV, UC_MODE_RISCV32)
        self._uc.mem_map(0, machine.MEMORY_SIZE)
        memory = bytearray(machine.CODE)
        machine.layout_tables(memory)
        for index in range(machine.TABLE_ENTRIES):
            stub = _RET if index in machine.ALLOWED else _MODULO if index == machine.MODULO else _EBREAK
            memory[machine.STUBS + 16 * index : machine.STUBS + 16 * index + len(stub)] = stub
        self._uc.mem_write(0, bytes(memory))
        for address, data in image.segments:
            self._uc.mem_write(address, data)
        self._lengths: dict[tuple[int, int], int] = {}
        self._count = 0
        self._uc.hook_add(UC_HOOK_BLOCK, self._block)

    def _block(self, _uc: Uc, address: int, size: int, _data: object) -> None:
        key = (address, size)
        found = self._lengths.get(key)
        if found is None:
            found, at, code = 0, 0, bytes(self._uc.mem_read(address, size))
            while at < size:
                at += 4 if code[at] & 3 == 3 else 2
                found += 1
            self._lengths[key] = found
        self._count += found

    def call_viper(self, arguments: Sequence[Argument]) -> Outcome:
        """Call the code as MicroPython calls a viper function."""
        buffers = Buffers(arguments)
        values = buffers.values
        self._uc.mem_write(machine.ARGUMENTS, struct.pack(f"<{len(values)}I", *values))
        return self._run(buffers, [machine.CONTEXT, len(values), 0, machine.ARGUMENTS])

    def call_c(self, arguments: Sequence[Argument]) -> Outcome:
        """Call the code as a C function of at most eight arguments."""
        buffers = Buffers(arguments)
        return self._run(buffers, buffers.values)

    def _run(self, buffers: Buffers, values: Sequence[int]) -> Outcome:
        uc = self._uc
        uc.mem_write(machine.DATA, bytes(buffers.image))
        for number, value in zip(_ARGUMENT_REGISTERS, values, strict=False):
            uc.reg_write(number, value)
        uc.reg_write(reg.UC_RISCV_REG_SP, machine.STACK_TOP)
        uc.reg_write(reg.UC_RISCV_REG_RA, machine.RETURN)
        self._count = 0
        try:
            uc.emu_start(self._entry, machine.RETURN, timeout=_TIMEOUT_US)
        except UcError as error:
            place = uc.reg_read(reg.UC_RISCV_REG_PC)
            raise NativeFault(f"{error} at {place:#x}") from None
        if uc.reg_read(reg.UC_RISCV_REG_PC) != machine.RETURN:
            raise NativeFault("the code does not end")
        buffers.fetch(bytes(uc.mem_read(machine.DATA, len(buffers.image))))
        return Outcome(signed(uc.reg_read(reg.UC_RISCV_REG_A0)), self._count)
