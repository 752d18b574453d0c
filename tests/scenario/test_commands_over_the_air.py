# SPDX-License-Identifier: MIT
"""Commands that travel: from the owner through network server and air into the node, and its answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from communode import commands
from communode.lns.session import Downlink
from communode.node.codec.command import F_PORT
from communode.node.storage.state import StateLog
from communode.virtual.medium import Transmission
from field import DAY_US, HOUR_US, MINUTE_US, SECOND_US, Field, FieldNode, Plan

STATE_CONFIG = 3
LATE = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def field(micropython: str, tmp_path: Path) -> Iterator[Field]:
    with Field(tmp_path) as made:
        yield made


def _config(node: FieldNode) -> bytes | None:
    log: StateLog = node.state()
    return log.load(STATE_CONFIG)


def _accepted(field: Field, node: FieldNode, until_us: int) -> list[tuple[int, str]]:
    field.run(until_us)
    return [(counter, code) for counter, code, _ in field.answers(node)]


def test_an_interval_is_set_answered_and_kept_over_a_power_loss(field: Field) -> None:
    node = field.add()
    field.at(HOUR_US, lambda: field.command(node, [commands.interval(120)]))
    assert _accepted(field, node, 2 * HOUR_US) == [(1, "ok")]
    before = node.journal().next_id
    assert 6 + 20 <= before <= 6 + 32
    field.at(2 * HOUR_US + MINUTE_US, lambda: field.power_cycle(node))
    field.run(3 * HOUR_US)
    assert 28 <= node.journal().next_id - before <= 32
    # 30 s of airtime a day are a frame in five minutes: up to three records wait for the next one.
    assert field.stored(node) >= node.journal().next_id - 3


def test_an_alarm_that_is_set_goes_off_and_one_that_is_switched_off_does_not(field: Field) -> None:
    node = field.add()
    parts = [commands.alarm("above.tilt=1/0.5/0"), commands.alarm_off("above.fill_level")]
    field.command(node, parts)
    assert _accepted(field, node, 2 * HOUR_US) == [(1, "ok")]
    assert field.application.alarms.open(node.dev_eui).keys() == {"above.tilt"}


def test_a_reboot_is_done_once(field: Field) -> None:
    node = field.add()
    field.at(HOUR_US, lambda: field.command(node, [commands.REBOOT]))
    assert _accepted(field, node, 3 * HOUR_US) == [(1, "ok")]
    assert [cause for _, cause in node.body.boots].count(2) == 1
    assert field.stored(node) == node.journal().next_id


def test_a_rejoin_gives_a_new_session(field: Field) -> None:
    node = field.add()
    field.run(HOUR_US)
    old = field.store.session(node.dev_eui)
    field.command(node, [commands.REJOIN])
    assert _accepted(field, node, 3 * HOUR_US) == [(1, "ok")]
    new = field.store.session(node.dev_eui)
    assert old is not None
    assert new is not None
    assert new.dev_addr != old.dev_addr or new.nwk_s_key != old.nwk_s_key
    assert sum(sent.payload[0] == 0 for sent in field.frames(node)) == 2
    assert field.stored(node) == node.journal().next_id


def test_a_self_test_names_the_sensor_that_is_gone(field: Field) -> None:
    node = field.add(Plan(), faults={"lis3dh": "absent"})
    field.at(HOUR_US, lambda: field.command(node, [commands.SELF_TEST]))
    field.run(2 * HOUR_US)
    assert field.answers(node) == [(1, "ok", ()), (1, "self_tested", ("sensor_1",))]


def test_records_of_a_time_span_are_sent_again(field: Field) -> None:
    node = field.add()
    field.run(4 * HOUR_US)
    database = field.readings.database
    with database:
        database.execute("DELETE FROM readings")
        database.execute("DELETE FROM records")
    begin = field.world.start_utc + timedelta(hours=1)
    span = f"{begin.isoformat()}/{(begin + timedelta(hours=1)).isoformat()}"
    field.command(node, [commands.records(span)])
    field.run(5 * HOUR_US)
    wanted = [number for number, time in field.times(node) if time and "T01:0" <= time[10:15] < "T02:0"]
    assert len(wanted) >= 6


def test_a_calibration_shifts_what_is_recorded_from_then_on(field: Field) -> None:
    node = field.add(Plan(profile="water_quality"))
    field.override(node, "ph", 7.0)
    field.run(HOUR_US)
    field.command(node, [commands.two_point("ph=7.0:7.5,9.0:9.5", LATE)])
    assert _accepted(field, node, 3 * HOUR_US) == [(1, "ok")]
    rows = [row for row in field.readings.rows(node.dev_eui) if row[2] == "ph" and row[3] is not None]
    assert rows[0][3] == pytest.approx(7.0, abs=0.15)
    assert rows[-1][3] == pytest.approx(7.5, abs=0.15)


def test_a_configuration_that_cuts_the_node_off_reverts(field: Field) -> None:
    node = field.add()
    field.at(HOUR_US, lambda: field.command(node, [commands.interval(60)]))

    def cut_off(sent: Transmission) -> None:
        """From the command's downlink on nobody is heard any more, as if the settings had done it."""
        if sent.source == "gateway" and sent.start_us > HOUR_US and not field.gateway.outages:
            field.gateway.outages.append((sent.end_us + SECOND_US, 3 * HOUR_US))

    field.air.subscribe(cut_off)
    field.run(3 * HOUR_US)
    taken = node.journal().next_id
    assert 6 + 20 <= taken <= 6 + 24 + 14  # the trial at 60 s, then at 600 s again
    field.run(14 * HOUR_US)
    assert node.journal().next_id - taken <= 6 * 11 + 2
    codes = [code for _, code, _ in field.answers(node)]
    assert "reverted" in codes
    assert field.stored(node) == node.journal().next_id


def test_what_is_replayed_forged_expired_or_torn_changes_nothing(field: Field) -> None:
    node = field.add()
    good = b""

    def first() -> None:
        nonlocal good
        good = field.command(node, [commands.interval(900)])

    def attack() -> None:
        flipped = bytearray(good)
        flipped[5] ^= 1
        field.command(node, [commands.interval(60)], counter=9, key=bytes(16))
        forged = node.pending.pop().payload
        old = datetime(2026, 3, 1, tzinfo=UTC)
        field.command(node, [commands.interval(60)], counter=10, now=old, valid=timedelta(hours=1))
        expired = node.pending.pop().payload
        parts = [commands.ask_after(5), commands.two_point("ph=1:2,3:4", LATE)]  # there is no such sensor
        field.command(node, parts, counter=11)
        impossible = node.pending.pop().payload
        hostile = (good, bytes(flipped), good[:-1], good[:9], b"\x01", forged, expired, impossible)
        for number, payload in enumerate(hostile):
            downlink = Downlink(F_PORT, payload)
            field.at((3 + number) * HOUR_US + 1, lambda downlink=downlink: node.pending.append(downlink))

    field.at(HOUR_US, first)
    field.run(3 * HOUR_US)
    before = _config(node)
    assert before is not None
    attack()
    field.run(12 * HOUR_US)
    assert node.pending == []
    codes = [code for _, code, _ in field.answers(node)]
    assert codes[0] == "ok"
    assert set(codes[1:]) <= {"replay", "bad_mac", "malformed", "expired", "out_of_range"}
    assert {"replay", "bad_mac", "expired", "out_of_range"} <= set(codes)
    assert _config(node) == before
    assert field.stored(node) == node.journal().next_id


def test_a_day_with_commands_stays_within_ten_downlinks(field: Field) -> None:
    node = field.add(Plan(changes=(("alarms", ()),)))
    field.at(HOUR_US, lambda: field.command(node, [commands.interval(300)]))
    field.run(DAY_US)
    answers = [sent for sent in field.sent if sent.source == "gateway"]
    assert len(answers) <= 10 + 1 + 1 + 1  # the join's accept, the command, LinkADRReq: nobody asked for them
