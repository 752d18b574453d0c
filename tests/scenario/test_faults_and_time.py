# SPDX-License-Identifier: MIT
"""What a node must survive: the fault table, row by row, and time that jumps, wraps and is lost.

Rows that have tests of their own: power cut at any byte (tests/powerloss), corrupt configuration
(test_config.py, test_command_fuzz.py), I2C stuck and sensors missing chip by chip (tests/chips,
test_bus_recovery.py). Interrupted updates are not part of the firmware. Required everywhere: recovery within
60 virtual seconds of what went wrong being over, no wait without end, no record lost or stored twice.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from communode.node.app.guard import WATCHDOG_MS
from communode.node.codec.status import F_PORT as STATUS_PORT
from communode.virtual.bootable import read_partitions
from field import DAY_US, HOUR_US, MINUTE_US, SECOND_US, Field, FieldNode, Plan

QUIET = Plan(changes=(("alarms", ()),))
YEAR_S = 31_557_600


@pytest.fixture
def field(micropython: str, tmp_path: Path) -> Iterator[Field]:
    with Field(tmp_path) as made:
        yield made


def _all_delivered(field: Field, node: FieldNode) -> None:
    taken = node.journal().next_id
    assert taken > 0
    numbers = [number for number, _ in field.times(node)]
    assert len(numbers) == len(set(numbers))
    assert set(range(taken - 1)) <= set(numbers), sorted(set(range(taken)) - set(numbers))


# --- memories -----------------------------------------------------------------------------------------


def test_rtc_memory_of_any_content_is_only_a_cache(field: Field) -> None:
    node = field.add(QUIET)
    field.run(HOUR_US)
    whole = node.body.rtc.memory
    for number, content in enumerate(
        (b"", b"\0" * len(whole), whole[:-1], whole[:40] + b"\xff" + whole[41:])
    ):
        node.body.rtc.memory = content
        field.run((2 + number) * HOUR_US)
    _all_delivered(field, node)
    assert node.journal().next_id >= 5 * 6 - 2


def test_a_power_loss_keeps_records_session_and_counters(field: Field) -> None:
    node = field.add(QUIET)
    for hour in (1, 2, 3):
        field.at(hour * HOUR_US + 7 * MINUTE_US, lambda: field.power_cycle(node))
    field.run(4 * HOUR_US)
    counters = [sent.payload[6:8] for sent in field.frames(node) if sent.payload[0] in (0x40, 0x80)]
    assert len(counters) == len(set(counters))  # never used twice
    assert sum(sent.payload[0] == 0 for sent in field.frames(node)) == 1  # joined once
    _all_delivered(field, node)


def test_a_corrupt_file_system_leaves_keys_records_and_states_to_the_host(field: Field) -> None:
    node = field.add(QUIET)
    field.run(HOUR_US)
    taken = node.journal().next_id
    vfs = next(part for part in read_partitions(node.flash) if part.label == "vfs")
    for block in (0, 1):
        node.flash.erase(vfs.offset + block * 4096, 4096)
        node.flash.program(vfs.offset + block * 4096, bytes(4096))
    before = {
        part.label: node.flash.read(part.offset, part.size)
        for part in read_partitions(node.flash)
        if part.label in ("nvs", "state", "journal")
    }
    node.body.boot(1)
    for _ in range(100):  # it says so again and again, and asks for nothing any more
        field.kernel._serve_arrived(0.1)
        if "corrupted" in node.console():
            break
    node.body.halt()
    assert "corrupted" in node.console()
    for part in read_partitions(node.flash):
        if part.label in before:
            assert node.flash.read(part.offset, part.size) == before[part.label], part.label
    assert node.journal().next_id == taken


# --- chips --------------------------------------------------------------------------------------------

SENSORS = ("ds18b20", "ads1115", "pcf8593")


@pytest.mark.parametrize("absent", [some for n in (1, 2, 3) for some in itertools.combinations(SENSORS, n)])
def test_whatever_sensor_is_absent_the_others_are_recorded(field: Field, absent: tuple[str, ...]) -> None:
    plan = Plan(profile="water", changes=(("alarms", ()),))
    node = field.add(plan, faults=dict.fromkeys(absent, "absent"))
    field.run(HOUR_US)
    quantities = {"ds18b20": "water_temperature", "ads1115": "water_level", "pcf8593": "water_volume"}
    rows = field.readings.rows(node.dev_eui)
    for driver, quantity in quantities.items():
        values = [row[3] for row in rows if row[2] == quantity]
        assert values
        assert all((value is None) == (driver in absent) for value in values), (driver, values)
    _all_delivered(field, node)


@pytest.mark.parametrize("pin", ["BUSY", "DIO1"])
def test_a_radio_that_hangs_costs_no_record_and_is_reset(field: Field, pin: str) -> None:
    node = field.add(QUIET)
    field.run(HOUR_US)
    radio = node.body.radio
    level, real = (1, radio.pin) if pin == "BUSY" else (0, radio.pin)
    hang = True

    def stuck(name: str) -> int:
        return level if hang and name == pin else real(name)

    radio.pin = stuck  # type: ignore[method-assign]
    field.run(2 * HOUR_US)
    assert node.journal().next_id >= 12  # recorded all the same
    hang = False
    begun = len(field.frames(node))
    field.run(2 * HOUR_US + 11 * MINUTE_US)
    assert len(field.frames(node)) > begun  # with the first waking after it
    field.run(8 * HOUR_US)
    _all_delivered(field, node)
    assert all(cause in (1, 4) for _, cause in node.body.boots)  # no watchdog, no panic


def test_each_duty_that_hangs_is_ended_by_the_watchdog(field: Field) -> None:
    for number, (module, owner, name) in enumerate(
        [("node.app.cycle", "Cycle", "sample"), ("node.lorawan.runner", "Runner", "send")]
    ):
        main = f"""
import pack
pack.mount()
import hardware, time
from node.app.cycle import run
from node.app.wiring import wire
from machine import reset_cause
import {module}
if reset_cause() == 1:
    def hang(self, *given, **named):
        while True:
            time.sleep_ms(1000)
            reset_cause()
            __import__("os").urandom(1)
    {module}.{owner}.{name} = hang
run(wire(hardware))
"""
        node = field.add(Plan(changes=(("alarms", ()),), main=main))
        field.run((number + 1) * HOUR_US)
        resets = [time_us for time_us, cause in node.body.boots if cause == 3]
        assert len(resets) == 1, node.console()[-800:]
        begun = node.body.boots[0][0]
        assert resets[0] - begun <= (WATCHDOG_MS + 60_000) * 1000
        assert node.journal().next_id >= 4


# --- starts, battery ----------------------------------------------------------------------------------


def test_a_program_that_never_finishes_a_waking_is_braked(field: Field) -> None:
    main = """
import pack
pack.mount()
import hardware
from node.app.cycle import Cycle, run
from node.app.wiring import wire
def fail(self):
    raise ValueError("as a broken program does")
Cycle.run = fail
run(wire(hardware))
"""
    node = field.add(Plan(changes=(("alarms", ()),), main=main))
    field.run(DAY_US)
    starts = [time_us for time_us, _ in node.body.boots]
    gaps_s = [(after - before) // SECOND_US for before, after in itertools.pairwise(starts)]
    assert max(gaps_s[:3]) < 60  # some tries are free
    assert max(gaps_s) >= 3 * 3600
    assert len(starts) < 60


def test_a_low_battery_is_spared_and_a_full_one_works_again(field: Field) -> None:
    node = field.add(QUIET)
    field.override(node, "battery_v", 3.9)
    field.run(HOUR_US)
    field.override(node, "battery_v", 3.2)
    sent, taken = len(field.frames(node)), node.journal().next_id
    field.run(4 * HOUR_US)
    assert len(field.frames(node)) <= sent + 1
    assert 2 <= node.journal().next_id - taken <= 5
    field.override(node, "battery_v", 3.9)
    field.run(9 * HOUR_US)
    assert len(field.frames(node)) > sent + 10
    _all_delivered(field, node)


def test_a_status_comes_every_day_and_tells_what_happened(field: Field) -> None:
    node = field.add(QUIET)
    field.at(HOUR_US // 2, lambda: field.power_cycle(node))
    field.run(3 * DAY_US)
    assert 3 <= len(field.payloads(node, STATUS_PORT)) <= 4
    status = field.application.status.newest(node.dev_eui)
    assert status is not None
    assert field.application.rejected == []


# --- time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("years", [10, -10, 30])
def test_a_jump_of_years_moves_stamps_and_nothing_else(field: Field, years: int) -> None:
    node = field.add(QUIET)
    field.run(DAY_US // 2)
    field.gateway._epoch_unix_s += years * YEAR_S
    field.run(DAY_US + HOUR_US)
    times = [time for _, time in field.times(node) if time is not None]
    assert times[0].startswith("2026-03-02")
    assert times[-1].startswith(str(2026 + years))
    assert 145 <= node.journal().next_id <= 155  # the plan goes by node time
    spent = [sent.end_us - sent.start_us for sent in field.frames(node)]
    assert sum(spent) <= 30_000_000  # nothing was refunded
    _all_delivered(field, node)


def test_the_thirty_second_bit_of_unix_time_is_no_event(field: Field) -> None:
    start = datetime(2038, 1, 19, 3, 0, tzinfo=UTC)
    field.gateway._epoch_unix_s = start.timestamp()
    node = field.add(QUIET)
    field.run(HOUR_US)
    times = [datetime.fromisoformat(time) for _, time in field.times(node) if time is not None]
    assert len(times) >= 6
    assert all(abs(time - start) <= timedelta(hours=1, seconds=5) for time in times)
    steps = [after - before for before, after in itertools.pairwise(times)]
    assert all(timedelta(seconds=590) <= step <= timedelta(seconds=610) for step in steps[1:])


@pytest.mark.parametrize("period_us", [1 << 30, (1 << 30) * 1000])  # of ticks_us, of ticks_ms
def test_ticks_that_wrap_are_no_event(field: Field, period_us: int) -> None:
    begin_us = period_us - 20 * SECOND_US
    node = field.add(
        Plan(profile="air", changes=(("alarms", ()), ("stays_awake", True), ("interval_s", 120)))
    )
    node.body.boots.append((0, 0))  # it is switched on below
    field.kernel.current_us = begin_us
    field.at(begin_us, node.body.power_on)
    field.run(begin_us + 30 * MINUTE_US)
    assert [cause for _, cause in node.body.boots[1:]] == [1]
    assert node.journal().next_id >= 14
    assert field.stored(node) >= 13


def test_records_of_a_power_on_that_never_learned_the_time_are_told_without_one(field: Field) -> None:
    field.gateway.outages.append((0, HOUR_US))
    node = field.add(QUIET)
    field.at(HOUR_US // 2, lambda: field.power_cycle(node))
    field.run(14 * HOUR_US)
    times = dict(field.times(node))
    assert times[0] is None  # of before the power loss
    assert times[max(times)] is not None
    _all_delivered(field, node)


def test_a_flash_that_is_full_goes_round_and_keeps_the_newest(field: Field) -> None:
    node = field.add(QUIET)
    journal = next(part for part in read_partitions(node.flash) if part.label == "journal")
    # As after months: every sector but one is full of old records that nobody acknowledged.
    from communode.node.storage.crc import crc32

    for sector in range(journal.size // 4096 - 1):
        image = b""
        for slot in range(128):
            number = sector * 128 + slot
            head = struct.pack("<IBB", number | 7 << 24, 0, 1) + bytes([21]) + bytes(21)
            image += head + struct.pack("<I", crc32(head))
        node.flash.program(journal.offset + sector * 4096, image)
    old = node.journal().next_id
    field.run(3 * HOUR_US)
    assert node.journal().next_id >= old + 18
    assert len([number for number, _ in field.times(node) if number >= old]) >= 17
