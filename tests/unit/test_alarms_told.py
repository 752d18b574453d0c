# SPDX-License-Identifier: MIT
"""Alarms of a node: when and how long they are told."""

from __future__ import annotations

from alarm_bench import MIN, ROW, alarms, raised, states
from communode.node.schema.alarms import (
    ABOVE,
    ACKNOWLEDGED,
    ACTIVE,
    FIRE,
    FLOOD,
    LATCHED,
    LEAK,
    PENDING,
    TIPPED,
)
from communode.node.schema.quantities import (
    CO2,
    FAULT,
    GOOD,
    TILT,
)


def test_a_change_is_told_until_the_network_confirms_it() -> None:
    node = raised()
    assert node.urgent()
    now_ms = 0
    waits = []
    for _ in range(9):
        reports = node.due(now_ms)
        assert [report[:4] for report in reports] == [(ABOVE, CO2, ACTIVE, 1)]
        node.told(reports, now_ms, acked=False)
        assert node.due(now_ms) == []
        next_ms = node.next_ms(now_ms)
        assert next_ms is not None
        waits.append((next_ms - now_ms) // MIN)
        now_ms = next_ms
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    reports = node.due(now_ms)
    assert reports[0][5] == now_ms // 1000  # how long ago it was raised
    node.told(reports, now_ms, acked=True)
    assert node.due(now_ms + MIN) == []


def test_a_raise_is_urgent_three_times_and_then_waits_its_turn() -> None:
    node = raised()
    urgent = []
    for hour in range(5):
        assert node.due(hour * 60 * MIN)
        urgent.append(node.urgent())
    assert urgent == [True, True, True, False, False]


def test_what_cannot_even_be_sent_is_tried_later_and_wakes_nobody_at_once() -> None:
    node = raised()
    assert node.next_ms(0) is None  # never asked: the node has no network to tell it to
    assert node.due(0)
    assert node.next_ms(0) == MIN
    assert node.due(MIN - 1) == []
    assert node.next_ms(2 * MIN) is None
    assert node.due(2 * MIN)


def test_a_hold_off_that_ended_without_a_reading_wakes_nobody() -> None:
    node = alarms(ROW)
    node.evaluate({CO2: (1600, GOOD)}, 0)
    node.evaluate({CO2: (None, FAULT)}, 10 * MIN)
    assert states(node) == [PENDING]
    assert node.next_ms(10 * MIN) is None


def test_the_end_of_an_alarm_is_told_but_not_urgent() -> None:
    node = raised()
    node.told(node.due(0), 0, acked=True)
    node.evaluate({CO2: (1000, GOOD)}, MIN)
    assert not node.urgent()
    assert [report[2] for report in node.due(MIN)] == [LATCHED]


def test_a_raise_while_the_last_one_waits_for_somebody_is_not_urgent() -> None:
    node = raised()
    node.told(node.due(0), 0, acked=True)
    node.evaluate({CO2: (1000, GOOD)}, MIN)
    node.evaluate({CO2: (1800, GOOD)}, 2 * MIN)
    assert not node.urgent()
    assert [report[2:4] for report in node.due(2 * MIN)] == [(ACTIVE, 2)]


def test_a_confirmation_of_an_older_state_does_not_silence_the_newer() -> None:
    node = raised()
    reports = node.due(0)
    node.evaluate({CO2: (1000, GOOD)}, MIN)
    node.told(reports, MIN, acked=True)
    assert [report[2] for report in node.due(MIN)] == [LATCHED]


def test_what_nobody_acknowledges_is_told_again_after_six_hours() -> None:
    node = raised()
    node.told(node.due(0), 0, acked=True)
    assert node.due(6 * 60 * MIN - 1000) == []
    reports = node.due(6 * 60 * MIN)
    assert [report[2] for report in reports] == [ACTIVE]
    assert not node.urgent()
    node.told(reports, 6 * 60 * MIN, acked=True)
    assert node.due(6 * 60 * MIN) == []
    node.acknowledge(ABOVE, CO2, 1, 7 * 60 * MIN)
    node.told(node.due(7 * 60 * MIN), 7 * 60 * MIN, acked=True)
    assert node.due(1000 * 60 * MIN) == []
    assert node.next_ms(0) is None


def test_reminders_that_do_not_fit_into_one_uplink_follow_in_the_next() -> None:
    node = alarms(*[(CO2, kind, 0, 0, 0) for kind in (LEAK, FLOOD, FIRE)])
    node.evaluate({}, 0, dict.fromkeys((LEAK, FLOOD, FIRE), (True, 1)))
    node.told(node.due(0), 0, acked=True)
    now_ms = 6 * 60 * MIN
    told: list[int] = []
    while reports := node.due(now_ms):
        told += [report[0] for report in reports[:1]]
        node.told(reports[:1], now_ms, acked=True)
    assert sorted(told) == [LEAK, FLOOD, FIRE]


def test_an_acknowledgement_is_answered_each_time_it_comes() -> None:
    node = raised()
    node.told(node.due(0), 0, acked=True)
    for _ in range(2):
        assert node.acknowledge(ABOVE, CO2, 1, MIN)
        reports = node.due(6 * 60 * MIN)
        assert [report[2] for report in reports] == [ACKNOWLEDGED]
        node.told(reports, 6 * 60 * MIN, acked=True)


def test_the_urgent_comes_first() -> None:
    node = alarms((CO2, ABOVE, 1500, 200, 0), (TILT, TIPPED, 450, 150, 0))
    node.evaluate({CO2: (1800, GOOD)}, 0)
    node.told(node.due(0), 0, acked=True)
    node.evaluate({CO2: (1000, GOOD), TILT: (900, GOOD)}, MIN)
    assert [report[0] for report in node.due(MIN)] == [TIPPED, ABOVE]


def test_a_pending_alarm_asks_for_a_sampling_when_its_hold_off_ends() -> None:
    node = alarms(ROW)
    assert node.next_ms(0) is None
    node.evaluate({CO2: (1600, GOOD)}, 500)
    next_ms = node.next_ms(500)
    assert next_ms == 601_000
    assert not node.wants_reading(next_ms - 1)
    assert node.wants_reading(next_ms)
    assert len(node.evaluate({CO2: (1600, GOOD)}, next_ms)) == 1
