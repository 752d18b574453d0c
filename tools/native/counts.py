# SPDX-License-Identifier: MIT
"""Runs every kernel on both instruction-set machines: is it exact, and how many instructions is an element?

Three bodies of each kernel: tuned viper (node/dsp), plain viper (plain_kernels.py) and C with gcc -O2.
Counts are executed instructions, function entry included, over a case's `bench_size` elements; not cycles,
not silicon.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from communode.node.dsp import reference

from .c_compiler import compile_c
from .cases import Case
from .compiler import DSP, PLAIN, viper_images
from .machine import Argument, Image, Outcome, signed
from .rv32 import Rv32
from .xtensa import Xtensa

MACHINES: dict[str, type[Rv32] | type[Xtensa]] = {"rv32imc": Rv32, "xtensawin": Xtensa}
C_FOLDER = Path(__file__).with_name("c")
SEED = 1
EXACT_SIZE = 24


class Mismatch(AssertionError):
    """A body's result is not the reference's."""


def copy_of(arguments: list[Argument]) -> list[Argument]:
    """The same arguments in buffers of their own."""
    return [
        argument
        if isinstance(argument, int)
        else bytearray(argument)
        if isinstance(argument, bytearray)
        else array(argument.typecode, argument)
        for argument in arguments
    ]


def _as_signed(argument: Argument) -> Argument:
    """Words that a kernel reads through ptr32 are signed there."""
    if isinstance(argument, array) and argument.typecode == "I":
        return array("i", argument.tobytes())
    return argument


def expect(case: Case, arguments: list[Argument]) -> tuple[int, list[bytes]]:
    """What the reference returns (signed; 0 for None) and leaves in the buffers."""
    given = [_as_signed(argument) for argument in copy_of(arguments)]
    function: Callable[..., Any] = getattr(reference, case.name)
    value = function(*given)
    return signed(value or 0), [bytes(a) for a in given if not isinstance(a, int)]


def check(case: Case, outcome: Outcome, given: list[Argument], expected: tuple[int, list[bytes]]) -> None:
    """Mismatch unless value and buffers are the expected ones."""
    buffers = [bytes(argument) for argument in given if not isinstance(argument, int)]
    if outcome.value != expected[0]:
        raise Mismatch(f"{case.name}: {outcome.value} instead of {expected[0]}")
    for at, (found, wanted) in enumerate(zip(buffers, expected[1], strict=True)):
        if found != wanted:
            raise Mismatch(f"{case.name}: buffer {at} differs")


@dataclass
class Row:
    """The figures of one kernel on one instruction set."""

    name: str
    isa: str
    element: str
    instructions_per_element: float
    c_instructions_per_element: float
    naive_instructions_per_element: float
    bit_exact_runs: int

    @property
    def ratio(self) -> float:
        """Tuned viper to C."""
        return self.instructions_per_element / self.c_instructions_per_element


def tuned(case: Case, isa: str) -> Rv32 | Xtensa:
    """A machine with the kernel of node/dsp."""
    return MACHINES[isa](viper_images(DSP / f"{case.module}.py", isa)[case.viper_name])


def run_tuned(case: Case, body: Rv32 | Xtensa, arguments: list[Argument]) -> Outcome:
    """Call the tuned kernel and check it against the reference."""
    given = copy_of(arguments)
    outcome = body.call_viper(given)
    check(case, outcome, given, expect(case, arguments))
    return outcome


def run_plain(case: Case, body: Rv32 | Xtensa, arguments: list[Argument]) -> Outcome:
    """Call the plain viper kernel and check it."""
    given = copy_of(arguments)
    outcome = body.call_viper([*case.without_scratch(given), *case.plain_extra()])
    check(case, outcome, given, expect(case, arguments))
    return outcome


def run_c(case: Case, body: Rv32 | Xtensa, arguments: list[Argument]) -> Outcome:
    """Call the C kernel and check it."""
    given = copy_of(arguments)
    outcome = body.call_c(case.without_scratch(given))
    if expect(case, arguments)[0] == 0:
        outcome = Outcome(0, outcome.instructions)  # a void function leaves anything in its register
    check(case, outcome, given, expect(case, arguments))
    return outcome


def c_images(isa: str, gcc: str) -> Mapping[str, Image]:
    """All C kernels for an instruction set."""
    found: dict[str, Image] = {}
    for path in sorted(C_FOLDER.glob("*.c")):
        found |= compile_c(path, isa, gcc)
    return found


def per_element(case: Case, call: Callable[[list[Argument]], Outcome], calls: int = 8) -> float:
    """Instructions per element over several calls."""
    instructions = elements = 0
    for index in range(calls):
        arguments = case.data(SEED, index, case.bench_size)
        instructions += call(arguments).instructions
        elements += case.elements(arguments)
    return instructions / elements


def measure(isa: str, gcc: str, cases: Sequence[Case], runs: int) -> list[Row]:
    """A row for each kernel, and ``runs`` exact calls of the tuned one; Mismatch if anything is not exact."""
    in_c, plain = c_images(isa, gcc), viper_images(PLAIN, isa)
    rows = []
    for case in cases:
        body = tuned(case, isa)
        for index in range(runs):
            run_tuned(case, body, case.data(SEED, index, EXACT_SIZE))
        calls = (
            partial(run_tuned, case, body),
            partial(run_c, case, MACHINES[isa](in_c[case.name])),
            partial(run_plain, case, MACHINES[isa](plain[case.plain or case.name])),
        )
        ours, of_c, naive = (round(per_element(case, call), 2) for call in calls)
        rows.append(Row(case.name, isa, case.element, ours, of_c, naive, runs))
    return rows
