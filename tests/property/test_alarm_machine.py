# SPDX-License-Identifier: MIT
"""What holds for the alarms of a node whatever it measures, however it sleeps and whatever gets lost.

The judge is written from the rules in words (hysteresis, hold-off, latch), over the whole history; it shares
no code with the machine, which remembers only a state and a timer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from communode.node.app.alarms import Alarm, Alarms
from communode.node.codec import alarm as codec
from communode.node.schema.alarms import ABOVE, ACKNOWLEDGED, ACTIVE, IDLE, LATCHED, PENDING, TIPPED
from communode.node.schema.quantities import CO2, FAULT, GOOD, TILT
from hypothesis import given, settings
from hypothesis import strategies as st

THRESHOLD, HYSTERESIS = 1500, 200
HOLD_OFF_S = 1000
ROWS = ((CO2, ABOVE, THRESHOLD, HYSTERESIS, HOLD_OFF_S), (TILT, TIPPED, 450, 100, 0))

# Values around the edges, readings that say nothing, and steps of time around the hold-off.
values = st.one_of(
    st.sampled_from([1299, 1300, 1301, 1400, 1499, 1500, 1501, None]), st.integers(400, 3000), st.none()
)
EDGES_MS = [1, 499_999, 500_000, 999_999, 1_000_000, 1_000_001]
steps_ms = st.one_of(st.sampled_from(EDGES_MS), st.integers(1, 3_000_000))
samples = st.lists(st.tuples(steps_ms, values), min_size=1, max_size=40)


def reading(value: int | None) -> tuple[int | None, int]:
    return (None, FAULT) if value is None else (value, GOOD)


def saved(node: Alarms, now_ms: int, later_ms: int | None = None, slept: bool = True) -> Alarms:
    other = Alarms(ROWS)
    assert other.load(node.to_bytes(now_ms), now_ms if later_ms is None else later_ms, slept)
    return other


@settings(deadline=None)  # the machine may be loaded
@given(samples, st.booleans())
def test_it_is_raised_and_over_exactly_when_the_rules_say_so(
    history: list[tuple[int, int | None]], sleeps: bool
) -> None:
    node = Alarms(ROWS[:1])
    standing = False
    since_ms: int | None = None  # first reading that spoke against the present state, none for it since
    now_ms = 0
    for step_ms, value in history:
        if sleeps:
            node = Alarms(ROWS[:1]) if not now_ms else _slept(node, now_ms)
        now_ms += step_ms
        changed = node.evaluate({CO2: reading(value)}, now_ms)
        beyond = value is not None and value >= THRESHOLD
        over = value is not None and value <= THRESHOLD - HYSTERESIS
        against, with_it = (over, beyond) if standing else (beyond, over)
        if with_it:
            since_ms = None
        elif against and since_ms is None:
            since_ms = now_ms
        held_ms = now_ms - since_ms if since_ms is not None else -1
        if changed:
            assert against
            assert held_ms >= HOLD_OFF_S * 1000
            standing, since_ms = not standing, None
        else:
            # Times are kept in seconds, rounded so that nothing is early: up to two seconds late.
            assert not against or held_ms < HOLD_OFF_S * 1000 + 2000
        assert (node.alarms[0].state == ACTIVE) == standing


def _slept(node: Alarms, now_ms: int) -> Alarms:
    other = Alarms(ROWS[:1])
    assert other.load(node.to_bytes(now_ms), now_ms, True)
    return other


@settings(deadline=None)  # the machine may be loaded
@given(st.lists(st.integers(THRESHOLD - HYSTERESIS + 1, THRESHOLD - 1), max_size=50), st.booleans())
def test_nothing_that_stays_within_the_hysteresis_changes_anything(band: list[int], up: bool) -> None:
    node = Alarms(((CO2, ABOVE, THRESHOLD, HYSTERESIS, 0),))
    node.evaluate({CO2: reading(3000 if up else 400)}, 0)
    before = node.alarms[0].state
    for number, value in enumerate(band, 1):
        assert node.evaluate({CO2: reading(value)}, number * 600_000) == []
        assert node.alarms[0].state == before


@dataclass
class Server:
    """The other end: what it was told, and what its operator acknowledged."""

    states: dict[tuple[int, int], int] = field(default_factory=dict)  # (kind, occurrence): state
    acknowledged: set[int] = field(default_factory=set)

    def take(self, payload: bytes) -> None:
        for kind, _, state, occurrence, _, _ in codec.decode(payload)[4]:
            self.states[kind, occurrence] = state


actions = st.lists(
    st.one_of(
        st.tuples(st.just("sample"), values, st.integers(0, 900)),
        st.tuples(st.just("send"), st.booleans(), st.booleans()),  # heard by the server, confirmation heard
        st.tuples(st.just("acknowledge"), st.booleans(), st.just(0)),
        st.tuples(st.just("sleep"), st.just(0), st.just(0)),
        st.tuples(st.just("power_cut"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


def open_occurrences(node: Alarms) -> dict[int, int]:
    return {alarm.kind: alarm.occurrence for alarm in node.alarms if alarm.state in (ACTIVE, LATCHED)}


def send(node: Alarms, server: Server, now_ms: int, heard: bool, confirmed: bool) -> None:
    reports = node.due(now_ms)[: codec.capacity(21)]  # one an uplink
    if not reports:
        return
    if heard:
        server.take(codec.encode(1, 0, (now_ms // 1000, 0), reports))
    node.told(reports, now_ms, acked=heard and confirmed)


@settings(deadline=None)  # the machine may be loaded
@given(actions)
def test_no_alarm_is_forgotten_until_somebody_acknowledges_it(script: list[tuple[str, object, int]]) -> None:
    node = Alarms(ROWS)
    server = Server()
    flash = node.to_bytes(0)  # what the state log holds: written at each change
    now_ms = 0
    waiting: dict[int, int] = {}  # kind: occurrence that was raised and nobody acknowledged
    for action, first, second in script:
        now_ms += 600_000
        if action == "sample":
            assert first is None or isinstance(first, int)
            changed = node.evaluate({CO2: reading(first), TILT: reading(second)}, now_ms)
            for alarm in changed:
                if alarm.state == ACTIVE:
                    waiting[alarm.kind] = alarm.occurrence
            if changed:
                flash = node.to_bytes(now_ms)
        elif action == "send":
            send(node, server, now_ms, bool(first), bool(second))
        elif action == "acknowledge":
            _acknowledge(node, server, waiting, now_ms, heard=bool(first))
            flash = node.to_bytes(now_ms)
        elif action == "sleep":
            node = saved(node, now_ms)
        else:
            node = Alarms(ROWS)
            now_ms = 0
            assert node.load(flash, now_ms, False)
        assert open_occurrences(node) == waiting


def _acknowledge(node: Alarms, server: Server, waiting: dict[int, int], now_ms: int, heard: bool) -> None:
    """The operator acknowledges whatever the server shows as open."""
    for (kind, occurrence), state in list(server.states.items()):
        if state not in (ACTIVE, LATCHED) or not heard:
            continue
        quantity = CO2 if kind == ABOVE else TILT
        if node.acknowledge(kind, quantity, occurrence, now_ms):
            waiting.pop(kind, None)


@settings(deadline=None)  # the machine may be loaded
@given(actions, st.lists(st.booleans(), max_size=30))
def test_the_server_learns_the_last_state_however_many_frames_are_lost(
    script: list[tuple[str, object, int]], losses: list[bool]
) -> None:
    node = Alarms(ROWS)
    server = Server()
    now_ms = 0
    for action, first, second in script:
        now_ms += 600_000
        if action == "sample":
            assert first is None or isinstance(first, int)
            node.evaluate({CO2: reading(first), TILT: reading(second)}, now_ms)
        elif action == "send":
            send(node, server, now_ms, bool(first), bool(second))
        elif action == "power_cut":
            node = saved(node, now_ms, 0, slept=False)
            now_ms = 0
    for heard in [*losses, True, True, True]:
        now_ms += 3_600_000
        send(node, server, now_ms, heard, True)
    for alarm in node.alarms:
        if alarm.occurrence:
            assert server.states[alarm.kind, alarm.occurrence] == _shown(alarm)


def _shown(alarm: Alarm) -> int:
    return IDLE if alarm.state == PENDING else alarm.state


def test_the_judge_itself_knows_every_state() -> None:
    node = Alarms(ROWS)
    node.evaluate({TILT: reading(900)}, 0)
    assert open_occurrences(node) == {TIPPED: 1}
    assert node.acknowledge(TIPPED, TILT, 1, 0)
    assert open_occurrences(node) == {}
    assert node.alarms[1].state == ACKNOWLEDGED
