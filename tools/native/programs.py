# SPDX-License-Identifier: MIT
"""Random viper functions that use what kernels use, each with its meaning: for finding miscompilations.

Expressions are made together with a Python function that computes them in 32 bits, so the judge never reads
the source. Left out: `~` and far constant indexes (known to be miscompiled, see lint.py), division, and
operations on two literals, which mpy-cross folds in unlimited precision.
"""

from __future__ import annotations

import operator
import random
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from .machine import Argument, signed

WORDS = 8  # the length of each buffer
_LOCALS = ("a", "b", "c", "d")
_LITERALS = (0, 1, 2, 3, 5, 8, 31, 32, 127, 128, 255, 256, 2047, 2048, 4095, 32767, 65535, 65536, 0x3FFFFFFF)
_OPERATORS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
}
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_MASKS = {"p": 0xFFFFFFFF, "q": 0xFFFF, "s": 0xFF}


class State:
    """Variables and buffers while a program's meaning is computed."""

    def __init__(self, a: int, b: int, buffers: dict[str, list[int]]) -> None:
        self.names = {"a": a, "b": b, "c": 0, "d": 0}
        self.buffers = buffers


Value = Callable[[State], int]
Action = Callable[[State], None]


@dataclass(frozen=True)
class Expression:
    """A text and what it computes."""

    text: str
    value: Value
    literal: bool = False


class _Author:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def expression(self, depth: int) -> Expression:
        kind = self._rng.randrange(10) if depth else self._rng.randrange(4)
        if kind < 2:
            name = self._rng.choice(_LOCALS)
            return Expression(name, lambda state: state.names[name])
        if kind == 2:
            number = self._rng.choice(_LITERALS) * self._rng.choice((1, 1, -1))
            return Expression(str(number), lambda state: number, literal=True)
        if kind == 3:
            return self._load(depth)
        if kind == 4:
            inner = self._not_literal(depth - 1)
            return Expression(f"(-{inner.text})", lambda state: signed(-inner.value(state)))
        if kind in (5, 6):
            return self._shift(depth)
        left, right = self.expression(depth - 1), self.expression(depth - 1)
        if left.literal and right.literal:
            left = self._not_literal(0)
        sign = self._rng.choice(tuple(_OPERATORS))
        compute = _OPERATORS[sign]
        return Expression(
            f"({left.text} {sign} {right.text})",
            lambda state: signed(compute(left.value(state), right.value(state))),
        )

    def _not_literal(self, depth: int) -> Expression:
        while (made := self.expression(depth)).literal:
            pass
        return made

    def _shift(self, depth: int) -> Expression:
        inner = self._not_literal(depth - 1)
        if self._rng.randrange(3):
            number = self._rng.randrange(32)
            count = Expression(str(number), lambda state: number)
        else:
            by = self._not_literal(0)
            count = Expression(f"({by.text} & 31)", lambda state: by.value(state) & 31)
        if self._rng.randrange(2):
            text = f"({inner.text} >> {count.text})"
            return Expression(text, lambda state: inner.value(state) >> count.value(state))
        text = f"({inner.text} << {count.text})"
        return Expression(text, lambda state: signed(inner.value(state) << count.value(state)))

    def _place(self, depth: int) -> tuple[str, Expression]:
        buffer = self._rng.choice(tuple(_MASKS))
        if depth and self._rng.randrange(3) == 0:
            by = self._not_literal(depth - 1)
            return buffer, Expression(f"{by.text} & 7", lambda state: by.value(state) & 7)
        number = self._rng.randrange(WORDS)
        return buffer, Expression(str(number), lambda state: number)

    def _load(self, depth: int) -> Expression:
        buffer, index = self._place(depth)
        return Expression(f"{buffer}[{index.text}]", lambda state: state.buffers[buffer][index.value(state)])

    def statement(self, depth: int, indent: str) -> tuple[list[str], Action]:
        kind = self._rng.randrange(6) if depth else self._rng.randrange(4)
        if kind < 2:
            name, value = self._rng.choice(_LOCALS), self.expression(3)
            return [f"{indent}{name} = {value.text}"], lambda state: state.names.update(
                {name: value.value(state)}
            )
        if kind < 4:
            return self._store(indent)
        if kind == 4:
            return self._condition(depth, indent)
        return self._loop(depth, indent)

    def _store(self, indent: str) -> tuple[list[str], Action]:
        (buffer, index), value = self._place(2), self.expression(3)

        def act(state: State) -> None:
            stored = value.value(state) & _MASKS[buffer]
            state.buffers[buffer][index.value(state)] = signed(stored) if buffer == "p" else stored

        return [f"{indent}{buffer}[{index.text}] = {value.text}"], act

    def _condition(self, depth: int, indent: str) -> tuple[list[str], Action]:
        left, right, sign = self._not_literal(2), self.expression(2), self._rng.choice(tuple(_COMPARISONS))
        compare = _COMPARISONS[sign]
        yes, do_yes = self.block(depth - 1, indent + "    ")
        no, do_no = self.block(depth - 1, indent + "    ")

        def act(state: State) -> None:
            (do_yes if compare(left.value(state), right.value(state)) else do_no)(state)

        return [f"{indent}if {left.text} {sign} {right.text}:", *yes, f"{indent}else:", *no], act

    def _loop(self, depth: int, indent: str) -> tuple[list[str], Action]:
        counter, rounds = f"n{len(indent)}", self._rng.randrange(1, 4)
        body, act_once = self.block(depth - 1, indent + "    ")
        head = [f"{indent}{counter} = {rounds}", f"{indent}while {counter}:"]

        def act(state: State) -> None:
            for _ in range(rounds):
                act_once(state)

        return [*head, *body, f"{indent}    {counter} = -1 + {counter}"], act

    def block(self, depth: int, indent: str) -> tuple[list[str], Action]:
        made = [self.statement(depth, indent) for _ in range(self._rng.randrange(1, 4))]

        def act(state: State) -> None:
            for _, each in made:
                each(state)

        return [line for lines, _ in made for line in lines], act


@dataclass(frozen=True)
class Program:
    """A viper function, and what it does to its arguments."""

    name: str
    text: str
    meaning: Action

    def run(self, arguments: list[Argument]) -> int:
        """Do to the buffers in ``arguments`` what the function must do; what it must return."""
        a, b, *buffers = arguments
        assert isinstance(a, int)
        assert isinstance(b, int)
        lists = {
            name: list(buffer)
            for name, buffer in zip("pqs", buffers, strict=True)
            if not isinstance(buffer, int)
        }
        state = State(a, b, lists)
        self.meaning(state)
        for name, buffer in zip("pqs", buffers, strict=True):
            assert not isinstance(buffer, int)
            buffer[:] = (
                bytearray(lists[name])
                if isinstance(buffer, bytearray)
                else array(buffer.typecode, lists[name])
            )
        return state.names["d"]


def program(seed: int) -> Program:
    """The random program number ``seed``."""
    rng = random.Random(f"program/{seed}")
    order = ["a: int", "b: int", "p: ptr32", "q: ptr16", "s: ptr8"]
    lines, meaning = _Author(rng).block(3, "    ")
    more, and_then = _Author(rng).block(2, "    ")

    def act(state: State) -> None:
        meaning(state)
        and_then(state)

    head = ["@micropython.viper", f"def f{seed}({', '.join(order)}) -> int:", "    c = 0", "    d = 0"]
    return Program(f"f{seed}", "\n".join([*head, *lines, *more, "    return d", ""]), act)


def arguments(seed: int, index: int) -> list[Argument]:
    """Arguments for a call: small numbers, extremes and noise."""
    rng = random.Random(f"arguments/{seed}/{index}")
    pool = (0, 1, -1, 2**31 - 1, -(2**31), 0x8000, 0xFFFF)

    def number() -> int:
        return rng.choice(pool) if rng.randrange(3) == 0 else signed(rng.getrandbits(32))

    return [
        number(),
        number(),
        array("i", [number() for _ in range(WORDS)]),
        array("H", [number() & 0xFFFF for _ in range(WORDS)]),
        bytearray(number() & 0xFF for _ in range(WORDS)),
    ]
