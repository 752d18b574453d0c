# SPDX-License-Identifier: MIT
"""What the two instruction-set machines share: memory layout, buffers with guard zones, a call's outcome.

A viper function is entered as f(fun_obj, n_args, n_kw, args*). fun_obj[1] is the context; context[3] is the
object table, whose entry 0 is MicroPython's function table. The entries that convert between objects and
native values are replaced by identities, so that native integers and addresses can be handed in as they are;
the check of the number of arguments returns at once; the remainder is a stub that divides. Any other entry is
a call that a kernel must not make.

Source: MicroPython v1.27.0, py/emitnative.c (entry of viper functions), py/nativeglue.c (order of the table).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

Buffer = bytearray | array  # type: ignore[type-arg]  # array is generic in stubs only
Argument = int | Buffer

MEMORY_SIZE = 1 << 20
STUBS = 0x1000  # one stub of 16 bytes per entry of the function table
FUNCTION_TABLE = 0x3000
CONTEXT = 0x3800
ARGUMENTS = 0x3900
CODE = 0x4000
DATA = 0x20000
STACK_TOP = MEMORY_SIZE - 0x100
RETURN = 0x800

TABLE_ENTRIES = 80
FROM_OBJECT, TO_OBJECT, ARG_CHECK, MODULO = 3, 4, 44, 47
ALLOWED = (FROM_OBJECT, TO_OBJECT, ARG_CHECK)
# The remainder is a C function of the firmware: division, and the sign made right, which gcc -O2 compiles to
# this many instructions for positive numbers (rv32imc: rem and three branches; Xtensa has entry before that).
MODULO_INSTRUCTIONS = {"rv32imc": 5, "xtensawin": 6}

_GUARD = b"\xa5" * 16


class NativeFault(Exception):
    """The code did what a kernel must not do: a wild access, a forbidden call, an unknown instruction."""


@dataclass(frozen=True)
class Image:
    """Machine code: where it starts, and what lies at which address."""

    entry: int
    segments: tuple[tuple[int, bytes], ...]


def viper_image(code: bytes) -> Image:
    """The image of one viper function's code, which runs at any address."""
    return Image(CODE, ((CODE, code),))


@dataclass(frozen=True)
class Outcome:
    """What a call returned (signed) and how many instructions it executed."""

    value: int
    instructions: int


def signed(value: int) -> int:
    """The low 32 bits as a signed number."""
    return (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000


def layout_tables(memory: bytearray, base: int = 0) -> None:
    """Write function object, context, object table and function table of a memory that lies at ``base``."""
    for index in range(TABLE_ENTRIES):
        struct.pack_into("<I", memory, FUNCTION_TABLE + 4 * index, base + STUBS + 16 * index)
    struct.pack_into("<I", memory, FUNCTION_TABLE, 0)  # entry 0 is None, which a kernel returns as 0
    struct.pack_into("<4I", memory, CONTEXT, 0, base + CONTEXT + 16, 0, 0)  # the function object
    struct.pack_into("<4I", memory, CONTEXT + 16, 0, 0, 0, base + CONTEXT + 32)  # the context
    struct.pack_into("<I", memory, CONTEXT + 32, base + FUNCTION_TABLE)  # the object table


class Buffers:
    """Places the buffers of one call in memory, each between guards, and fetches them back."""

    def __init__(self, arguments: Sequence[Argument], base: int = 0) -> None:
        self.values: list[int] = []
        self._buffers: list[tuple[int, Buffer]] = []
        self.image = bytearray(_GUARD)
        for argument in arguments:
            if isinstance(argument, int):
                self.values.append(argument & 0xFFFFFFFF)
                continue
            data = bytes(argument)
            self.values.append(base + DATA + len(self.image))
            self._buffers.append((len(self.image), argument))
            self.image += data + b"\xa5" * (-len(data) % 4) + _GUARD
        if len(self.image) > STACK_TOP - 0x2000 - DATA:
            raise NativeFault("the buffers do not fit")

    def fetch(self, image: bytes) -> None:
        """Copy back from memory; NativeFault if the code wrote between the buffers."""
        covered = bytearray(image)
        for at, buffer in self._buffers:
            length = len(bytes(buffer))
            piece = image[at : at + length]
            covered[at : at + length] = self.image[at : at + length]
            memoryview(buffer).cast("B")[:] = piece
        if covered != self.image:
            raise NativeFault("a write outside of every buffer")
