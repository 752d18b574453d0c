# SPDX-License-Identifier: MIT
"""No wait without end in device code: every ``while`` has a bound that a reader sees, or a reason given here.

A loop is bounded when its condition cannot stay true: some part of it is a deadline (``ticks_diff``, ``now_ms``), or
names something that every way through the body steps (``n -= 1``, ``at = end``) or takes from (``queue.pop``). The
same condition may stand before a ``return``, ``raise`` or ``break`` that each pass comes by. Whether the step leads
to the end is for the reviewer; that there is one is checked here. ``for`` runs over finite things.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"

# Loops that show no bound: (file, function) and why they end, or may go on.
REASONS = {
    ("node/app/cycle.py", "_live"): "the node's life; the watchdog watches it",
    ("examples/join_and_send.py", ""): "the same of the example",
    ("node/app/laboratory.py", "live"): "the test mode lasts until the laboratory ends it",
    ("node/lorawan/channels.py", "_pick"): "the set has more members than are passed over",
    ("node/dsp/parity.py", "parity_row_v1"): "at most one of columns + 1 draws is no column",
    ("node/dsp/parity.py", "parity_row_v2"): "half of the columns are drawn, the register visits all",
    ("node/dsp/reference.py", "_parity_row"): "as in parity.py",
}
_LEAVES = (ast.Return, ast.Raise, ast.Break)
DEADLINES = {"ticks_diff", "now_ms"}


def loops(tree: ast.AST, function: str = "") -> Iterator[tuple[str, ast.While]]:
    """Every ``while`` with the name of the function around it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.While):
            yield function, node
        yield from loops(node, node.name if isinstance(node, ast.FunctionDef) else function)


def _names(part: ast.expr) -> set[str]:
    """Variables and attributes in a condition, as source text."""
    return {ast.unparse(node) for node in ast.walk(part) if isinstance(node, (ast.Name, ast.Attribute))}


def _computed(statement: ast.Assign) -> bool:
    """Whether a value is computed, not asked for: what a chip answers has no end."""
    calls = [node for node in ast.walk(statement.value) if isinstance(node, ast.Call)]
    constant = not any(isinstance(node, ast.Name) for node in ast.walk(statement.value))
    return not constant and all(
        isinstance(call.func, ast.Name) and call.func.id in ("min", "max", "len", "int") for call in calls
    )


def _steps(statement: ast.stmt, names: set[str]) -> bool:
    """Whether a plain statement gives one of ``names`` a new value, or takes something from it."""
    if isinstance(statement, ast.AugAssign) or (isinstance(statement, ast.Assign) and _computed(statement)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        given = {ast.unparse(node) for target in targets for node in ast.walk(target)}
        if given & names:
            return True
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("pop", "popleft")
        and ast.unparse(node.func.value) in names
        for node in ast.walk(statement)
    )


def _every_way_steps(body: list[ast.stmt], names: set[str]) -> bool | None:
    """True: each way through ``body`` steps or leaves; None: some way comes to its end without; False: some way
    begins the loop anew without."""
    for statement in body:
        if isinstance(statement, _LEAVES):
            return True
        if isinstance(statement, ast.Continue):
            return False
        if isinstance(statement, ast.If):
            ways = [_every_way_steps(branch, names) for branch in (statement.body, statement.orelse)]
            if False in ways:
                return False
            if ways == [True, True]:
                return True
        elif isinstance(statement, (ast.For, ast.While, ast.With, ast.Try)):
            continue  # what is inside may not be reached, and its `break` is its own
        elif _steps(statement, names):
            return True
    return None


def bounded(loop: ast.While) -> bool:
    """Whether the loop shows its bound."""
    if _ends(loop.test, loop.body):
        return True
    for statement in loop.body:
        leaves = isinstance(statement, ast.If) and isinstance(statement.body[-1], _LEAVES)
        if leaves and not isinstance(statement.test, ast.BoolOp) and _ends(statement.test, loop.body):
            return True
        if any(isinstance(node, ast.Continue) for node in ast.walk(statement)):
            return False  # what follows may be passed over
    return False


def _ends(test: ast.expr, body: list[ast.stmt]) -> bool:
    if isinstance(test, ast.BoolOp):
        found = [_ends(value, body) for value in test.values]
        return any(found) if isinstance(test.op, ast.And) else all(found)
    if any(isinstance(node, ast.Attribute) and node.attr in DEADLINES for node in ast.walk(test)):
        return True
    names = _names(test)
    return bool(names and _every_way_steps(body, names))


def unbounded(folder: Path) -> set[tuple[str, str]]:
    """(file, function) of every loop in a folder that shows no bound."""
    paths = sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)
    return {
        (path.relative_to(folder).as_posix(), function)
        for path in paths
        for function, loop in loops(ast.parse(path.read_bytes()))
        if not bounded(loop)
    }


def test_every_loop_shows_its_bound_or_has_a_reason() -> None:
    assert unbounded(FIRMWARE) == set(REASONS)


@pytest.mark.parametrize(
    ("source", "ends"),
    [
        ("while True:\n    pass", False),
        ("while not radio.ready():\n    sleep(1)", False),
        ("while not radio.ready():\n    n += 1", False),
        ("while busy() and n < 9:\n    n += 1", True),
        ("while busy() or n < 9:\n    n += 1", False),
        ("while n:\n    if odd:\n        continue\n    n -= 1", False),
        ("while n:\n    if odd:\n        n -= 1", False),
        ("while n:\n    if odd:\n        n -= 1\n    else:\n        return", True),
        ("while n:\n    if odd:\n        return\n    n >>= 1", True),
        ("while n:\n    for i in x:\n        n -= 1", False),
        ("while self.queue:\n    item = self.queue.pop(0)", True),
        ("while self.queue:\n    item = other.queue.pop(0)", False),
        ("while poll() and clock.ticks_diff(end, now()) > 0:\n    pass", True),
        ("while not done:\n    done = radio.poll()", False),
        ("while state != DONE:\n    state = radio.state()", False),
        ("while n < 9:\n    n = 0", False),
        ("while busy():\n    if ticks_diff():\n        return", False),
        ("while busy():\n    if clock.ticks_diff(now(), begun) > 9:\n        raise Late", True),
        ("while busy():\n    if odd:\n        continue\n    if clock.now_ms() > 9:\n        break", False),
        ("while True:\n    n += 1\n    if n > 9:\n        return", True),
        ("while True:\n    n += 1\n    if n > 9 and odd:\n        return", False),
        ("while low < high:\n    low = min(low + 1, high)", True),
        ("while poll() and end > now():\n    pass", False),
    ],
)
def test_the_rule_itself_knows_a_bound(source: str, ends: bool) -> None:
    (loop,) = ast.parse(source).body
    assert isinstance(loop, ast.While)
    assert bounded(loop) is ends
