# SPDX-License-Identifier: MIT
"""What the build takes out of the node's modules, and that they do the same without it."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from communode.argument_names import shorten_arguments
from communode.folding import fold_constants
from communode.node_files import select
from communode.resources import node_folder

CODES = b"""from micropython import const
GOOD = const(0)
LOW = const(-5)
MASK = const(1 << 4 | GOOD)
NAMES = ("good",)
_SECRET = const(MASK + 1)
def secret():
    return _SECRET
"""
USER = b"""from micropython import const
from .codes import GOOD, LOW, NAMES
from . import codes as names
TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from nowhere import Something
WIDE = const(GOOD + 2)
def look():
    from .codes import MASK as mask
    return GOOD, LOW ** 2, mask, names.MASK, NAMES[GOOD]
"""


def run(text: bytes, **given: Any) -> dict[str, Any]:
    space = dict(given)
    exec(compile(text, "module", "exec"), space)
    return space


def test_constants_of_other_modules_are_values_and_their_names_are_gone() -> None:
    folded = fold_constants({"a/codes.py": CODES, "a/user.py": USER})
    codes = run(folded["a/codes.py"])
    assert codes.keys() - {"__builtins__"} == {"NAMES", "secret"}
    assert codes["secret"]() == 17
    text = folded["a/user.py"].decode()
    for gone in ("GOOD", "LOW", "MASK", "mask", "const", "TYPE_CHECKING", "nowhere", "names"):
        assert gone not in text
    look = run(folded["a/user.py"].replace(b"from .codes import NAMES", b""), NAMES=("good",))["look"]
    assert look() == (0, 25, 16, 16, "good")


def test_what_is_used_otherwise_stays() -> None:
    text = b"from . import codes\n_FORMAT = '<B'\n_PAIR = (1, 2)\nf = codes.secret\nx = _FORMAT\n"
    folded = fold_constants({"a/codes.py": CODES, "a/user.py": text})["a/user.py"].decode()
    assert "from . import codes" in folded
    assert "_PAIR = (1, 2)" in folded
    assert "x = '<B'" in folded
    assert "_FORMAT" not in folded


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"from .codes import GOOD\nGOOD += 1\n", "bound again"),
        (b"from .codes import GOOD\nfrom .codes import LOW as GOOD\n", "two constants"),
        (b"from .codes import GOOD\n@micropython.viper\ndef f():\n    return GOOD\n", "machine code"),
    ],
)
def test_what_cannot_be_folded_is_refused(text: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        fold_constants({"a/codes.py": CODES, "a/user.py": text})


def test_modules_with_machine_code_stay_as_they_are_written() -> None:
    text = b"@micropython.viper\ndef f(first: int) -> int:\n    return first  # as proven\n"
    assert shorten_arguments(fold_constants({"a/kernel.py": text})) == {"a/kernel.py": text}


SHAPES = b"""
def plain(first, second=3):
    return first * 10 + second
def named(first, *, second):
    return first - second
def call():
    return plain(1), named(1, second=2), plain(second=4, first=2)
def nested(first, a0):
    def inner(first):
        return first + a0
    return inner(first) + sum([first for first in (1, 2)]) + (lambda extra: extra + first)(5)
def caught(error):
    try:
        raise ValueError(error)
    except ValueError as error:
        return error.args[0]
class Holder:
    def __init__(self, value, factor=lambda value: value * 2):
        self.value = factor(value)
"""


def test_functions_with_other_argument_names_do_the_same() -> None:
    shortened = shorten_arguments({"shapes.py": SHAPES})["shapes.py"]
    before, after = run(SHAPES), run(shortened)
    assert after["call"]() == before["call"]() == (13, -1, 24)
    assert after["nested"](2, 3) == before["nested"](2, 3)
    assert after["caught"]("x") == before["caught"]("x") == "x"
    assert after["Holder"](4).value == before["Holder"](4).value == 8
    text = shortened.decode()
    assert "def plain(first, second=3)" in text  # a call names them
    assert "def __init__(self, a0" in text


def test_no_constant_of_the_firmware_is_declared_in_an_image() -> None:
    root = node_folder()
    sources = {
        path: (root / path).read_bytes() for path in select(root, {"drivers/scd4x.py", "radio/sx126x.py"})
    }
    folded = fold_constants(sources)
    left = [
        (path, ast.unparse(node))
        for path, text in folded.items()
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and "const(" in ast.unparse(node)
    ]
    assert left == []
    assert sum(map(len, shorten_arguments(folded).values())) < sum(map(len, folded.values()))
