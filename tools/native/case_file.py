# SPDX-License-Identifier: MIT
"""Writes calls of kernels, with the CRC of what must come out, for tests/native/cases_on_micropython.py.

An emulated board reads this, at some thousand instructions a microsecond of ours: calls of one shape stand
together, so that their buffers are made once and a call is one read. A buffer that has few values in all calls
(a CRC table, say) is given once to each such block of calls.

File: u16 kernels, each: three u8 and the names they measure (kernel, module, function), u32 calls, u32 elements,
u16 blocks. Block: u16 calls, u8 arguments, each a type and the buffer's bytes (0: a number); then the bytes of
the buffers that are the same in every call, and for each call: its numbers (i32), the CRC-32 of all buffers
afterwards (padded to words, the changing ones first) xor the value that was returned, and its changing buffers.
"""

from __future__ import annotations

import binascii
import struct
from collections import Counter
from collections.abc import Sequence

from .cases import CASES, Case
from .counts import expect
from .machine import Argument, signed

SAME = ord("=")  # in place of a type: a buffer that is the same in every call of its block
CHANGING = ord("~")
NUMBER = ord("n")
FEW = 3  # values of a buffer in all calls, to be worth a block of their own


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _buffers(arguments: list[Argument]) -> dict[int, bytes]:
    return {at: bytes(item) for at, item in enumerate(arguments) if not isinstance(item, int)}


def _shared(given: list[list[Argument]]) -> set[int]:
    """Places of the buffers that have so few values that they are worth sharing."""
    values: dict[int, Counter[bytes]] = {}
    for arguments in given:
        for at, data in _buffers(arguments).items():
            values.setdefault(at, Counter())[data] += 1
    return {at for at, found in values.items() if len(found) <= FEW}


def _call(case: Case, arguments: list[Argument], shared: set[int]) -> bytes:
    value, after = expect(case, arguments)
    buffers = _buffers(arguments)
    results = dict(zip(buffers, after, strict=True))
    order = [at for at in buffers if at not in shared] + [at for at in buffers if at in shared]
    crc = binascii.crc32(b"".join(_padded(results[at]) for at in order))
    numbers = [signed(item) for item in arguments if isinstance(item, int)]
    head = struct.pack(f"<{len(numbers)}iI", *numbers, crc ^ (value & 0xFFFFFFFF))
    return head + b"".join(_padded(buffers[at]) for at in buffers if at not in shared)


def _block(case: Case, given: list[list[Argument]], shared: set[int]) -> bytes:
    parts = [struct.pack("<HB", len(given), len(given[0]))]
    for at, item in enumerate(given[0]):
        if isinstance(item, int):
            parts.append(struct.pack("<BH", NUMBER, 0))
        else:
            parts.append(struct.pack("<BH", SAME if at in shared else CHANGING, len(bytes(item))))
    parts += [_padded(data) for at, data in _buffers(given[0]).items() if at in shared]
    return b"".join(parts + [_call(case, arguments, shared) for arguments in given])


def _kernel(case: Case, given: list[list[Argument]]) -> bytes:
    shared = _shared(given)
    blocks: dict[tuple[object, ...], list[list[Argument]]] = {}
    for arguments in given:
        found = _buffers(arguments)
        shape = tuple((at, data if at in shared else len(data)) for at, data in found.items())
        blocks.setdefault(shape, []).append(arguments)
    names = [name.encode() for name in (case.name, case.module, case.viper_name)]
    elements = sum(case.elements(arguments) for arguments in given)
    head = struct.pack("<BBB", *map(len, names)) + b"".join(names)
    head += struct.pack("<IIH", len(given), elements, len(blocks))
    return head + b"".join(_block(case, block, shared) for block in blocks.values())


def case_file(seed: int, calls: int, size: int, cases: Sequence[Case] = CASES) -> bytes:
    """The file: ``calls`` calls of every kernel, of about ``size`` elements each."""
    parts = [_kernel(case, [case.data(seed, index, size) for index in range(calls)]) for case in cases]
    return struct.pack("<H", len(parts)) + b"".join(parts)
