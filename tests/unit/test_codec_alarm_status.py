# SPDX-License-Identifier: MIT
"""Alarm and status payloads: bytes written by hand from SPEC.md, round trips, and every refusal."""

from __future__ import annotations

from typing import Any

import pytest
from communode.node.codec import alarm, status
from communode.node.schema.alarms import ABOVE, ACTIVE, KINDS, LATCHED, TAMPER
from communode.node.schema.quantities import CO2
from hypothesis import given, settings
from hypothesis import strategies as st

REPORTS = [(ABOVE, CO2, ACTIVE, 0x0102, 1800, 5), (TAMPER, 0, LATCHED, 3, alarm.NO_VALUE, alarm.NO_AGE)]
ALARM_HEX = "21 3412 563412 44332211 03  12 03 0201 0500 08070000  93 00 0300 ffff 00000080"

FIELDS: dict[str, Any] = {
    "profile": 1,
    "version": (0, 1, 2),
    "micropython": 27,
    "configuration": 7,
    "uptime_s": 70_000 * 60,
    "span_s": 24 * 3600,
    "wakings": 144,
    "battery_mv": 3600,
    "resets": (1, 0, 2, 3),
    "heap_low": 100_000,
    "airtime_ms": 9000,
    "energy_mc": (300, 100_000, 40, 4000, 800, 1700),
    "lateness_us": 350,
    "pending": 2,
    "dropped": 0,
}


def a_status(**changes: Any) -> status.Status:
    made = status.Status()
    vars(made).update(FIELDS | changes)
    return made


STATUS_HEX = (
    "20 01 00 01 02 1b 07000000  7011 01 18 9000 100e 01000203"
    "  6a18 ca28 2c01 355c 2800 a00f 2003 a406 5e01 0200 00"
)


def test_an_alarm_uplink_is_written_as_the_spec_says() -> None:
    payload = alarm.encode(0x1234, 0x123456, (0x11223344, 3), REPORTS)
    assert payload == bytes.fromhex(ALARM_HEX)
    told = [(ABOVE, CO2, ACTIVE, 0x0102, 1800, 5), (TAMPER, 0, LATCHED, 3, None, None)]
    assert alarm.decode(payload) == (0x1234, 0x123456, 0x11223344, 3, told)


def test_a_node_without_a_record_says_so() -> None:
    payload = alarm.encode(1, alarm.NO_RECORD, (5, 0x10), REPORTS[:1])
    assert alarm.decode(payload)[1] is None


@pytest.mark.parametrize(("limit", "count"), [(11, 0), (20, 0), (21, 1), (51, 4), (115, 8), (222, 8), (0, 0)])
def test_so_many_alarms_fit(limit: int, count: int) -> None:
    assert alarm.capacity(limit) == count
    if count:
        assert len(alarm.encode(0, 0, (0, 0), REPORTS[:1] * count)) <= limit


@settings(deadline=None)  # the machine may be loaded
@given(st.integers(0, alarm.NO_AGE))
def test_an_age_is_right_to_the_second_for_nine_hours_and_to_the_minute_for_22_days(age_s: int) -> None:
    told = alarm.unpack_age(alarm.pack_age(age_s))
    if age_s < 32768:
        assert told == age_s
    elif age_s < 0x7FFF * 60:
        assert told == age_s // 60 * 60
    else:
        assert told is None


report = st.tuples(
    st.integers(1, 15),
    st.integers(0, 255),
    st.sampled_from([0, 2, 3, 4]),
    st.integers(1, 0xFFFF),
    st.integers(-(2**31) + 1, 2**31 - 1),
    st.integers(0, 32767),
)


@settings(deadline=None)  # the machine may be loaded
@given(
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFE),
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 0x1F)),
    st.lists(report, min_size=1, max_size=8),
)
def test_any_alarms_come_back_as_they_were(
    generation: int, record: int, stamp: tuple[int, int], reports: list[tuple[int, int, int, int, int, int]]
) -> None:
    decoded = alarm.decode(alarm.encode(generation, record, stamp, reports))
    assert decoded == (generation, record, *stamp, reports)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[:10], "short"),
        (lambda data: data[:-1], "length"),
        (lambda data: data + b"\x00", "length"),
        (lambda data: b"\x41" + data[1:], "version"),
        (lambda data: b"\x28" + data[1:] + bytes(70), "many"),
        (lambda data: data[:11] + b"\x02" + data[12:], "unknown alarm"),
        (lambda data: data[:11] + b"\x11" + data[12:], "unknown alarm"),
        (lambda data: data[:11] + b"\x15" + data[12:], "unknown alarm"),
        (lambda data: data[:13] + b"\x00\x00" + data[15:], "unknown alarm"),
    ],
)
def test_each_broken_alarm_uplink_is_refused(change: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        alarm.decode(change(bytes.fromhex(ALARM_HEX)))


def test_an_alarm_of_a_newer_kind_is_an_alarm() -> None:
    payload = alarm.encode(0, 0, (0, 0), [(len(KINDS), 200, ACTIVE, 1, 5, 0)])
    assert alarm.decode(payload)[4][0][0] == len(KINDS)


@pytest.mark.parametrize("count", [0, 9])
def test_no_alarm_and_nine_alarms_are_no_payload(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 8"):
        alarm.encode(0, 0, (0, 0), REPORTS[:1] * count)
    with pytest.raises(ValueError, match="1 to 8"):
        alarm.encode_acknowledgement(0, [(ABOVE, CO2, 1)] * count)


def test_an_acknowledgement_is_written_as_the_spec_says() -> None:
    payload = alarm.encode_acknowledgement(0x1234, [(ABOVE, CO2, 0x0102), (TAMPER, 0, 3)])
    assert payload == bytes.fromhex("01 3412  01 03 0201  09 00 0300")
    assert alarm.decode_acknowledgement(payload) == (0x1234, [(ABOVE, CO2, 0x0102), (TAMPER, 0, 3)])


def test_each_broken_acknowledgement_is_refused() -> None:
    payload = alarm.encode_acknowledgement(0x1234, [(ABOVE, CO2, 0x0102), (TAMPER, 0, 3)])
    broken = [payload[:size] for size in range(len(payload)) if size != 7]
    broken += [payload + b"\x00", b"\x02" + payload[1:], payload[:3] + payload[3:7] * 9]
    for data in broken:
        with pytest.raises(ValueError, match="not an acknowledgement"):
            alarm.decode_acknowledgement(data)


def test_a_status_is_written_as_the_spec_says() -> None:
    payload, told = status.encode(a_status(), [(4, 3, 2), (1, 0, 300)], 51)
    assert payload == bytes.fromhex(STATUS_HEX + " 04 03 02  01 00 ff")
    assert told == [(4, 3, 2), (1, 0, 255)]
    decoded, events = status.decode(payload)
    assert events == told
    assert vars(decoded) == FIELDS


@pytest.mark.parametrize(("limit", "count"), [(43, 0), (45, 0), (46, 1), (51, 2), (115, 24), (242, 24)])
def test_events_fill_what_room_is_left(limit: int, count: int) -> None:
    payload, told = status.encode(a_status(), [(1, detail, 1) for detail in range(24)], limit)
    assert len(told) == min(count, 24)
    assert len(payload) == 43 + 3 * len(told) <= limit


def test_a_status_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="fit"):
        status.encode(a_status(), [], 42)


def test_numbers_too_large_for_their_field_are_told_as_the_largest() -> None:
    huge = dict.fromkeys(("uptime_s", "span_s", "wakings", "battery_mv", "heap_low", "airtime_ms"), 2**40)
    huge |= dict.fromkeys(("lateness_us", "pending", "dropped"), 2**40)
    made = a_status(**huge, resets=(2**40,) * 4, energy_mc=(2**40,) * 6)
    decoded, _ = status.decode(status.encode(made, [], 51)[0])
    assert decoded.uptime_s == 0xFFFFFF * 60
    assert decoded.span_s == 255 * 3600
    assert decoded.resets == (255,) * 4
    assert decoded.heap_low == 0xFFFE * 16
    assert decoded.energy_mc == (4095 << 15,) * 6
    assert decoded.airtime_ms == 4095 << 15
    assert decoded.wakings == decoded.lateness_us == decoded.pending == decoded.battery_mv == 65_535
    assert decoded.dropped == 255


def test_what_a_node_does_not_know_is_none() -> None:
    decoded, _ = status.decode(status.encode(a_status(battery_mv=None, heap_low=None), [], 51)[0])
    assert decoded.battery_mv is None
    assert decoded.heap_low is None


@settings(deadline=None)  # the machine may be loaded
@given(st.integers(0, 4095 << 15))
def test_a_large_count_is_rounded_down_by_less_than_a_2048th(value: int) -> None:
    told = status.unpack_large(status.pack_large(value))
    assert told <= value
    assert (value - told) * 2048 <= value


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[:42], "short"),
        (lambda data: b"", "short"),
        (lambda data: data + b"\x01", "length"),
        (lambda data: b"\x40" + data[1:], "version"),
        (lambda data: b"\x21" + data[1:], "version"),
        (lambda data: data + bytes((0, 0, 1)), "event"),
        (lambda data: data + bytes((1, 0, 0)), "event"),
    ],
)
def test_each_broken_status_is_refused(change: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        status.decode(change(bytes.fromhex(STATUS_HEX)))


def test_an_event_of_a_newer_node_is_counted() -> None:
    assert status.decode(bytes.fromhex(STATUS_HEX) + bytes((200, 0, 1)))[1] == [(200, 0, 1)]
