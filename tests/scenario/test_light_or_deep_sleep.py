# SPDX-License-Identifier: MIT
"""A node that samples often stays in light sleep, one that samples seldom goes to deep sleep: by its currents.

The break-even is 27 s on the virtual board (tests/unit/test_sleep_choice.py); the node is the shipped one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from communode.node.power import budget
from field import MINUTE_US, Field, FieldNode, Plan

# The shipped program, which says how long it takes to begin anew.
_MAIN = """
from time import ticks_us
begun = ticks_us()
import pack
pack.mount()
import hardware
from node.app.cycle import Cycle, run
from node.app.wiring import wire
real, make = Cycle.run, Cycle.make_sender
def timed(self):
    print("begins after", ticks_us() - begun)
    return real(self)
def made(self):
    fresh, at = self.sender is None, ticks_us()
    sender = make(self)
    if fresh:
        print("sender after", ticks_us() - at)
    return sender
Cycle.run, Cycle.make_sender = timed, made
run(wire(hardware))
"""


@pytest.fixture
def field(micropython: str, tmp_path: Path) -> Iterator[Field]:
    with Field(tmp_path) as made:
        yield made


def _live(field: Field, interval_s: int, minutes: int, main: str | None = None) -> FieldNode:
    node = field.add(Plan(changes=(("alarms", ()), ("interval_s", interval_s)), main=main))
    node.stays_awake = interval_s < 20  # no deep sleep ends it: it is to be stopped
    field.run(minutes * MINUTE_US)
    return node


def test_a_short_interval_is_slept_lightly(field: Field) -> None:
    node = _live(field, 15, 30)
    assert [cause for _, cause in node.body.boots] == [1], node.console()[-800:]
    assert node.journal().next_id >= 115
    spent = node.body.ledger.time_us
    assert spent["deep_sleep"] == 0
    assert spent["light_sleep"] > 20 * MINUTE_US


def test_a_long_interval_is_slept_deeply(field: Field) -> None:
    node = _live(field, 60, 30)
    wakings = node.journal().next_id
    assert wakings >= 28
    assert [cause for _, cause in node.body.boots].count(4) >= wakings - 1
    assert node.body.ledger.time_us["deep_sleep"] > 20 * MINUTE_US


def test_beginning_anew_takes_what_the_arithmetic_says(field: Field) -> None:
    node = _live(field, 600, 90, _MAIN)
    begins = [int(us) // 1000 for us in re.findall(r"begins after (\d+)", node.console())][3:]
    senders = [int(us) // 1000 for us in re.findall(r"sender after (\d+)", node.console())][3:]
    boot_ms = node.body.costs["boot"]["wake_ms"]
    assert len(begins) >= 5
    assert max(begins) + boot_ms == pytest.approx(budget.BOOT_MS, rel=0.1)
    # The program is somewhat larger or smaller tomorrow: within a tenth the choice is the same.
    anew_ms = max(begins) + max(senders) + boot_ms - 10
    light, deep = 240, 15
    _, deep_from_ms = budget.sleeps_from_ms({"active": 32_300, "light_sleep": light, "deep_sleep": deep})
    assert deep_from_ms == pytest.approx(anew_ms * 32_300 / (light - deep), rel=0.1)
