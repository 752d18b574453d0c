# SPDX-License-Identifier: MIT
"""Instructions per element of every kernel: tuned viper, plain viper and C, on rv32imc and xtensawin.

Writes kernels.json and the table in firmware/node/dsp/README.md. Every call is also checked to be exact.
"""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from communode.node_files import MPY_CROSS
from native.c_compiler import COMPILERS
from native.cases import CASES
from native.counts import Row, measure
from native.table import README, publish_table

RUNS = 1000


def test_kernels_against_gcc(
    publish: Callable[[str, dict[str, Any]], None], program: Callable[[str], str]
) -> None:
    rows: list[Row] = []
    versions = {"mpy-cross": MPY_CROSS}
    for isa, compiler in COMPILERS.items():
        gcc = program(compiler)
        version = subprocess.run([gcc, "-dumpfullversion"], capture_output=True, text=True, timeout=30)
        versions[compiler] = version.stdout.strip()
        rows += measure(isa, gcc, CASES, RUNS)
    table = publish_table(README, rows, versions)
    print("\n" + table)
    kernels = [{**asdict(row), "ratio": round(row.ratio, 3)} for row in rows]
    publish("kernels", {"versions": versions, "kernels": kernels})
    for isa in COMPILERS:
        ratios = [row.ratio for row in rows if row.isa == isa]
        assert statistics.median(ratios) <= 2.5
        assert max(ratios) <= 4
