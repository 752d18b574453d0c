# SPDX-License-Identifier: MIT
"""Random viper functions mean the same on both chips' instructions and in the x64 variant.

This is how the defects in test_miscompiled.py were found; it looks for the next one.
"""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest
from communode.node_files import compile_module
from native.compiler import code_of
from native.counts import MACHINES, copy_of
from native.lint import lint
from native.machine import viper_image
from native.programs import Program, arguments, program
from nightly import Nightly

CALLS = 3
HEAD = "import micropython\n\n"


def wrong_on_chips(made: Program, seed: int) -> list[str]:
    """What differs between the meaning of a program and its execution."""
    source = HEAD + made.text
    assert lint(source) == []
    found = []
    for isa, machine in MACHINES.items():
        body = machine(viper_image(code_of(source, isa)[made.name]))
        for index in range(CALLS):
            given = arguments(seed, index)
            expected = copy_of(given)
            value = made.run(expected)
            if body.call_viper(given).value != value or given != expected:
                found.append(f"{isa} {made.name} call {index}\n{made.text}")
    return found


def test_random_programs_mean_the_same_on_both_chips() -> None:
    found = [text for seed in range(150) for text in wrong_on_chips(program(seed), seed)]
    assert not found, found[0]


def test_random_programs_mean_the_same_in_the_x64_variant(micropython: str, tmp_path: Path) -> None:
    seeds = range(150)
    source = HEAD + "\n".join(program(seed).text for seed in seeds)
    (tmp_path / "programs.mpy").write_bytes(compile_module(source.encode(), "programs.py", "x64"))
    lines = ["import programs", "from array import array"]
    expected = []
    for seed in seeds:
        given = arguments(seed, 0)
        lines += [f"g = {given!r}", f"print([programs.f{seed}(*g)] + [list(x) for x in g[2:]])"]
        value = program(seed).run(given)
        expected.append([value, *(list(x) for x in given[2:])])  # type: ignore[arg-type]
    (tmp_path / "run.py").write_text("\n".join(lines))
    done = subprocess.run(
        [micropython, "-X", "heapsize=16M", "run.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for seed, (line, wanted) in enumerate(zip(done.stdout.splitlines(), expected, strict=True)):
        assert ast.literal_eval(line) == wanted, program(seed).text


@pytest.mark.nightly
def test_many_random_programs(nightly: Nightly) -> None:
    count = nightly.count(5000)
    found = [text for seed in range(1000, 1000 + count) for text in wrong_on_chips(program(seed), seed)]
    entry = {"name": "viper programs", "inputs": 2 * CALLS * count, "crashes": len(found)}
    nightly.record("fuzz.json", "targets", entry)
    assert not found, found[0]
