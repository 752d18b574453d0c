# SPDX-License-Identifier: MIT
"""The machines are strict: what would be silent memory corruption on a chip is a fault here."""

from __future__ import annotations

import ast
from array import array
from pathlib import Path

import pytest
from native.compiler import code_of
from native.counts import MACHINES
from native.machine import NativeFault, viper_image

ROOT = Path(__file__).resolve().parents[2]
HEAD = "import micropython\n@micropython.viper\ndef kernel("


def machine(isa: str, rest: str):  # type: ignore[no-untyped-def]
    return MACHINES[isa](viper_image(code_of(HEAD + rest, isa)["kernel"]))


@pytest.mark.parametrize("isa", MACHINES)
def test_a_write_behind_a_buffer_is_a_fault(isa: str) -> None:
    body = machine(isa, "p: ptr32, n: int):\n    p[n] = 1\n")
    buffer = array("i", [0] * 4)
    body.call_viper([buffer, 3])
    assert buffer[3] == 1
    with pytest.raises(NativeFault, match="outside of every buffer"):
        body.call_viper([buffer, 4])


@pytest.mark.parametrize("isa", MACHINES)
def test_a_wild_read_is_a_fault(isa: str) -> None:
    body = machine(isa, "p: ptr32, n: int) -> int:\n    return p[n]\n")
    with pytest.raises(NativeFault):
        body.call_viper([array("i", [0]), 0x1000000])


@pytest.mark.parametrize("isa", MACHINES)
def test_a_call_into_the_runtime_is_a_fault(isa: str) -> None:
    body = machine(isa, "p: ptr32, n: int) -> int:\n    return n // 3\n")
    with pytest.raises(NativeFault):
        body.call_viper([array("i", [0]), 7])


def test_an_unaligned_access_is_a_fault_on_xtensa() -> None:
    body = machine("xtensawin", "p: ptr8, n: int) -> int:\n    q = ptr32(int(p) + n)\n    return q[0]\n")
    assert body.call_viper([bytearray(b"\1\0\0\0\0\0\0\0"), 0]).value == 1
    with pytest.raises(NativeFault, match="unaligned"):
        body.call_viper([bytearray(8), 2])


def test_an_instruction_that_the_simulator_does_not_know_is_a_fault() -> None:
    with pytest.raises(NativeFault, match="unknown instruction"):
        MACHINES["xtensawin"](viper_image(b"\x36\x41\x00" + b"\x00\x00\xff")).call_viper([])


@pytest.mark.parametrize("isa", MACHINES)
def test_arithmetic_wraps_and_shifts_as_on_the_chip(isa: str) -> None:
    body = machine(isa, "x: int, y: int) -> int:\n    return (x * y + 7) >> 3\n")
    for x, y in ((0x7FFFFFFF, 2), (-5, 3), (123456789, 987654321), (-(1 << 31), -(1 << 31))):
        wrapped = (x * y + 7 & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
        assert body.call_viper([x, y]).value == wrapped >> 3


def test_unicorn_stays_out_of_what_is_installed() -> None:
    """It is GPLv2: developers' tools and tests only."""
    for folder in ("host/communode", "firmware"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_bytes())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not {name.split(".")[0] for name in names} & {"unicorn", "native"}, path
