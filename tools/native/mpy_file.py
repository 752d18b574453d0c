# SPDX-License-Identifier: MIT
"""Reads .mpy files (format version 6, sub-version 3) far enough to take the viper functions out of them.

Not a loader: qualified strings and constants are skipped, relocations are refused (viper kernels have none).
Source: MicroPython v1.27.0, docs/reference/mpyfiles.rst, py/persistentcode.c and py/emitglue.h.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

ARCHES = {"x64": 2, "armv6m": 4, "xtensawin": 10, "rv32imc": 11}

_BYTECODE, _NATIVE, _VIPER, _ASM = 2, 3, 4, 5
_RELOC, _RODATA, _BSS = 0x10, 0x20, 0x40
_OBJ_FIXED = range(5)  # function table, None, False, True, Ellipsis: no bytes follow
_OBJ_ZERO_ENDED = (5, 6)  # str, bytes
_OBJ_TUPLE = 10


class MpyError(ValueError):
    """The file is not what this reader takes."""


@dataclass
class RawCode:
    """One function of the file: its kind, its machine code or bytecode, and the functions inside it."""

    kind: int
    code: bytes
    children: list[RawCode] = field(default_factory=list)


@dataclass(frozen=True)
class MpyFile:
    """A .mpy file: the number of its architecture, and its outermost function (the module)."""

    arch: int
    module: RawCode


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        if len(piece) != count:
            raise MpyError("the file is cut off")
        self._at += count
        return piece

    def byte(self) -> int:
        return self.take(1)[0]

    def uint(self) -> int:
        """A number of 7-bit groups, the highest first; bit 7 says that more follow."""
        value = 0
        while True:
            byte = self.byte()
            value = value << 7 | byte & 0x7F
            if not byte & 0x80:
                return value

    def skip_string_names(self, count: int) -> None:
        for _ in range(count):
            length = self.uint()
            if not length & 1:
                self.take((length >> 1) + 1)

    def skip_object(self) -> None:
        kind = self.byte()
        if kind in _OBJ_FIXED:
            return
        length = self.uint()
        if kind == _OBJ_TUPLE:
            for _ in range(length):
                self.skip_object()
        else:
            self.take(length + (kind in _OBJ_ZERO_ENDED))

    def raw_code(self) -> RawCode:
        header = self.uint()
        kind, length = (header & 3) + _BYTECODE, header >> 3
        found = RawCode(kind, self.take(length))
        if kind == _NATIVE:
            self.uint()  # where its prelude lies
        elif kind in (_VIPER, _ASM):
            flags = self.uint()
            if kind == _ASM:
                self.uint()
                self.uint()
            elif flags & (_RELOC | _RODATA | _BSS):
                raise MpyError("native code with data or relocations of its own")
        if header & 4:
            found.children = [self.raw_code() for _ in range(self.uint())]
        return found


def parse(data: bytes) -> MpyFile:
    """Parse a .mpy file; MpyError if it is not one of version 6.3."""
    reader = _Reader(data)
    magic, version, flags, _ = reader.take(4)
    if (magic, version) != (ord("M"), 6):
        raise MpyError("not a .mpy file of version 6")
    if flags & 0x40:
        reader.uint()  # flags of the architecture
    n_names, n_objects = reader.uint(), reader.uint()
    reader.skip_string_names(n_names)
    for _ in range(n_objects):
        reader.skip_object()
    return MpyFile((flags & 0x3F) >> 2, reader.raw_code())


def viper_names(source: str) -> Iterator[str]:
    """The names of the module's functions in the order in which their code lies in the file."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name


def viper_functions(source: str, data: bytes) -> dict[str, bytes]:
    """Machine code of every viper function at the top of a module, by name."""
    children = parse(data).module.children
    names = list(viper_names(source))
    if len(names) != len(children):
        raise MpyError(f"{len(names)} functions in the source, {len(children)} in the file")
    return {name: child.code for name, child in zip(names, children, strict=True) if child.kind == _VIPER}
