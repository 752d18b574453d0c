# SPDX-License-Identifier: MIT
"""The .mpy reader takes out every viper function, and refuses what it does not understand."""

from __future__ import annotations

import pytest
from communode.node_files import compile_module
from native.mpy_file import ARCHES, MpyError, parse, viper_functions

SOURCE = """import micropython
TEXT = "a constant"
PAIR = (1, (b"x", 2.5), None)

def plain(x):
    return [lambda: x, "text"]

@micropython.native
def native(x):
    return x

@micropython.viper
def first(x: int) -> int:
    return x + 1

@micropython.viper
def second(p: ptr8):
    p[0] = 1
"""


@pytest.mark.parametrize("arch", ARCHES)
def test_viper_functions_are_found_among_others(arch: str) -> None:
    data = compile_module(SOURCE.encode(), "module.py", arch)
    functions = viper_functions(SOURCE, data)
    assert list(functions) == ["first", "second"]
    assert all(functions.values())
    assert parse(data).arch == ARCHES[arch]


def test_a_file_that_is_cut_off_is_refused() -> None:
    data = compile_module(SOURCE.encode(), "module.py", "rv32imc")
    for length in range(4, len(data) - 1, 7):
        with pytest.raises(MpyError):
            parse(data[:length])


def test_another_version_is_refused() -> None:
    data = compile_module(SOURCE.encode(), "module.py", "rv32imc")
    with pytest.raises(MpyError, match="version 6"):
        parse(b"M\x05" + data[2:])


def test_a_source_that_is_not_the_file_s_is_refused() -> None:
    data = compile_module(SOURCE.encode(), "module.py", "rv32imc")
    with pytest.raises(MpyError, match="functions in the source"):
        viper_functions(SOURCE + "\ndef more():\n    pass\n", data)
