# SPDX-License-Identifier: MIT
"""The variant of viper code for x64, where the virtual board's processor runs: same source, same 32-bit
results.

Viper arithmetic has the machine's width: on a 64-bit processor sums do not wrap at 32 bits and a load through
ptr32 is not sign-extended. Wherever either can show, `(e << 32) >> 32` is put around the expression, which
keeps an int sign-extended and a uint zero-extended. Addresses keep their 64 bits. Nodes never run this
variant.

Source: MicroPython v1.27.0, docs/reference/speed_python.rst (viper types); measured on the unix port.
"""

from __future__ import annotations

import ast

_WIDENING = (ast.Add, ast.Sub, ast.Mult, ast.LShift)
_POINTERS = ("ptr8", "ptr16", "ptr32")
_NUMBERS = ("int", "uint")


def widen(source: str) -> str:
    """The source with every viper function made exact on x64; a source without viper comes back as it is."""
    if "micropython.viper" not in source:
        return source
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and any(_is_viper(mark) for mark in node.decorator_list):
            _widen_function(node)
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _is_viper(mark: ast.expr) -> bool:
    return isinstance(mark, ast.Attribute) and mark.attr == "viper"


def _widen_function(function: ast.FunctionDef) -> None:
    types: dict[str, str] = {}
    for argument in function.args.args:
        if isinstance(argument.annotation, ast.Name):
            types[argument.arg] = argument.annotation.id
    wrapper = _Wrapper(types)
    begins = [
        ast.Assign([ast.Name(name, ast.Store())], wrapper.wrap(ast.Name(name, ast.Load())))
        for name, kind in types.items()
        if kind in _NUMBERS
    ]
    has_text = ast.get_docstring(function) is not None
    body = [wrapper.visit(statement) for statement in function.body[has_text:]]
    function.body = [*function.body[:has_text], *begins, *body]


class _Wrapper(ast.NodeTransformer):
    """Rewrites one function's statements in order, and learns the types of its locals as it goes."""

    def __init__(self, types: dict[str, str]) -> None:
        self._types = types

    def wrap(self, value: ast.expr) -> ast.expr:
        """``(value << 32) >> 32``, with counts of the value's own type."""
        kind = self._kind(value)
        left = ast.BinOp(value, ast.LShift(), self._count(kind))
        return ast.BinOp(left, ast.RShift(), self._count(kind))

    @staticmethod
    def _count(kind: str) -> ast.expr:
        if kind == "uint":
            return ast.Call(ast.Name("uint", ast.Load()), [ast.Constant(32)], [])
        return ast.Constant(32)

    def _kind(self, value: ast.expr) -> str:
        """The viper type of a value; "address" for a pointer's number."""
        if isinstance(value, ast.Name):
            return self._types.get(value.id, "int")
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
            if value.func.id == "int" and self._kind(value.args[0]) in (*_POINTERS, "address"):
                return "address"
            return value.func.id
        if isinstance(value, ast.BinOp):
            sides = (self._kind(value.left), self._kind(value.right))
            return "address" if "address" in sides else sides[0]
        if isinstance(value, ast.UnaryOp):
            return self._kind(value.operand)
        if isinstance(value, ast.IfExp):
            return self._kind(value.body)
        return "int"

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        target = node.targets[0]
        if isinstance(target, ast.Name):
            self._types.setdefault(target.id, self._kind(node.value))
        self.generic_visit(node)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        target = node.target
        assert isinstance(target, ast.Name | ast.Subscript)
        load: ast.expr = ast.parse(ast.unparse(target), mode="eval").body
        return self.visit_Assign(ast.Assign([target], ast.BinOp(load, node.op, node.value)))

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        kind = self._kind(node)
        self.generic_visit(node)
        return self.wrap(node) if isinstance(node.op, _WIDENING) and kind != "address" else node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        plain = isinstance(node.op, ast.Not) or isinstance(node.operand, ast.Constant)
        return node if plain else self.wrap(node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        kind = self._kind(node)
        self.generic_visit(node)
        constant = bool(node.args) and isinstance(node.args[0], ast.Constant)
        return self.wrap(node) if kind in _NUMBERS and not constant else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        kind = self._kind(node.value)
        self.generic_visit(node)
        return self.wrap(node) if isinstance(node.ctx, ast.Load) and kind == "ptr32" else node
