# SPDX-License-Identifier: MIT
"""The lint of device code finds what MicroPython lacks, and nothing in what it has."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "device_types.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("device_types", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "source",
    [
        "from typing import Any",
        "import dataclasses",
        "from __future__ import annotations",
        "x = 'a'.removeprefix('b')",
        "n = (5).bit_length()",
        "match x:\n    case 1: pass",
        "def f(a, /): pass",
        "vars(x)",
    ],
)
def test_what_micropython_lacks_is_found(tool: ModuleType, source: str) -> None:
    findings = list(tool.syntax_findings(tool.FIRMWARE / "node" / "x.py", ast.parse(source)))
    assert len(findings) == 1
    assert findings[0].startswith("firmware/node/x.py:1: MicroPython has no")


@pytest.mark.parametrize(
    "source", ["from .typing import x", "n = b''.hex()", "def f(a, *, b=1): return f'{a}'"]
)
def test_what_micropython_has_is_not(tool: ModuleType, source: str) -> None:
    assert not list(tool.syntax_findings(tool.FIRMWARE / "node" / "x.py", ast.parse(source)))


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ('node/a.py:4: error: Module has no attribute "isqrt"; maybe "sqrt"?  [attr-defined]', True),
        ('node/a.py:4: error: "Pin" has no attribute "bar"  [attr-defined]', True),
        ('node/a.py:4: error: "object" has no attribute "bar"  [attr-defined]', False),
        ('node/a.py:4: error: Need type annotation for "x"  [var-annotated]', False),
    ],
)
def test_only_names_that_the_stubs_lack_count(tool: ModuleType, line: str, counts: bool) -> None:
    assert bool(tool.JUDGED.match(line)) is counts
