# SPDX-License-Identifier: MIT
"""The x64 variant of viper code: what is wrapped, and what is left alone."""

from __future__ import annotations

import pytest
from communode.viper_x64 import widen

HEAD = "import micropython\n\n@micropython.viper\n"


def body(parameters: str, statement: str) -> str:
    """The last statement of a widened function."""
    return widen(f"{HEAD}def f({parameters}):\n    {statement}\n").splitlines()[-1].strip()


@pytest.mark.parametrize(
    ("parameters", "statement", "wanted"),
    [
        ("x: int, y: int", "x = x + y", "x = x + y << 32 >> 32"),
        ("x: uint, y: uint", "x = x + y", "x = x + y << uint(32) >> uint(32)"),
        ("x: int, y: int", "x = x & y", "x = x & y"),
        ("x: int, p: ptr32", "x = p[3]", "x = p[3] << 32 >> 32"),
        ("x: int, p: ptr16", "x = p[3]", "x = p[3]"),
        ("x: int, p: ptr32", "p[0] = x", "p[0] = x"),
        ("x: int, p: ptr32", "p = ptr32(8 + int(p))", "p = ptr32(8 + int(p))"),
        ("x: int", "x -= 1", "x = x - 1 << 32 >> 32"),
        ("x: int", "x = -x", "x = -x << 32 >> 32"),
        ("x: int", "x = -5", "x = -5"),
        ("x: uint, p: ptr32", "x = uint(1) & x", "x = uint(1) & x"),
    ],
)
def test_only_what_could_differ_is_wrapped(parameters: str, statement: str, wanted: str) -> None:
    assert body(parameters, statement) == wanted


def test_numbers_handed_in_are_wrapped_on_entry() -> None:
    text = widen(f"{HEAD}def f(x: int, p: ptr8, y: uint):\n    x = 1\n")
    assert "    x = x << 32 >> 32\n    y = y << uint(32) >> uint(32)\n    x = 1\n" in text
    assert "p = p" not in text


def test_a_source_without_viper_comes_back_byte_for_byte() -> None:
    source = "def f(x):\n    return   x + 1  # comment\n"
    assert widen(source) == source
