#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The gate for viper code: check_budgets.py [--write].

Every viper file of the firmware must compile for the nodes' chips, for x64 and for a 32-bit Arm; hold nothing
that mpy-cross miscompiles; and every kernel must stay within its budget of instructions per element
(tools/native/budgets.toml), exact in each counted call. A budget that has become loose fails too: lower it.

--write sets the budgets to what is measured. No cross compiler is needed.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from communode.errors import CommunodeError  # noqa: E402
from native import lint  # noqa: E402
from native.cases import CASES  # noqa: E402
from native.compiler import code_of  # noqa: E402
from native.counts import MACHINES, per_element, run_tuned, tuned  # noqa: E402
from native.mpy_file import ARCHES  # noqa: E402

BUDGETS = ROOT / "tools" / "native" / "budgets.toml"
FIRMWARE = ROOT / "firmware"
LOOSE = 1.02  # a budget this much above the measured count no longer guards anything

HEAD = """# SPDX-License-Identifier: MIT
# Instructions per element that a kernel may take, by instruction set: tools/check_budgets.py --write.
"""


def viper_files(folder: Path) -> list[Path]:
    """Every file below a folder that holds viper code."""
    return [path for path in sorted(folder.rglob("*.py")) if b"@micropython.viper" in path.read_bytes()]


def gate_findings(path: Path) -> Iterator[str]:
    """What keeps one file from the nodes: it does not compile, or it would be miscompiled."""
    source = path.read_text("utf-8")
    for finding in lint.lint(source):
        yield f"{path.name}:{finding.line}: {finding.rule}: {finding.text}"
    for arch in ARCHES:
        try:
            code_of(source, arch, path.name)
        except CommunodeError as error:
            yield f"{path.name}: {arch}: {error}"


def measured() -> dict[str, dict[str, float]]:
    """Instructions per element by instruction set and kernel."""
    return {
        isa: {
            case.name: round(per_element(case, partial(run_tuned, case, tuned(case, isa))), 1)
            for case in CASES
        }
        for isa in MACHINES
    }


def budget_findings(
    budgets: dict[str, dict[str, float]], found: dict[str, dict[str, float]]
) -> Iterator[str]:
    """Kernels over their budget, budgets that are loose, and names that only one side knows."""
    for isa, kernels in found.items():
        allowed = budgets.get(isa, {})
        for name in sorted(kernels.keys() ^ allowed.keys()):
            yield f"{isa}: {name}: " + (
                "has no budget" if name in kernels else "has a budget and is no kernel"
            )
        for name in sorted(kernels.keys() & allowed.keys()):
            count, budget = kernels[name], allowed[name]
            if count > budget:
                yield f"{isa}: {name}: {count} instructions per element, {budget} allowed"
            elif count * LOOSE < budget:
                yield f"{isa}: {name}: {count} instructions per element: lower the budget of {budget}"


def as_toml(found: dict[str, dict[str, float]]) -> str:
    """The budget file."""
    tables = [
        "\n".join([f"[{isa}]", *(f"{name} = {count}" for name, count in kernels.items())])
        for isa, kernels in found.items()
    ]
    return HEAD + "\n" + "\n\n".join(tables) + "\n"


def main(arguments: list[str]) -> int:
    """Print findings; exit status 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="set the budgets to what is measured")
    chosen = parser.parse_args(arguments)
    files = viper_files(FIRMWARE)
    findings = [finding for path in files for finding in gate_findings(path)]
    found = measured()
    if chosen.write:
        BUDGETS.write_text(as_toml(found), "utf-8")
    findings += budget_findings(tomllib.loads(BUDGETS.read_text("utf-8")), found)
    for finding in findings:
        print(finding)
    if not findings:
        print(f"{len(files)} viper files compile for {', '.join(ARCHES)}; {len(CASES)} kernels within budget")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
