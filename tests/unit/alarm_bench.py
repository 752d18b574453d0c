# SPDX-License-Identifier: MIT
"""Small things for the tests of a node's alarms."""

from __future__ import annotations

from communode.node.app.alarms import MAX_SIZE, Alarms
from communode.node.schema.alarms import (
    ABOVE,
    ACTIVE,
)
from communode.node.schema.quantities import (
    CO2,
    GOOD,
)

MIN = 60_000
ROW = (CO2, ABOVE, 1500, 200, 600)


def alarms(*rows: tuple[int, int, int, int, int]) -> Alarms:
    return Alarms(rows)


def states(node: Alarms) -> list[int]:
    return [alarm.state for alarm in node.alarms]


def raised(row: tuple[int, int, int, int, int] = (CO2, ABOVE, 1500, 200, 0), value: int = 1800) -> Alarms:
    node = alarms(row)
    assert len(node.evaluate({row[0]: (value, GOOD)}, 0)) == 1
    assert states(node) == [ACTIVE]
    return node


def again(node: Alarms, now_ms: int, slept: bool = True, later_ms: int | None = None) -> Alarms:
    data = node.to_bytes(now_ms)
    assert len(data) <= MAX_SIZE
    other = Alarms(tuple((a.quantity, a.kind, a.threshold, a.hysteresis, a.hold_off_s) for a in node.alarms))
    assert other.load(data, now_ms if later_ms is None else later_ms, slept)
    return other
