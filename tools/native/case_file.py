# SPDX-License-Identifier: MIT
"""Writes calls of kernels, with the CRC of what must come out, for tests/native/cases_on_micropython.py."""

from __future__ import annotations

import binascii
import struct
from collections.abc import Sequence

from .cases import CASES, Case
from .counts import expect
from .machine import Argument, signed


def _argument(argument: Argument) -> bytes:
    if isinstance(argument, int):
        return struct.pack("<Bi", ord("n"), signed(argument))
    data = bytes(argument)
    kind = "B" if isinstance(argument, bytearray) else argument.typecode
    return struct.pack("<Bi", ord(kind), len(data)) + data


def _call(case: Case, arguments: list[Argument]) -> bytes:
    value, buffers = expect(case, arguments)
    crc = binascii.crc32(struct.pack("<I", value & 0xFFFFFFFF))
    for buffer in buffers:
        crc = binascii.crc32(buffer, crc)
    given = b"".join(_argument(argument) for argument in arguments)
    return struct.pack("<B", len(arguments)) + given + struct.pack("<I", crc)


def case_file(seed: int, calls: int, size: int, cases: Sequence[Case] = CASES) -> bytes:
    """The file: ``calls`` calls of every kernel, of about ``size`` elements each."""
    parts = [struct.pack("<H", len(cases))]
    for case in cases:
        names = [name.encode() for name in (case.name, case.module, case.viper_name)]
        given = [case.data(seed, index, size) for index in range(calls)]
        elements = sum(case.elements(arguments) for arguments in given)
        parts.append(struct.pack("<BBB", *map(len, names)) + b"".join(names))
        parts.append(struct.pack("<HI", calls, elements))
        parts += [_call(case, arguments) for arguments in given]
    return b"".join(parts)
