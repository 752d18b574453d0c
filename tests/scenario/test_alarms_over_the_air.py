# SPDX-License-Identifier: MIT
"""An alarm's whole life over the virtual air: raised by a chip, told at once and confirmed, latched, acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from communode.node.codec.alarm import F_PORT
from communode.node.lorawan import frame
from field import HOUR_US, MINUTE_US, SECOND_US, Field, FieldNode, Plan

HOLD_OFF_S = 500  # profiles/bin.toml
INTERVAL_S = 600
TILT = Plan(changes=(("alarms", ((13, 7, 600, 150, HOLD_OFF_S),)),))


@pytest.fixture
def field(micropython: str, tmp_path: Path) -> Iterator[Field]:
    with Field(tmp_path) as made:
        yield made


def _states(field: Field, node: FieldNode) -> list[str]:
    return [row[2] for row in field.application.alarms.rows(node.dev_eui)]


def _alarm_frames_us(field: Field, node: FieldNode) -> list[int]:
    """When the node began to send its confirmed alarm frames."""
    found = []
    for sent in field.frames(node):
        at = 8 + (sent.payload[5] & 15)
        if sent.payload[0] & 0xE0 == frame.CONFIRMED_UP and sent.payload[at] == F_PORT:
            found.append(sent.start_us)
    return found


def test_an_alarm_is_told_at_once_confirmed_and_latched_until_somebody_acknowledges_it(field: Field) -> None:
    node = field.add(TILT)
    field.run(HOUR_US)
    assert _states(field, node) == []
    field.override(node, "tilt_deg", 85.0)
    field.run(2 * HOUR_US)
    (told_us,) = _alarm_frames_us(field, node)  # one frame was enough: it was confirmed
    assert told_us - HOUR_US <= (INTERVAL_S + HOLD_OFF_S + 15) * SECOND_US
    assert _states(field, node) == ["active"]
    assert len(field.application.alarms.open(node.dev_eui)) == 1

    field.override(
        node, "tilt_deg", 2.0
    )  # over, and nobody has acknowledged it: it stays, through a power loss
    field.run(3 * HOUR_US)
    assert _states(field, node) == ["active", "latched"]
    field.at(3 * HOUR_US + MINUTE_US, lambda: field.power_cycle(node))
    field.run(4 * HOUR_US)
    (name,) = field.application.alarms.open(node.dev_eui)

    field.application.acknowledge(node.dev_eui, name)
    field.run(6 * HOUR_US)
    assert field.application.alarms.open(node.dev_eui) == {}
    assert _states(field, node)[-1] == "idle"
    field.run(14 * HOUR_US)  # and there it ends: nothing is told again
    assert _states(field, node)[-1] == "idle"
    assert len(_states(field, node)) <= 4


def test_an_alarm_that_nobody_heard_is_told_until_somebody_does(field: Field) -> None:
    node = field.add(TILT)
    field.run(HOUR_US)
    outage_us = (field.kernel.now_us(), 3 * HOUR_US)
    field.gateway.outages.append(outage_us)
    field.override(node, "tilt_deg", 85.0)
    field.run(3 * HOUR_US)
    assert _states(field, node) == []
    assert 3 <= len(_alarm_frames_us(field, node)) <= 12  # it insists, and does not fill the air
    field.run(5 * HOUR_US)
    assert _states(field, node)[:1] == ["active"]


def test_an_alarm_survives_the_power_loss_that_comes_before_its_telling(field: Field) -> None:
    node = field.add(TILT)
    field.run(HOUR_US)
    field.gateway.outages.append((field.kernel.now_us(), 2 * HOUR_US))
    field.override(node, "tilt_deg", 85.0)
    field.run(2 * HOUR_US - 5 * MINUTE_US)
    assert _alarm_frames_us(field, node)
    field.override(node, "tilt_deg", 2.0)
    field.at(field.kernel.now_us() + 1, lambda: field.power_cycle(node))
    field.run(4 * HOUR_US)
    assert _states(field, node)  # it was there, and is told although it is over
    assert len(field.application.alarms.open(node.dev_eui)) == 1
