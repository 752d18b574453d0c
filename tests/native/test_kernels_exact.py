# SPDX-License-Identifier: MIT
"""Every kernel is bit-exact on every body: the bytes for both chips, x64, and a real 32-bit MicroPython.

The judge is node/dsp/reference.py, which tests/unit/test_dsp_reference.py holds to published vectors.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
from communode.node.dsp import levels, power
from communode.node_files import compile_module
from native.case_file import case_file
from native.cases import CASES, Case
from native.compiler import DSP, code_of, viper_images
from native.counts import MACHINES, Mismatch, run_tuned, tuned
from native.machine import viper_image
from pico import ARCH, run_on_pico

HERE = Path(__file__).parent
RUNS = 1000
MODULES = sorted({case.module for case in CASES})


@pytest.mark.parametrize("isa", MACHINES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_kernel_is_exact_on_the_chips_own_instructions(case: Case, isa: str) -> None:
    body = tuned(case, isa)
    for index in range(RUNS):
        run_tuned(case, body, case.data(11, index, 1 + index % 40))


def test_every_viper_function_is_a_case() -> None:
    files = [path for path in DSP.glob("*.py") if b"@micropython.viper" in path.read_bytes()]
    functions = {(path.stem, name) for path in files for name in viper_images(path, "rv32imc")}
    assert functions == {(case.module, case.viper_name) for case in CASES}


def test_a_kernel_that_is_wrong_in_one_bit_is_noticed() -> None:
    case = next(case for case in CASES if case.name == "xor_into")
    source = (DSP / "parity.py").read_text("utf-8").replace("p[3] ^ q[3]", "p[3] | q[3]")
    body = MACHINES["rv32imc"](viper_image(code_of(source, "rv32imc")["xor_into"]))
    with pytest.raises(Mismatch):
        run_tuned(case, body, case.data(11, 0, 8))


def _files(arch: str, cases: bytes, modules: Collection[str] = MODULES) -> dict[str, bytes]:
    files = {f"{name}.mpy": compile_module((DSP / f"{name}.py").read_bytes(), name, arch) for name in modules}
    return files | {"cases.bin": cases, "run.py": (HERE / "cases_on_micropython.py").read_bytes()}


def _folder(folder: Path, arch: str, cases: bytes) -> None:
    for name, data in _files(arch, cases).items():
        (folder / name).write_bytes(data)


def _results(text: str) -> dict[str, tuple[int, int, int]]:
    lines = [line.split() for line in text.splitlines()]
    rows = [line for line in lines if len(line) == 4 and line[1].isdigit()]
    return {name: (int(calls), int(elements), int(wrong)) for name, calls, elements, wrong in rows}


def _run_on_unix(micropython: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [micropython, "-X", "heapsize=8M", "run.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)


def test_kernels_are_exact_on_x64(micropython: str, tmp_path: Path) -> None:
    _folder(tmp_path, "x64", case_file(12, RUNS, 24))
    done = _run_on_unix(micropython, tmp_path)
    assert done.stdout.endswith("all done\n"), done.stderr
    results = _results(done.stdout)
    assert results.keys() == {case.name for case in CASES}
    assert {name: wrong for name, (calls, _, wrong) in results.items() if wrong or calls != RUNS} == {}


def test_the_same_source_without_32_bit_wrapping_is_wrong_on_x64(
    micropython: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("communode.node_files.widen", lambda source: source)
    compile_module.cache_clear()
    _folder(tmp_path, "x64", case_file(12, 20, 24))
    compile_module.cache_clear()
    done = _run_on_unix(micropython, tmp_path)
    wrong_ones = {name for name, (_, _, wrong) in _results(done.stdout).items() if wrong}
    assert {"weigh_32k", "weigh_48k", "sum_squares"} <= wrong_ones


def test_levels_and_power_compute_alike_on_micropython(micropython: str) -> None:
    script = """
import levels, power
state = [0] * 6 + [123, 45, 67, 89]
energy = levels.take_energy(state)
print([energy, state[6:], levels.level_db(energy, 6000, -26.0, -1510),
    levels.exceeded([0] * 100 + [9, 1] + [0] * 154, 10, 300, 2), levels.exceeded([0] * 256, 10, 0, 0),
    list(power.mains([163000, 160000, 412000000, 378000000, 361000000], 80))])
"""
    done = subprocess.run([micropython, "-c", script], cwd=DSP, capture_output=True, text=True, timeout=30)
    energy, sums, level, exceeded, nothing, mains = ast.literal_eval(done.stdout)
    state = [0] * 6 + [123, 45, 67, 89]
    assert levels.take_energy(state) == energy
    assert state[6:] == sums
    assert levels.level_db(energy, 6000, -26.0, -1510) == pytest.approx(level, abs=1e-3)
    assert levels.exceeded([0] * 100 + [9, 1] + [0] * 154, 10, 300, 2) == exceeded
    assert nothing is None
    sums_of_mains = [163000, 160000, 412000000, 378000000, 361000000]
    assert power.mains(sums_of_mains, 80) == pytest.approx(mains, rel=1e-5)


def _on_pico(cases: Sequence[Case], calls: int, size: int, folder: Path) -> dict[str, tuple[int, int, int]]:
    """Results of ``calls`` calls of each kernel on the official image, which runs on an emulated RP2040."""
    files = _files(ARCH, case_file(13, calls, size, cases), {case.module for case in cases})
    program = files.pop("run.py").decode()
    folder.mkdir(exist_ok=True)
    return _results("\n".join(run_on_pico(files, program, folder, limit_s=600)))


@pytest.mark.timeout(1200)
def test_kernels_are_exact_on_a_32_bit_micropython(tmp_path: Path) -> None:
    """A thousand calls each (85 s of a core); the flash does not hold all of them at once."""
    results: dict[str, tuple[int, int, int]] = {}
    for part, cases in enumerate((CASES[:5], CASES[5:])):
        results |= _on_pico(cases, RUNS, 4, tmp_path / str(part))
    assert results.keys() == {case.name for case in CASES}
    assert {name: wrong for name, (calls, _, wrong) in results.items() if wrong or calls != RUNS} == {}


@pytest.mark.nightly
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_kernel_is_exact_on_a_32_bit_micropython_for_longer_runs(case: Case, tmp_path: Path) -> None:
    results = _on_pico([case], RUNS, 24, tmp_path / "files")
    assert results[case.name][0] == RUNS
    assert results[case.name][2] == 0
