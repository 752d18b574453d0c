# SPDX-License-Identifier: MIT
"""A simulator of the part of the Xtensa instruction set that mpy-cross and gcc -O2 emit for kernels.

Windowed calls go one level deep: from a kernel into the stubs of MicroPython's function table. Basic blocks
are translated to Python functions once. Unaligned loads and stores fault, as they do on the ESP32; whatever
is not known here faults too. It is not its own judge: tests run the same bytes on qemu-xtensa and compare
result and count of instructions.

Source: Cadence, Xtensa Instruction Set Architecture (ISA) Reference Manual, chapters 6 to 8.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from . import machine
from .machine import Argument, Buffers, Image, NativeFault, Outcome, signed

_BLOCK_LIMIT = 200
_LIMIT = 50_000_000
_M = "0xFFFFFFFF"
_S = "0x80000000"
_SAR, _COUNT = 16, 17
_B4 = (-1, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32, 64, 128, 256)
_B4U = (32768, 65536, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32, 64, 128, 256)
_STUB_INSTRUCTIONS = 2  # entry, retw.n

_ARITHMETIC = {
    1: "r{s} & r{t}",
    2: "r{s} | r{t}",
    3: "r{s} ^ r{t}",
    8: "r{s} + r{t}",
    9: "(r{s} << 1) + r{t}",
    10: "(r{s} << 2) + r{t}",
    11: "(r{s} << 3) + r{t}",
    12: "r{s} - r{t}",
    13: "(r{s} << 1) - r{t}",
    14: "(r{s} << 2) - r{t}",
    15: "(r{s} << 3) - r{t}",
}
_CONDITIONS = {
    0: "r{s} & r{t} == 0",
    1: "r{s} == r{t}",
    2: "r{s} ^ {S} < r{t} ^ {S}",
    3: "r{s} < r{t}",
    4: "~r{s} & r{t} == 0",
    5: "r{s} >> (r{t} & 31) & 1 == 0",
    8: "r{s} & r{t} != 0",
    9: "r{s} != r{t}",
    10: "r{s} ^ {S} >= r{t} ^ {S}",
    11: "r{s} >= r{t}",
    12: "~r{s} & r{t} != 0",
    13: "r{s} >> (r{t} & 31) & 1 != 0",
}
_ZERO_CONDITIONS = ("r{s} == 0", "r{s} != 0", "r{s} >= {S}", "r{s} < {S}")

Block = Callable[[list[int], memoryview, memoryview, memoryview], int]


def _sign_extend(value: int, bits: int) -> int:
    return (value ^ 1 << bits - 1) - (1 << bits - 1)


class _Translator:
    """Turns the basic block at one address into the source of a Python function."""

    def __init__(self, memory: bytearray, start: int) -> None:
        self._memory, self._start, self._at = memory, start, start
        self._lines: list[str] = []
        self._count = 0
        self._loops = False
        self._done = False

    def source(self) -> str:
        while not self._done:
            word = int.from_bytes(self._memory[self._at : self._at + 3], "little")
            self._count += 1
            if 8 <= word & 15 <= 13:
                self._narrow(word & 0xFFFF)
                self._at += 2
            else:
                self._wide(word)
                self._at += 3
            if self._count >= _BLOCK_LIMIT and not self._done:
                self._goto(self._at)
        body = "\n".join(" " + line for line in self._lines)
        load = ", ".join(f"r{i}" for i in range(16))
        save = "a[:16] = " + load
        return (
            f"def block(a, m8, m16, m32):\n {load} = a[:16]\n sar = a[{_SAR}]\n n = 0\n while True:\n{body}\n"
            f"  break\n {save}\n a[{_SAR}] = sar\n a[{_COUNT}] += n\n return pc\n"
        )

    def _emit(self, line: str) -> None:
        self._lines.append(" " + line)

    def _set(self, register: int, expression: str, mask: bool = True) -> None:
        self._emit(f"r{register} = ({expression}) & {_M}" if mask else f"r{register} = {expression}")

    def _goto(self, target: int | str) -> None:
        self._emit(f"n += {self._count}; pc = {target}")
        if target == self._start:
            self._emit(f"if n < {_LIMIT}: continue")
        self._done = True

    def _branch(self, condition: str, target: int, length: int) -> None:
        self._emit(f"n += {self._count}")
        self._emit(f"if {condition}:")
        self._emit(f" pc = {target}")
        if target == self._start:
            self._emit(f" if n < {_LIMIT}: continue")
        self._emit(f"else: pc = {self._at + length}")
        self._done = True

    def _refuse(self, word: int) -> None:
        self._emit(f"raise Fault('unknown instruction {word:06x} at {self._at:#x}')")
        self._emit("pc = 0")
        self._done = True

    def _memory_access(self, kind: int, t: int, s: int, offset: int) -> None:
        at = f"r{s} + {offset}" if offset else f"r{s}"
        size = (1, 2, 4)[kind & 3] if kind != 9 else 2
        view, shift = {1: ("m8", ""), 2: ("m16", " >> 1"), 4: ("m32", " >> 2")}[size]
        if size > 1:
            self._emit(f"if ({at}) & {size - 1}: raise Fault('unaligned access at {self._at:#x}')")
        cell = f"{view}[({at}){shift}]"
        if kind == 9:
            self._set(t, f"({cell} ^ 0x8000) - 0x8000")
        elif kind & 4:
            mask = {1: "0xFF", 2: "0xFFFF", 4: _M}[size]
            self._emit(f"{cell} = r{t} & {mask}")
        else:
            self._set(t, cell, mask=False)

    def _narrow(self, word: int) -> None:
        op0, t, s, r = word & 15, word >> 4 & 15, word >> 8 & 15, word >> 12
        if op0 == 8:
            self._memory_access(2, t, s, 4 * r)
        elif op0 == 9:
            self._memory_access(6, t, s, 4 * r)
        elif op0 == 10:
            self._set(r, f"r{s} + r{t}")
        elif op0 == 11:
            self._set(r, f"r{s} + {t or -1}")
        elif op0 == 12 and t & 8:
            self._branch(f"r{s} {'!=' if t & 4 else '=='} 0", self._at + 4 + ((t & 3) << 4 | r), 2)
        elif op0 == 12:
            value = (t & 7) << 4 | r
            self._set(s, str((value if value < 96 else value - 128) & 0xFFFFFFFF), mask=False)
        elif r == 0:
            self._set(t, f"r{s}", mask=False)
        elif (r, t) in ((15, 0), (15, 1)):
            self._goto("r0 & 0x3FFFFFFF")
        elif (r, t) != (15, 3):
            self._refuse(word)

    def _wide(self, word: int) -> None:
        op0, t, s, r = word & 15, word >> 4 & 15, word >> 8 & 15, word >> 12 & 15
        if op0 == 0:
            self._registers(word, t, s, r)
        elif op0 == 1:
            at = (self._at + 3 & ~3) + _sign_extend(word >> 8 | 1 << 16, 17) * 4
            self._emit(f"r{t} = m32[{at >> 2}]")
        elif op0 == 2:
            self._immediate(word, t, s, r)
        elif op0 == 6:
            self._jump(word, s)
        elif op0 == 7:
            target = self._at + 4 + _sign_extend(word >> 16, 8)
            if r in (6, 7, 14, 15):
                bit = (r & 1) << 4 | t
                self._branch(f"r{s} >> {bit} & 1 {'!=' if r & 8 else '=='} 0", target, 3)
            else:
                self._branch(_CONDITIONS[r].format(s=s, t=t, S=_S), target, 3)
        else:
            self._refuse(word)

    def _immediate(self, word: int, t: int, s: int, r: int) -> None:
        value = word >> 16
        if r in (0, 4):
            self._memory_access(r, t, s, value)
        elif r in (1, 5, 9):
            self._memory_access(r, t, s, value * 2)
        elif r in (2, 6):
            self._memory_access(r, t, s, value * 4)
        elif r == 10:
            self._set(t, str(_sign_extend(s << 8 | value, 12) & 0xFFFFFFFF), mask=False)
        elif r == 12:
            self._set(t, f"r{s} + {_sign_extend(value, 8)}")
        elif r == 13:
            self._set(t, f"r{s} + {_sign_extend(value, 8) * 256}")
        else:
            self._refuse(word)

    def _jump(self, word: int, s: int) -> None:
        n, m, r = word >> 4 & 3, word >> 6 & 3, word >> 12 & 15
        near = self._at + 4 + _sign_extend(word >> 16, 8)
        if n == 0:
            self._goto(self._at + 4 + _sign_extend(word >> 6, 18))
        elif n == 1:
            target = self._at + 4 + _sign_extend(word >> 12, 12)
            self._branch(_ZERO_CONDITIONS[m].format(s=s, S=_S), target, 3)
        elif n == 2:
            value = _B4[r] & 0xFFFFFFFF
            if m < 2:
                self._branch(f"r{s} {'!=' if m else '=='} {value}", near, 3)
            else:
                sign = "<" if m == 2 else ">="
                self._branch(f"r{s} ^ {_S} {sign} {value ^ 0x80000000}", near, 3)
        elif m == 0:
            self._set(s, f"r{s} - {(word >> 12) * 8}")
        elif m >= 2:
            self._branch(f"r{s} {'<' if m == 2 else '>='} {_B4U[r]}", near, 3)
        else:
            self._refuse(word)

    def _registers(self, word: int, t: int, s: int, r: int) -> None:
        op1, op2 = word >> 16 & 15, word >> 20
        sa = (op2 & 1) << 4
        if op1 == 0:
            self._no_shift(word, t, s, r, op2)
        elif op1 == 1 and op2 < 2:
            self._set(r, f"r{s} << {32 - (sa | t)}")
        elif op1 == 1 and op2 < 4:
            self._set(r, f"((r{t} ^ {_S}) - {_S}) >> {sa | s}")
        elif op1 == 1 and op2 == 4:
            self._set(r, f"r{t} >> {s}", mask=False)
        elif op1 == 1 and op2 == 8:
            self._set(r, f"(r{s} << 32 | r{t}) >> sar")
        elif op1 == 1 and op2 == 9:
            self._set(r, f"r{t} >> sar", mask=False)
        elif op1 == 1 and op2 == 10:
            self._set(r, f"r{s} << (32 - sar)")
        elif op1 == 1 and op2 == 11:
            self._set(r, f"((r{t} ^ {_S}) - {_S}) >> sar")
        elif op1 == 1 and op2 in (12, 13):
            factors = [f"(r{x} & 0xFFFF)" for x in (s, t)]
            if op2 == 13:
                factors = [f"(({x} ^ 0x8000) - 0x8000)" for x in factors]
            self._set(r, " * ".join(factors))
        elif op1 == 2 and op2 == 8:
            self._set(r, f"r{s} * r{t}")
        elif op1 == 2 and op2 == 14:
            self._set(r, f"r{s} % r{t}", mask=False)
        elif op1 == 3 and 8 <= op2 <= 11:
            condition = _ZERO_CONDITIONS[(0, 1, 2, 3)[op2 - 8]].format(s=t, S=_S)
            self._emit(f"if {condition}: r{r} = r{s}")
        elif op1 in (4, 5):
            shift = (op1 & 1) << 4 | s
            self._set(r, f"r{t} >> {shift} & {(1 << op2 + 1) - 1}", mask=False)
        else:
            self._refuse(word)

    def _no_shift(self, word: int, t: int, s: int, r: int, op2: int) -> None:
        if op2 in _ARITHMETIC:
            self._set(r, _ARITHMETIC[op2].format(s=s, t=t), mask=op2 > 3)
        elif op2 == 0 and r == 0 and t in (8, 9):
            self._goto("r0 & 0x3FFFFFFF")
        elif op2 == 0 and r == 0 and t == 10:
            self._goto(f"r{s}")
        elif op2 == 0 and r == 0 and t == 14:
            self._emit(f"pc = r{s}; r8 = {self._at + 3}")
            self._goto("pc")
        elif op2 == 0 and r == 2:
            pass  # nop and the barriers
        elif op2 == 4 and r in (0, 1, 2, 4):
            amounts = (f"r{s} & 31", f"32 - (r{s} & 31)", f"(r{s} & 3) << 3", "", str((t & 1) << 4 | s))
            self._emit(f"sar = {amounts[r]}")
        elif op2 == 6 and s == 0:
            self._set(r, f"-r{t}")
        elif op2 == 6 and s == 1:
            self._set(r, f"abs((r{t} ^ {_S}) - {_S})")
        else:
            self._refuse(word)


class Xtensa:
    """One image of machine code in a machine of its own."""

    name = "xtensawin"

    def __init__(self, image: Image) -> None:
        self._image = image
        self._memory = bytearray(machine.MEMORY_SIZE)
        machine.layout_tables(self._memory)
        for address, data in image.segments:
            self._memory[address : address + len(data)] = data
        view = memoryview(self._memory)
        self._views = (view, view.cast("H"), view.cast("I"))
        self._blocks: dict[int, Block] = {}

    def call_viper(self, arguments: Sequence[Argument]) -> Outcome:
        """Call the code as MicroPython calls a viper function."""
        buffers = Buffers(arguments)
        values = buffers.values
        struct.pack_into(f"<{len(values)}I", self._memory, machine.ARGUMENTS, *values)
        return self._run(buffers, [machine.CONTEXT, len(values), 0, machine.ARGUMENTS])

    def call_c(self, arguments: Sequence[Argument]) -> Outcome:
        """Call the code as a C function of at most six arguments."""
        buffers = Buffers(arguments)
        if len(buffers.values) > 6:
            raise NativeFault("more than six arguments go on the stack")
        return self._run(buffers, buffers.values)

    def _block(self, address: int) -> Block:
        if not machine.CODE <= address < machine.DATA:
            raise NativeFault(f"a jump to {address:#x}")
        scope: dict[str, Block] = {}
        exec(_Translator(self._memory, address).source(), {"Fault": NativeFault}, scope)
        self._blocks[address] = scope["block"]
        return scope["block"]

    def _run(self, buffers: Buffers, values: Sequence[int]) -> Outcome:
        end = machine.DATA + len(buffers.image)
        self._memory[machine.DATA : end] = buffers.image
        registers = [0] * 18
        registers[0], registers[1] = machine.RETURN, machine.STACK_TOP
        registers[2 : 2 + len(values)] = values
        blocks, views, at = self._blocks, self._views, self._image.entry
        try:
            while at != machine.RETURN:
                if machine.STUBS <= at < machine.FUNCTION_TABLE:
                    at = self._stub(at, registers)
                    continue
                at = (blocks.get(at) or self._block(at))(registers, *views)
                if registers[_COUNT] > _LIMIT:
                    raise NativeFault("the code does not end")
        except IndexError:
            raise NativeFault(f"an access outside of the memory, in the block at {at:#x}") from None
        buffers.fetch(bytes(self._memory[machine.DATA : end]))
        return Outcome(signed(registers[2]), registers[_COUNT])

    def _stub(self, at: int, registers: list[int]) -> int:
        index = (at - machine.STUBS) // 16
        if index not in machine.ALLOWED and index != machine.MODULO:
            raise NativeFault(f"a call of function {index} of MicroPython's table")
        back = registers[8]
        if index == machine.MODULO:
            if signed(registers[10]) < 0 or signed(registers[11]) <= 0:
                raise NativeFault("a remainder of negative numbers")
            registers[10] %= registers[11]
        # The callee's window is a8 to a15: its argument and result, a2, is our a10; the rest is lost.
        for number in (8, 9, 11, 12, 13, 14, 15):
            registers[number] = 0xDEADBEE0 | number
        modulo = machine.MODULO_INSTRUCTIONS[self.name]
        registers[_COUNT] += modulo if index == machine.MODULO else _STUB_INSTRUCTIONS
        return back
