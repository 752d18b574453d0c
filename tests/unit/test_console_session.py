# SPDX-License-Identifier: MIT
"""A session at the console: the watchdog is fed all along, and no session lasts for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from communode.node.app.console import IDLE_MS, LONGEST_MS
from communode.node.app.guard import WATCHDOG_MS
from communode.node.app.session import serve


class Clock:
    """Passes while somebody sleeps, and a little with every look at it."""

    ms = 0

    def now_ms(self) -> int:
        self.ms += 25
        return self.ms

    def sleep_ms(self, duration_ms: int) -> None:
        self.ms += duration_ms


class Cycle:
    """No command is given here that asks more of it."""

    def __init__(self) -> None:
        self.clock = Clock()


def hold(read: Callable[[int], str]) -> tuple[int, int, list[str]]:
    """(how long a session lasted, the longest the watchdog waited, what was written)."""
    cycle: Any = Cycle()
    fed = [0]
    longest = [0]
    written: list[str] = []

    def feed() -> None:
        longest[0] = max(longest[0], cycle.clock.ms - fed[0])
        fed[0] = cycle.clock.ms

    serve(cycle, lambda: read(cycle.clock.ms), written.append, feed)
    return cycle.clock.ms, longest[0], written


@pytest.mark.parametrize(
    ("read", "least_ms", "most_ms"),
    [
        (lambda now_ms: "", IDLE_MS, IDLE_MS * 2),  # nobody is there
        (lambda now_ms: "\0" * 8, LONGEST_MS, LONGEST_MS + 1000),  # a line that is open and hears noise
        (lambda now_ms: "x\r", LONGEST_MS, LONGEST_MS + 1000),
        (lambda now_ms: "help\r" if now_ms % 60_000 < 200 else "", LONGEST_MS, LONGEST_MS + 1000),
    ],
    ids=["silence", "noise", "nonsense", "a patient technician"],
)
def test_a_session_ends_by_itself_and_feeds_the_watchdog(
    read: Callable[[int], str], least_ms: float, most_ms: float
) -> None:
    lasted_ms, unfed_ms, _ = hold(read)
    assert least_ms <= lasted_ms <= most_ms
    assert unfed_ms < WATCHDOG_MS / 100


def test_a_session_ends_when_it_is_told_to() -> None:
    typed = iter(["he", "lp\rnothing\r\nex", "", "it\rlog\r", "help\r"])
    lasted_ms, _, written = hold(lambda now_ms: next(typed))
    assert lasted_ms < 5000
    assert written[0] == "console; try help"
    assert any(line.startswith("identity ") for line in written)
    assert "error unknown_command" in written
    assert written[-1] == "ok"
    assert next(typed) == "help\r"
