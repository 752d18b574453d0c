# SPDX-License-Identifier: MIT
"""Short names for the arguments of the node's functions.

MicroPython keeps the name of every argument, for calls that name it; local variables have none. Each different
name costs its letters and some eight bytes (MicroPython's py/qstr.c), and the table of names grows by doubling. In
one build the arguments that no call names are renamed to one letter and a number, the same for all functions.
Drivers and radios keep theirs: they are called with the settings of a profile and a board by name. Only the build
sees this.
"""

from __future__ import annotations

import ast

from communode.folding import has_machine_code

_CALLED_BY_NAME = ("drivers/", "radio/")
_Function = ast.FunctionDef | ast.Lambda


def shorten_arguments(sources: dict[str, bytes]) -> dict[str, bytes]:
    """``sources`` (path -> text) with their arguments renamed; modules with machine code stay as they are."""
    trees = {path: ast.parse(text) for path, text in sources.items()}
    named = {
        keyword.arg
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg is not None
    }
    return {
        path: text
        if has_machine_code(trees[path]) or path.startswith(_CALLED_BY_NAME)
        else ast.unparse(_Shortener(named).visit(trees[path])).encode()
        for path, text in sources.items()
    }


class _Shortener(ast.NodeTransformer):
    """Renames within one function at a time, the inner ones first."""

    def __init__(self, named: set[str]) -> None:
        self._named = named

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        self._shorten(node, node.body)
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        self.generic_visit(node)
        self._shorten(node, [node.body])
        return node

    def _shorten(self, function: _Function, body: list[ast.stmt] | list[ast.expr]) -> None:
        given = function.args
        if given.kwonlyargs or given.vararg or given.kwarg:
            return
        inside = [node for part in body for node in ast.walk(part)]
        bound = _bound_otherwise(inside)
        taken = {node.id for node in inside if isinstance(node, ast.Name)} | bound
        number = 0
        renamed: dict[str, str] = {}
        for item in given.args:
            if item.arg == "self" or item.arg in self._named or item.arg in bound:
                continue
            while f"a{number}" in taken:
                number += 1
            renamed[item.arg] = item.arg = f"a{number}"
            number += 1
        for node in inside:
            if isinstance(node, ast.Name):
                node.id = renamed.get(node.id, node.id)
            elif isinstance(node, ast.Global | ast.Nonlocal):
                assert not set(node.names) & renamed.keys()


def _bound_otherwise(nodes: list[ast.AST]) -> set[str]:
    """Names that are bound other than by assignment: they would have to be renamed there, too."""
    bound: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            bound |= {item.arg for item in node.args.args}
        if isinstance(node, ast.FunctionDef | ast.ExceptHandler):
            bound.add(node.name or "")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {alias.asname or alias.name for alias in node.names}
    return bound
