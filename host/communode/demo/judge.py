# SPDX-License-Identifier: MIT
"""Compares every stored value with the world at its instant.

A value passes when the world took a value within the sensor's stated error at some moment of the time stamp's
uncertainty. Values that the node itself marked as not good are counted apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from communode.demo.town import Town, TownNode
from communode.node.schema.quantities import QUANTITIES
from communode.virtual.chips import TRUTH, tolerance

# A sampling takes a while (an SPS30 warms up for 30 s, and averages); the stamp is its end.
_SAMPLING_S = 60


@dataclass
class Verdict:
    """What the comparison found."""

    compared: int = 0
    marked: int = 0  # values that the node itself calls not good
    timeless: int = 0  # records whose node never learned the time
    wrong: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every value was right."""
        return self.compared > 0 and not self.wrong


def judge_town(town: Town) -> Verdict:
    """Judge all nodes of a town whose day is over."""
    verdict = Verdict()
    for node in town.nodes:
        _judge_node(town, node, verdict)
    return verdict


def _judge_node(town: Town, node: TownNode, verdict: Verdict) -> None:
    steps = {facts[0]: facts[4] / facts[2] for facts in QUANTITIES.values()}
    for record_id, time_utc, quantity, value, unit, quality, uncertainty_s in town.readings.rows(
        node.dev_eui
    ):
        if time_utc is None:
            verdict.timeless += 1
            continue
        if quality != "good" or value is None:
            verdict.marked += 1
            continue
        verdict.compared += 1
        stamp = datetime.fromisoformat(time_utc)
        since = stamp - town.world.start_utc
        begin = since - timedelta(seconds=uncertainty_s + _SAMPLING_S)
        end = since + timedelta(seconds=uncertainty_s + 1)
        series = TRUTH[quantity][0]
        low, high = node.world.value_range(
            series, max(0, round(begin.total_seconds() * 1e6)), round(end.total_seconds() * 1e6)
        )
        rounding = steps[quantity] / 2
        least = low - tolerance(quantity, low) - rounding
        most = high + tolerance(quantity, high) + rounding
        if not least <= value <= most:
            verdict.wrong.append(
                f"{node.dev_eui} record {record_id} {quantity} = {value} {unit} at {time_utc}: "
                f"the world was {low:.3f}..{high:.3f}, allowed {least:.3f}..{most:.3f}"
            )
