#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Check that device code asks nothing of MicroPython 1.27 that it lacks: device_types.py STUBS_FOLDER.

Two parts. The syntax tree is searched for what MicroPython's parser or its built-in types lack. Then mypy
reads the code with MicroPython's own stubs in place of the standard library's, and every name that they do
not know is a finding. Types as such are not judged here: `make check` does that with the host's mypy.

Sources: MicroPython v1.27 documentation, "Differences to CPython"; py/grammar.h and py/objstr.c, objint.c of
v1.27.0; micropython-esp32-stubs 1.27.0.post1.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRMWARE = ROOT / "firmware"

ABSENT_MODULES = {"typing", "dataclasses", "enum", "__future__", "abc", "datetime", "logging", "pathlib"}
ABSENT_METHODS = {
    "bit_count",
    "bit_length",
    "capitalize",
    "casefold",
    "expandtabs",
    "format_map",
    "isascii",
    "isidentifier",
    "ljust",
    "maketrans",
    "removeprefix",
    "removesuffix",
    "rjust",
    "swapcase",
    "title",
    "translate",
    "zfill",
}
ABSENT_BUILTINS = {"breakpoint", "vars", "ascii"}
JUDGED = re.compile(
    r'^(?P<where>\S+\.py:\d+): error: (?P<what>(Module|"(?!object"|None"|Self@).*) has no attribute .*'
    r"|Module .* has no attribute .*|Cannot find implementation .*|Name .* is not defined.*"
    r"|Unexpected keyword argument .*|Too many arguments for .*)\s+\[[a-z-]+\]$"
)


def syntax_findings(path: Path, tree: ast.Module) -> Iterator[str]:
    """What the parser or the built-in types of MicroPython do not have."""
    for node in ast.walk(tree):
        found = None
        if isinstance(node, ast.Import):
            found = next(
                (alias.name for alias in node.names if alias.name.split(".")[0] in ABSENT_MODULES), None
            )
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module in ABSENT_MODULES:
            found = node.module
        elif isinstance(node, ast.Attribute) and node.attr in ABSENT_METHODS:
            found = f".{node.attr}()"
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ABSENT_BUILTINS
        ):
            found = f"{node.func.id}()"
        elif isinstance(node, ast.Match):
            found = "match"
        elif isinstance(node, ast.TryStar):
            found = "except*"
        elif isinstance(node, ast.arguments) and node.posonlyargs:
            found = "positional-only parameters"
        if found:
            line = getattr(node, "lineno", 1)
            yield f"{path.relative_to(ROOT)}:{line}: MicroPython has no {found}"


def stub_findings(stubs: Path) -> Iterator[str]:
    """Names and arguments that MicroPython's stubs do not know."""
    command = [sys.executable, "-m", "mypy", "--config-file=", "--cache-dir", str(stubs / ".mypy_cache")]
    done = subprocess.run(
        [*command, "--follow-imports", "silent", "-p", "node"],
        capture_output=True,
        text=True,
        cwd=FIRMWARE,
        env={"MYPYPATH": str(stubs), "PATH": ""},
    )
    if done.returncode not in (0, 1) or "checked" not in done.stdout:
        yield f"mypy did not run: {done.stdout}{done.stderr}"
    for line in done.stdout.splitlines():
        found = JUDGED.match(line)
        if found and line.startswith("node/"):
            yield f"firmware/{found['where']}: {found['what']}"


def main(arguments: list[str]) -> int:
    """Print findings; exit status 1 if there are any."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    findings = []
    for path in sorted(FIRMWARE.rglob("*.py")):
        findings += syntax_findings(path, ast.parse(path.read_bytes()))
    findings += stub_findings(Path(arguments[0]).resolve())
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
