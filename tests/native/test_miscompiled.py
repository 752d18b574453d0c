# SPDX-License-Identifier: MIT
"""What mpy-cross 1.29.0 compiles wrongly, shown on the instructions that it emits, and refused by the lint.

When a new mpy-cross mends one of these, its test fails here, and the rule may go.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path

import pytest
from native.compiler import code_of
from native.counts import MACHINES
from native.lint import lint
from native.machine import Argument, NativeFault, Outcome, viper_image
from native.qemu import QEMU, QemuXtensa

ROOT = Path(__file__).resolve().parents[2]
HEAD = "import micropython\n@micropython.viper\ndef kernel"

FAR_LOAD = HEAD + "(a: int, b: int, p: ptr32) -> int:\n    return p[300]\n"
NEGATIVE_LOAD = HEAD + "(a: int, b: int, p: ptr32) -> int:\n    p = ptr32(int(p) + 40)\n    return p[-3]\n"
TEMPORARY_LOAD = HEAD + "(a: int, b: int, p: ptr32) -> int:\n    return ptr32(int(p) + 0)[600]\n"
INVERSION = HEAD + "(a: int, b: int) -> int:\n    return (a + b) | (~b)\n"
REGISTER_LOAD = HEAD + "(p: ptr32, a: int) -> int:\n    return p[300]\n"
FAR_STORE = HEAD + "(a: int, b: int, p: ptr32):\n    p[300] = a\n"


def run(source: str, isa: str, arguments: list[Argument]) -> Outcome:
    return MACHINES[isa](viper_image(code_of(source, isa)["kernel"])).call_viper(arguments)


def words() -> array[int]:
    return array("i", range(1000, 2000))


@pytest.mark.parametrize(
    ("source", "isa", "right"),
    [
        (FAR_LOAD, "xtensawin", 1300),
        (NEGATIVE_LOAD, "xtensawin", 1007),
        (TEMPORARY_LOAD, "xtensawin", 1600),
        (TEMPORARY_LOAD, "rv32imc", 1600),
    ],
)
def test_a_far_load_reads_somewhere_else(source: str, isa: str, right: int) -> None:
    try:
        found: int | None = run(source, isa, [0, 0, words()]).value
    except NativeFault:
        found = None
    assert found != right
    assert [finding.rule for finding in lint(source)] == ["constant-index"]


def test_an_inversion_loses_what_waits_on_its_left() -> None:
    assert run(INVERSION, "rv32imc", [100, 7]).value == 107 | ~7
    assert run(INVERSION, "xtensawin", [100, 7]).value == -1
    assert [finding.rule for finding in lint(INVERSION)] == ["inversion"]


def test_qemu_sees_the_same_wrong_inversion(program: Callable[[str], str]) -> None:
    image = viper_image(code_of(INVERSION, "xtensawin")["kernel"])
    assert QemuXtensa(image, program(QEMU)).call_viper([100, 7]).value == -1


@pytest.mark.parametrize("isa", MACHINES)
def test_what_the_lint_allows_is_compiled_right(isa: str) -> None:
    assert run(REGISTER_LOAD, isa, [words(), 0]).value == 1300
    stored = words()
    run(FAR_STORE, isa, [5, 0, stored])
    assert stored[300] == 5
    rewritten = INVERSION.replace("~b", "b ^ -1")
    assert run(rewritten, isa, [100, 7]).value == 107 | ~7
    near = FAR_LOAD.replace("300", "255")
    assert run(near, isa, [0, 0, words()]).value == 1255
    for source in (REGISTER_LOAD, FAR_STORE, rewritten, near):
        assert lint(source) == []


def test_an_augmented_assignment_is_a_load_too() -> None:
    assert [finding.rule for finding in lint(FAR_STORE.replace("] = a", "] += a"))] == ["constant-index"]


def test_code_that_is_not_viper_is_not_judged() -> None:
    assert lint("def kernel(p, a):\n    return p[300] | ~a\n") == []


def test_the_firmware_holds_none_of_it() -> None:
    for path in sorted((ROOT / "firmware").rglob("*.py")):
        assert lint(path.read_text("utf-8")) == [], path.name
