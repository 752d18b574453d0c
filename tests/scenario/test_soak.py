# SPDX-License-Identifier: MIT
"""A node that stays awake for weeks: its heap neither grows nor falls to pieces, and no record is lost.

The heap is the virtual board's, sized so that it holds what the 177 000 free bytes of an ESP32-C3 hold (objects
of the 64-bit port are twice as large). The node itself measures, after a collection: what is in use, and the
largest block that can be had, found by trying.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from field import DAY_US, Field, Plan
from nightly import Nightly

MOST_DRIFT_PCT = 1.0
LEAST_BLOCK_PCT = 90.0

# The shipped program; every 36 runs of the cycle (six hours) it prints what the heap looks like.
_MAIN = """
import pack
pack.mount()
import hardware
from node.app.cycle import Cycle, run
from node.app.wiring import wire
import gc
real, count = Cycle.run, [0]

def largest():
    low, high = 0, 400000
    while high - low > 64:
        middle = (low + high) // 2
        try:
            bytearray(middle)
            low = middle
        except MemoryError:
            high = middle
    return low

def measured(self):
    wait_ms = real(self)
    count[0] += 1
    if count[0] % 36 == 0:
        gc.collect()
        gc.collect()
        used = gc.mem_alloc()
        print("heap", used, largest())
        gc.collect()
    return wait_ms

Cycle.run = measured
run(wire(hardware))
"""


def _soak(folder: Path, days: float, seed: int) -> dict[str, Any]:
    plan = Plan(
        profile="bin",
        changes=(("alarms", ()), ("stays_awake", True), ("interval_s", 600)),
        main=_MAIN,
    )
    with Field(folder, loss=0.02, seed=seed) as field:
        node = field.add(plan)
        field.run(int(days * DAY_US))
        causes = [cause for _, cause in node.body.boots]
        assert causes == [1], (causes, node.console()[-1500:])
        taken = node.journal().next_id
        numbers = [number for number, _ in field.times(node)]
        heap = [
            (int(used), int(block)) for used, block in re.findall(r"^heap (\d+) (\d+)", node.console(), re.M)
        ]
    # The first hours import what the first status, answer and time need; from the second day on nothing is new.
    settled = heap[4:] if len(heap) > 8 else heap[1:]
    used, block = settled[0]
    return {
        "days": days,
        "records_taken": taken,
        "records_delivered": len(set(numbers)),
        # The youngest wait for their turn: those that an acknowledgement could name are lost when it did not.
        "records_lost": len(set(range(max(0, taken - 40))) - set(numbers)),
        "duplicates": len(numbers) - len(set(numbers)),
        "heap_drift_pct": round(max(abs(now - used) for now, _ in settled) * 100 / used, 3),
        "largest_block_pct": round(min(now for _, now in settled) * 100 / block, 2),
        "heap_used_bytes": used,
        "largest_block_bytes": block,
        "heap": "64-bit port, 370 000 bytes: holds what 177 000 bytes hold on 32 bits",
    }


def _judge(found: dict[str, Any]) -> None:
    print(found)
    assert found["records_taken"] >= found["days"] * 143
    assert (found["records_lost"], found["duplicates"]) == (0, 0)
    assert found["heap_drift_pct"] <= MOST_DRIFT_PCT
    assert found["largest_block_pct"] >= LEAST_BLOCK_PCT


@pytest.mark.timeout(300)
def test_two_days_awake_leave_the_heap_as_it_was(micropython: str, tmp_path: Path) -> None:
    _judge(_soak(tmp_path, 2.0, 1))


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_thirty_days_awake_leave_the_heap_as_it_was(
    micropython: str, tmp_path: Path, nightly: Nightly
) -> None:
    found = _soak(tmp_path, max(2, 30 * nightly.scale), 2)
    nightly.folder.mkdir(parents=True, exist_ok=True)
    import json

    (nightly.folder / "soak.json").write_text(json.dumps({"schema": 1, **found}, indent=2) + "\n", "utf-8")
    _judge(found)
