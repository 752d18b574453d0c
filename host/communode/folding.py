# SPDX-License-Identifier: MIT
"""Constants of the node's modules, put where they are used.

MicroPython's compiler replaces ``NAME = const(7)`` within one module only. Across modules every constant costs
RAM on the node: its name, an entry in the dictionary of each module that has it, and the code that imports it.
Here every declared constant is replaced by its value in all modules of one build, and declaration and imports go;
so do numbers and texts with a name like ``_FORMAT``, which are their module's own. Everything else stays as it is,
and so do modules with machine code, whose bytes are proven as they stand.

Sources stay as they are written; only the build sees this.
"""

from __future__ import annotations

import ast
import re
from pathlib import PurePosixPath

Value = int | str | bytes
Values = dict[str, Value]

_OWN = re.compile(r"_[A-Z0-9_]+")  # the names of a module's own constants


def fold_constants(sources: dict[str, bytes]) -> dict[str, bytes]:
    """``sources`` (path below the package -> text) with their integer constants folded.

    Raises ValueError where one name would stand for two constants in a module.
    """
    trees = {path: ast.parse(text) for path, text in sources.items()}
    plain = {path for path, tree in trees.items() if not has_machine_code(tree)}
    values = _declared({path: trees[path] for path in plain})
    folded = {}
    for path, text in sources.items():
        folded[path] = _folded(path, trees[path], values).encode() if path in plain else text
        if path not in plain and _known(path, trees[path], values)[0].keys() - values.get(path, {}).keys():
            raise ValueError(f"{path} has machine code and imports constants")
    return folded


def has_machine_code(tree: ast.AST) -> bool:
    """Whether a function in it is compiled to machine code."""
    decorators = [
        decorator
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
    ]
    return any(isinstance(item, ast.Attribute) and item.attr in ("viper", "native") for item in decorators)


def _declaration(node: ast.stmt) -> tuple[str, ast.expr] | None:
    """(name, expression) of ``NAME = const(expression)`` or ``_NAME = literal``."""
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
        return None
    name, value = node.targets[0].id, node.value
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "const":
        return name, value.args[0]
    return (name, value) if isinstance(value, ast.Constant) and _OWN.fullmatch(name) else None


def _declared(trees: dict[str, ast.Module]) -> dict[str, Values]:
    """The constants of every module; each round knows those that the one before has found."""
    values: dict[str, Values] = {path: {} for path in trees}
    while True:
        before = sum(map(len, values.values()))
        for path, tree in trees.items():
            for item in filter(None, map(_declaration, tree.body)):
                value = _evaluate(item[1], _known(path, tree, values)[0])
                if value is not None:
                    values[path][item[0]] = value
        if sum(map(len, values.values())) == before:
            return values


def _evaluate(expression: ast.expr, known: Values) -> Value | None:
    names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
    if not names <= known.keys() or any(isinstance(node, ast.Call) for node in ast.walk(expression)):
        return None
    value = eval(compile(ast.Expression(expression), "const", "eval"), {}, dict(known))  # our own sources
    return value if type(value) in (int, str, bytes) else None


def _module(path: str, level: int, name: str | None) -> str:
    """The module that ``from ..name`` in ``path`` means, without ending."""
    base = PurePosixPath(path).parent
    for _ in range(level - 1):
        base = base.parent
    return base.joinpath(*name.split(".")).as_posix() if name else base.as_posix()


def _known(path: str, tree: ast.Module, values: dict[str, Values]) -> tuple[Values, dict[str, Values]]:
    """The constants that a module knows by a name of its own, and the modules that it knows by one."""
    names = dict(values.get(path, {}))
    modules: dict[str, Values] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        source = _module(path, node.level, node.module)
        for alias in node.names:
            own = alias.asname or alias.name
            value = values.get(f"{source}.py", {}).get(alias.name)
            if value is not None:
                if names.get(own, value) != value:
                    raise ValueError(f"{path}: {own} is two constants")
                names[own] = value
            elif f"{source}/{alias.name}.py" in values:
                modules[own] = values[f"{source}/{alias.name}.py"]
    return names, modules


def _folded(path: str, tree: ast.Module, values: dict[str, Values]) -> str:
    names, modules = _known(path, tree, values)
    folder = _Folder(path, names, modules, values)
    tree = folder.visit(tree)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return ast.unparse(
        ast.fix_missing_locations(_Pruner(used | {"*"}, modules.keys() | {"const"}).visit(tree))
    )


def _literal(value: Value) -> ast.expr:
    if isinstance(value, int) and value < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    return ast.Constant(value)


class _Folder(ast.NodeTransformer):
    """Puts values in the place of names; takes out declarations, imports of constants, and what mypy reads."""

    def __init__(
        self, path: str, names: Values, modules: dict[str, Values], values: dict[str, Values]
    ) -> None:
        self._path = path
        self._names = names
        self._modules = modules
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id not in self._names:
            return node
        if not isinstance(node.ctx, ast.Load):
            raise ValueError(f"{self._path}: the constant {node.id} is bound again")
        return _literal(self._names[node.id])

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name):
            value = self._modules.get(node.value.id, {}).get(node.attr)
            if value is not None:
                return _literal(value)
        self.generic_visit(node)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.stmt | None:
        item = _declaration(node)
        if item is not None and item[0] in self._names:
            return None
        self.generic_visit(node)
        return node

    def visit_If(self, node: ast.If) -> ast.stmt | None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" and not node.orelse:
            return None
        self.generic_visit(node)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | None:
        if not node.level:
            return node
        declared = self._values.get(_module(self._path, node.level, node.module) + ".py", {})
        node.names = [alias for alias in node.names if alias.name not in declared]
        return node if node.names else None


class _Pruner(ast.NodeTransformer):
    """Takes out imports of modules, and of ``const``, that nothing uses any more."""

    def __init__(self, used: set[str], candidates: set[str]) -> None:
        self._unused = candidates - used

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt | None:
        node.names = [alias for alias in node.names if (alias.asname or alias.name) not in self._unused]
        return node if node.names else None
