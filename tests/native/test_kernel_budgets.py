# SPDX-License-Identifier: MIT
"""Kernels are as quick as the budgets and the README say, and generated files are current."""

from __future__ import annotations

import statistics
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import check_budgets  # noqa: E402
from kernels import a_weighting, c_kernels, echo  # noqa: E402
from native.c_compiler import COMPILERS  # noqa: E402
from native.cases import CASES  # noqa: E402
from native.counts import measure  # noqa: E402
from native.table import README, published  # noqa: E402


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, float]]:
    return check_budgets.measured()


def test_every_kernel_is_within_its_budget(measured: dict[str, dict[str, float]]) -> None:
    budgets = tomllib.loads(check_budgets.BUDGETS.read_text("utf-8"))
    assert list(check_budgets.budget_findings(budgets, measured)) == []


def test_the_readme_shows_what_is_measured(measured: dict[str, dict[str, float]]) -> None:
    shown = published(README)
    assert shown.keys() == measured.keys()
    for isa, kernels in measured.items():
        assert shown[isa] == pytest.approx(kernels, abs=0.11), f"{isa}: run make bench"


def test_slower_looser_and_unknown_kernels_are_found() -> None:
    budgets = {"rv32imc": {"slower": 10.0, "looser": 10.0, "gone": 1.0}}
    found = {"rv32imc": {"slower": 10.1, "looser": 9.7, "new": 5.0}}
    text = "\n".join(check_budgets.budget_findings(budgets, found))
    assert "slower: 10.1 instructions per element, 10.0 allowed" in text
    assert "looser: 9.7" in text
    assert "gone: has a budget" in text
    assert "new: has no budget" in text
    assert len(text.splitlines()) == 4


def test_code_that_one_architecture_refuses_does_not_pass_the_gate(tmp_path: Path) -> None:
    path = tmp_path / "kernel.py"
    path.write_text(
        "import micropython\n@micropython.viper\ndef f(x: int) -> int:\n    return x & 0x80000000\n"
    )
    assert len(list(check_budgets.gate_findings(path))) == 4


@pytest.mark.parametrize("generator", [a_weighting, echo, c_kernels])
def test_generated_files_are_current(generator: object) -> None:
    files: dict[Path, str] = generator.files()  # type: ignore[attr-defined]
    for path, text in files.items():
        assert path.read_text("utf-8") == text, f"run tools/kernels/{generator.__name__.split('.')[-1]}.py"  # type: ignore[attr-defined]


@pytest.mark.parametrize("isa", COMPILERS)
def test_kernels_stay_close_to_gcc(isa: str, program: Callable[[str], str]) -> None:
    """The project's goal: median at most 2.5 times gcc -O2, none above 4. Each C kernel is exact, too."""
    rows = measure(isa, program(COMPILERS[isa]), CASES, 1)
    assert statistics.median(row.ratio for row in rows) <= 2.5
    assert {row.name: row.ratio for row in rows if row.ratio > 4} == {}
