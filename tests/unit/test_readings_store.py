# SPDX-License-Identifier: MIT
"""From a payload to rows: units, times and qualities; each record once; what is said to be missing."""

from __future__ import annotations

import base64
import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from communode.errors import CommunodeError
from communode.ingest.application import Application, bridge_runs
from communode.ingest.readings import Reading, ReadingStore, Record, decode_readings, quantities_of
from communode.node.codec import downlink, uplink
from communode.node.codec.record import UNSYNCED, pack_record, pack_values
from communode.node.schema.quantities import BATTERY, GOOD, STALE, WATER_LEVEL, WATER_TEMPERATURE
from hypothesis import given
from hypothesis import strategies as st

NODE, OTHER = "0011223344556677", "8899aabbccddeeff"
WATER = 2
SUMMER = int((datetime(2026, 7, 1, 12, 30, tzinfo=UTC) - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds())


def payload(*numbers: int, generation: int = 7, floor: int | None = None, flags: int = 3) -> bytes:
    """An uplink of the water profile; record n is taken n minutes after SUMMER."""
    writer = uplink.UplinkWriter(WATER, generation, floor or 0, 242, floor is not None)
    values: dict[int, tuple[int | None, int]] = {
        WATER_TEMPERATURE: (12350, GOOD),
        WATER_LEVEL: (-120, STALE),
        BATTERY: (3710, GOOD),
    }
    for number in numbers:
        body = pack_values(quantities_of(WATER), values)
        assert writer.add(number, pack_record(SUMMER + 60 * number, flags, body))
    return writer.to_bytes()


def event(data: bytes, f_port: int = uplink.F_PORT) -> dict[str, Any]:
    """An ``up`` event as ChirpStack v4 has it."""
    return {
        "deviceInfo": {"devEui": NODE},
        "fPort": f_port,
        "data": base64.b64encode(data).decode(),
        "time": "2026-07-01T12:30:00Z",
    }


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReadingStore]:
    store = ReadingStore(tmp_path / "readings.sqlite")
    yield store
    store.close()


def fill(store: ReadingStore, numbers: list[int], generation: int = 7, dev_eui: str = NODE) -> int:
    """Store bare records."""
    return store.add(dev_eui, [Record(generation, number, None, 1, ()) for number in numbers])


# Decoding


def test_values_come_in_units_with_time_and_quality() -> None:
    report = decode_readings(payload(5, 4, floor=2))
    assert (report.profile, report.generation, report.newest, report.floor) == ("water", 7, 5, 2)
    first, second = report.records
    assert (first.number, first.record_id, first.uncertainty_s) == (5, 7 << 24 | 5, 8)
    assert first.time == datetime(2026, 7, 1, 12, 35, tzinfo=UTC)
    assert second.time == datetime(2026, 7, 1, 12, 34, tzinfo=UTC)
    assert first.readings == (
        Reading("water_temperature", 12.35, "degC", "good"),
        Reading("water_level", -0.12, "m", "stale"),
        Reading("water_volume", None, "L", "absent"),
        Reading("battery", 3.71, "V", "good"),
    )


def test_a_record_of_a_node_that_does_not_know_the_time_has_none() -> None:
    assert decode_readings(payload(5, flags=UNSYNCED)).records[0].time is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "payload too short"),
        (payload(5)[:-1], "payload too short"),
        (payload(5) + b"\0", "payload too long"),
        (b"\x40" + payload(5)[1:], "unknown payload version"),
        (b"\x20\xf9" + payload(5)[2:], "unknown profile 249"),
    ],
)
def test_what_is_no_readings_payload_is_a_clear_error(data: bytes, reason: str) -> None:
    with pytest.raises(CommunodeError) as caught:
        decode_readings(data)
    assert caught.value.code == "payload.bad"
    assert reason in caught.value.message


@given(st.binary(max_size=80))
def test_noise_is_never_more_than_an_error(noise: bytes) -> None:
    for data in (noise, b"\x20\x02" + noise, b"\x30\x01" + noise):
        with contextlib.suppress(CommunodeError):
            decode_readings(data)


# Storing


def test_a_record_is_a_row_for_each_quantity(tmp_path: Path) -> None:
    path = tmp_path / "readings.sqlite"
    with contextlib.closing(ReadingStore(path)) as store:
        assert store.add(NODE, decode_readings(payload(5)).records) == 1
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT * FROM readings").fetchall()
    stamp, record_id = "2026-07-01T12:35:00Z", 7 << 24 | 5
    assert sorted(rows) == [
        (NODE, record_id, stamp, "battery", 3.71, "V", "good"),
        (NODE, record_id, stamp, "water_level", -0.12, "m", "stale"),
        (NODE, record_id, stamp, "water_temperature", 12.35, "degC", "good"),
        (NODE, record_id, stamp, "water_volume", None, "L", "absent"),
    ]
    assert not (tmp_path / "readings.sqlite-wal").exists()


def test_a_record_that_comes_again_changes_nothing(store: ReadingStore) -> None:
    assert store.add(NODE, decode_readings(payload(5, 4)).records) == 2
    before = store.rows(NODE)
    assert store.add(NODE, decode_readings(payload(5, 4)).records) == 0
    assert store.add(NODE, decode_readings(payload(6, 5, flags=UNSYNCED)).records) == 1
    assert store.rows(NODE)[: len(before)] == before
    assert store.count(NODE) == 3


def test_a_wiped_node_and_another_node_are_not_taken_for_repeats(store: ReadingStore) -> None:
    assert store.add(NODE, decode_readings(payload(5)).records) == 1
    assert store.add(NODE, decode_readings(payload(5, generation=8)).records) == 1
    assert store.add(OTHER, decode_readings(payload(5)).records) == 1
    assert (store.count(NODE), store.count(OTHER)) == (2, 1)


def test_records_are_stored_together_or_not_at_all(store: ReadingStore) -> None:
    whole = Record(7, 1, None, 1, (Reading("co2", 400.0, "ppm", "good"),))
    twice = Record(7, 2, None, 1, (Reading("co2", 1.0, "ppm", "good"), Reading("co2", 2.0, "ppm", "good")))
    with pytest.raises(sqlite3.IntegrityError):
        store.add(NODE, [whole, twice])
    assert store.count(NODE) == 0
    assert store.rows(NODE) == []


# What is missing


@pytest.mark.parametrize(
    ("stored", "floor", "newest", "answer"),
    [
        ([], 0, 0, (0, [(0, 1)])),
        ([0], 0, 0, (1, [])),
        ([0, 1, 2, 3], 0, 3, (4, [])),
        ([3], 0, 3, (0, [(2, 3)])),
        ([0, 3, 4, 7], 0, 9, (1, [(9, 2), (6, 2), (2, 2)])),
        ([7], 5, 9, (5, [(9, 2), (6, 2)])),  # below the floor is nobody's business
        ([0, 1, 2], 3, 2, (3, [])),
    ],
)
def test_missing_records_are_named_as_runs_newest_first(
    store: ReadingStore, stored: list[int], floor: int, newest: int, answer: object
) -> None:
    fill(store, stored)
    fill(store, [1, 5, 8], generation=8)
    fill(store, [1, 5, 8], dev_eui=OTHER)
    assert store.missing(NODE, 7, floor, newest) == answer


@given(st.sets(st.integers(0, 60)), st.integers(0, 60), st.integers(0, 60))
def test_the_runs_are_exactly_what_is_missing(stored: set[int], floor: int, newest: int) -> None:
    with contextlib.closing(ReadingStore(Path(":memory:"))) as store:
        fill(store, sorted(stored))
        base, runs = store.missing(NODE, 7, floor, newest)
    named = [number for first, count in runs for number in range(first, first - count, -1)]
    missing = sorted(set(range(floor, newest + 1)) - stored, reverse=True)
    assert named == missing
    assert base == (missing[-1] if missing else newest + 1)


def test_a_wild_floor_costs_nothing(store: ReadingStore) -> None:
    fill(store, [0xFFFFFF])
    assert store.missing(NODE, 7, 0, 0xFFFFFF) == (0, [(0xFFFFFE, 0xFFFFFF)])


# The application


def test_a_node_that_asks_is_told_what_is_missing(store: ReadingStore) -> None:
    application = Application(store)
    assert application.take(event(payload(3))) is None
    answer = application.take(event(payload(9, 8, floor=2)))
    assert answer is not None
    assert answer.f_port == downlink.F_PORT
    assert downlink.decode_acknowledgement(answer.payload) == (7, 2, 7, [(7, 4), (2, 1)])


def test_where_much_is_missing_what_lies_closest_together_is_named_as_one(store: ReadingStore) -> None:
    application = Application(store)
    kept = [number for number in range(200) if number % 20 not in (3, 7, 14)]
    fill(store, kept)
    answer = application.take(event(payload(200, floor=0)))
    assert answer is not None
    _, base, top, runs = downlink.decode_acknowledgement(answer.payload)
    assert (base, top) == (3, 194)
    assert len(runs) == 15  # of 30, and every missing record is in one of them
    assert runs[:3] == [(194, 12), (174, 12), (154, 12)]
    assert runs[5:] == [run for score in range(80, -1, -20) for run in ((score + 14, 1), (score + 7, 5))]


@given(st.sets(st.integers(0, 2000), min_size=1, max_size=300))
def test_bridges_name_all_that_is_missing_and_are_no_longer_than_needed(missing: set[int]) -> None:
    runs: list[tuple[int, int]] = []
    for number in sorted(missing, reverse=True):
        newest, count = runs.pop() if number + 1 in missing else (number, 0)
        runs.append((newest, count + 1))
    named: set[int] = set()
    bridged = bridge_runs(runs)
    below = 3000
    for newest, count in bridged:
        assert newest < below - 1
        below = newest - count + 1
        named |= set(range(below, newest + 1))
    assert missing <= named
    assert all(missing & set(range(number - 12, number + 13)) for number in named)
    base = min(missing)
    answer = downlink.encode_acknowledgement(1, base, bridged)
    if downlink.decode_acknowledgement(answer)[3] == bridged != runs:
        assert downlink.decode_acknowledgement(downlink.encode_acknowledgement(1, base, runs))[3] != runs


def test_an_unreadable_payload_is_noted_and_stores_nothing(store: ReadingStore) -> None:
    application = Application(store)
    assert application.take(event(payload(3, floor=0)[:-1])) is None
    assert store.count(NODE) == 0
    assert len(application.rejected) == 1
    assert application.rejected[0].startswith(NODE)


def test_other_ports_are_not_readings(store: ReadingStore) -> None:
    application = Application(store)
    assert application.take(event(payload(3, floor=0), f_port=77)) is None
    assert store.count(NODE) == 0
