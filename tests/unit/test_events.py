# SPDX-License-Identifier: MIT
"""The node's security and fault events: counted, told exactly once, never more than their place."""

from __future__ import annotations

import pytest
from communode.node.schema import events as table
from communode.node.schema.event_names import EVENTS
from communode.node.schema.events import BAD_MIC, REPLAY, SENSOR_FAULT, WATCHDOG
from communode.node.storage.events import CAPACITY, MAX_SIZE, Events
from hypothesis import given, settings
from hypothesis import strategies as st


def again(events: Events) -> Events:
    other = Events()
    assert other.load(events.to_bytes())
    return other


def test_every_event_has_a_code_of_its_own_and_a_name() -> None:
    codes = {name: value for name, value in vars(table).items() if name.isupper() and isinstance(value, int)}
    assert sorted(codes.values()) == list(range(1, len(EVENTS)))
    assert all(EVENTS[code] == name.lower() for name, code in codes.items())


def test_an_event_is_counted_by_code_and_detail_with_its_last_time() -> None:
    events = Events()
    events.note(SENSOR_FAULT, 3, 100)
    events.note(SENSOR_FAULT, 4, 110)
    events.note(SENSOR_FAULT, 3, 120)
    assert events.counts() == [(SENSOR_FAULT, 3, 2), (SENSOR_FAULT, 4, 1)]
    assert events.entries[-1] == [SENSOR_FAULT, 3, 2, 120]


def test_counts_saturate() -> None:
    events = Events()
    events.add(BAD_MIC, 0, 65_534)
    events.note(BAD_MIC)
    events.note(BAD_MIC)
    assert again(events).counts() == [(BAD_MIC, 0, 65_535)]


def test_a_told_count_is_taken_off_and_what_came_meanwhile_stays() -> None:
    events = Events()
    events.add(BAD_MIC, 0, 5)
    events.note(REPLAY)
    told = events.counts()
    events.note(BAD_MIC, 0, 77)
    events.settle(told)
    assert events.counts() == [(BAD_MIC, 0, 1)]
    assert len(events.entries) == 2  # the time of the last replay is kept while there is room


def test_the_one_seen_longest_ago_gives_way_and_a_lost_count_is_owned_up_to() -> None:
    events = Events()
    for detail in range(CAPACITY):
        events.note(SENSOR_FAULT, detail)
    events.settle([(SENSOR_FAULT, 0, 1)])
    events.note(WATCHDOG)
    assert events.dropped == 0  # it had been told
    events.note(REPLAY)
    assert events.dropped == 1
    assert [entry[1] for entry in events.entries[:2]] == [2, 3]
    assert len(events.to_bytes()) == MAX_SIZE <= 200


@settings(deadline=None)  # the machine may be loaded
@given(
    st.lists(
        st.tuples(
            st.integers(1, 255), st.integers(0, 255), st.integers(1, 70_000), st.integers(0, 2**32 - 1)
        ),
        max_size=60,
    )
)
def test_any_history_fits_its_place_and_comes_back_as_it_was(
    history: list[tuple[int, int, int, int]],
) -> None:
    events = Events()
    for event in history:
        events.add(*event)
    data = events.to_bytes()
    assert len(data) <= MAX_SIZE
    other = again(events)
    assert other.to_bytes() == data
    assert other.entries == events.entries
    assert len({(code, detail) for code, detail, *_ in other.entries}) == len(other.entries)


@pytest.mark.parametrize("data", [None, b"", b"\x01", b"\x02\x00\x00\x00", bytes((1, 1, 0, 0)), bytes(197)])
def test_what_is_not_a_ring_is_refused_and_changes_nothing(data: bytes | None) -> None:
    events = Events()
    events.note(BAD_MIC)
    assert not events.load(data)
    assert events.counts() == [(BAD_MIC, 0, 1)]
