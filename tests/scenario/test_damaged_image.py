# SPDX-License-Identifier: MIT
"""Code that cannot even be imported: the node tries again every minute, lets somebody in, and recovers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from communode.virtual.bootable import read_partitions
from field import HOUR_US, MINUTE_US, SECOND_US, Field, Plan

SECTOR = 4096


@pytest.fixture
def field(micropython: str, tmp_path: Path) -> Iterator[Field]:
    with Field(tmp_path) as made:
        yield made


def test_a_damaged_image_is_tried_every_minute_and_a_mended_one_works_at_once(field: Field) -> None:
    node = field.add(Plan(changes=(("alarms", ()),)))
    field.run(HOUR_US)
    taken = node.journal().next_id
    vfs = next(part for part in read_partitions(node.flash) if part.label == "vfs")
    at = vfs.offset + node.flash.read(vfs.offset, vfs.size).index(b"NPK1")
    sector = at - at % SECTOR
    whole = node.flash.read(sector, SECTOR)
    node.flash.program(at, bytes(4))

    field.run(2 * HOUR_US)
    tries = [time_us for time_us, _ in node.body.boots if time_us > HOUR_US + 11 * MINUTE_US]
    gaps_s = [(after - before) / SECOND_US for before, after in itertools.pairwise(tries)]
    assert len(tries) >= 40
    assert all(60 < gap_s < 70 for gap_s in gaps_s)
    assert "ImportError" in node.console()
    assert {cause for _, cause in node.body.boots} == {1, 4}
    assert node.body.ledger.time_us["active"] < HOUR_US // 6  # five seconds of each minute, for Ctrl-C

    mended_us = field.kernel.now_us()
    node.flash.erase(sector, SECTOR)
    node.flash.program(sector, whole)
    field.run(4 * HOUR_US)
    assert node.journal().next_id >= taken + 12
    assert node.body.boots[-1][0] > mended_us
    assert sum(sent.payload[0] == 0 for sent in field.frames(node)) == 1  # it is joined still
    assert field.stored(node) >= node.journal().next_id - 1
