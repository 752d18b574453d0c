# SPDX-License-Identifier: MIT
"""The configuration over time: on trial, confirmed, taken back; after power losses, on bad flash."""

from __future__ import annotations

import pytest
from command_bench import (
    AIR,
    AIR_PROFILE,
    DEV_EUI,
    NOW_S,
    WATER,
    Flash,
    abilities,
    answers,
    boot,
    foreign_cmac,
    kept,
    order,
)
from communode.node.app.config import STATE_CONFIG, STATE_LAST_GOOD, TRIAL_WAKINGS, Config
from communode.node.app.settings import Abilities
from communode.node.codec.command import (
    ALARM,
    ASK_AFTER,
    INTERVAL,
    OK,
    POLYNOMIAL,
    PROFILE,
    REBOOT,
    REJOIN,
    REPLAY,
    REVERTED,
    WHOLE,
)
from communode.node.schema.alarms import ABOVE, BELOW
from communode.node.schema.quantities import AIR_TEMPERATURE, BATTERY, CO2, PM25
from communode.node.storage.state import StateLog


@pytest.fixture
def flash() -> Flash:
    return Flash()


@pytest.fixture
def config(flash: Flash) -> Config:
    return boot(flash)


def confirm(config: Config) -> None:
    """The next waking, in which the network is heard."""
    config.begin_waking()
    config.heard_downlink()


# --- the trial ---


def test_the_first_downlink_of_a_later_waking_confirms(flash: Flash, config: Config) -> None:
    config.take(order(1, (INTERVAL, (900,))), NOW_S)
    config.heard_downlink()
    assert (config.on_trial, config.wants_downlink) == (True, False)
    config.begin_waking()
    assert config.wants_downlink
    config.heard_downlink()
    assert not config.on_trial
    before = bytes(flash.data)
    for _ in range(3 * TRIAL_WAKINGS):
        config = boot(flash)
        config.begin_waking()
    assert (config.settings.interval_s, bytes(flash.data)) == (900, before)


def test_a_configuration_that_cuts_the_node_off_reverts_and_says_so(flash: Flash, config: Config) -> None:
    config.take(order(1, (INTERVAL, (900,))), NOW_S)
    confirm(config)
    config.take(order(2, (INTERVAL, (7200,))), NOW_S)
    answers(config)
    for waking in range(TRIAL_WAKINGS):
        assert config.settings.interval_s == 7200, waking
        config = boot(flash)  # each waking may end in a crash
        config.begin_waking()
    assert (config.settings.interval_s, config.on_trial, config.counter) == (900, False, 2)
    assert answers(config) == [(2, REVERTED, WHOLE, 2)]
    assert config.take(order(2, (INTERVAL, (7200,))), NOW_S) == REPLAY


def test_a_second_change_on_trial_reverts_to_what_was_confirmed(flash: Flash, config: Config) -> None:
    config.take(order(1, (INTERVAL, (900,))), NOW_S)
    confirm(config)
    config.take(order(2, (INTERVAL, (7200,))), NOW_S)
    config.take(order(3, (ASK_AFTER, (50,))), NOW_S)
    for _ in range(TRIAL_WAKINGS):
        config.begin_waking()
    assert (config.settings.interval_s, config.settings.ask_after) == (900, 0)


def test_the_first_configuration_reverts_to_the_profile(flash: Flash, config: Config) -> None:
    config.take(order(1, (PROFILE, (WATER,))), NOW_S)
    for _ in range(TRIAL_WAKINGS):
        config.begin_waking()
    assert (config.settings.profile_id, config.settings.to_parts()) == (AIR, b"")


# --- bad states ---


def test_another_image_without_the_profile_falls_back_and_keeps_the_counter(flash: Flash) -> None:
    config = boot(flash)
    config.take(order(8, (INTERVAL, (900,))), NOW_S)
    confirm(config)
    config.take(order(9, (PROFILE, (WATER,))), NOW_S)
    able = Abilities({AIR: AIR_PROFILE}, AIR)
    config = boot(flash, able=able)
    assert (config.settings.interval_s, config.counter, config.on_trial) == (900, 9, False)
    config.begin_waking()
    config = boot(flash, able=able)
    config.begin_waking()
    assert answers(config) == [(9, REVERTED, WHOLE, 9)]
    assert config.take(order(9, (INTERVAL, (900,))), NOW_S) == REPLAY


def test_no_bytes_in_place_of_a_record_do_harm() -> None:
    class Cell:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def load(self, kind: int) -> bytes | None:
            return self.data if kind == STATE_CONFIG else None

        def commit(self, kind: int, data: bytes) -> None:
            self.data = data if kind == STATE_CONFIG else self.data

    flash = Flash()
    config = boot(flash)
    config.take(order(70_000, (INTERVAL, (900,)), REJOIN, (ALARM, (CO2, ABOVE, 900, 0, 0))), NOW_S)
    sound = kept(flash)[0]
    assert sound is not None
    damaged = [sound[:size] for size in range(len(sound))]
    damaged += [
        sound[: bit // 8] + bytes((sound[bit // 8] ^ 1 << bit % 8,)) + sound[bit // 8 + 1 :]
        for bit in range(8 * len(sound))
    ]
    for data in damaged:
        found = Config(Cell(data), abilities(), DEV_EUI, foreign_cmac())
        found.begin_waking()
        found.heard_downlink()
        assert 61 <= found.settings.interval_s <= 86_400
        while found.next_answer():
            found.answer_sent()
        for action in found.actions:
            found.finish(action)


@pytest.mark.parametrize("kind", [STATE_LAST_GOOD, STATE_CONFIG])
@pytest.mark.parametrize("failure", [OSError, MemoryError])
def test_flash_that_fails_leaves_the_old_configuration_in_force(
    flash: Flash, monkeypatch: pytest.MonkeyPatch, kind: int, failure: type[Exception]
) -> None:
    config = boot(flash)
    payload = order(1, (INTERVAL, (900,)), REBOOT)
    commit = StateLog.commit

    def fail(self: StateLog, at: int, data: bytes) -> None:
        if at == kind:
            raise failure
        commit(self, at, data)

    with monkeypatch.context() as patch:
        patch.setattr(StateLog, "commit", fail)
        with pytest.raises(failure):
            config.take(payload, NOW_S)
    assert (config.counter, config.settings.interval_s, config.actions) == (0, 600, ())
    assert (config.on_trial, config.next_answer()) == (False, None)
    assert boot(flash).counter == 0
    assert config.take(payload, NOW_S) == OK


def test_all_settings_at_once_fit_one_record(flash: Flash, config: Config) -> None:
    rows = [(quantity, kind) for quantity in (CO2, PM25, AIR_TEMPERATURE, BATTERY) for kind in (ABOVE, BELOW)]
    for number, row in enumerate(rows):
        config.take(order(number + 1, (ALARM, (*row, 3000, 0, 60))), NOW_S)
    for number, quantity in enumerate((CO2, PM25, AIR_TEMPERATURE)):
        values = (quantity, NOW_S, 1, 0.0, 1.0, 0.0, 0.0)
        config.take(order(number + 20, (POLYNOMIAL, values)), NOW_S)
    data = StateLog(flash).load(STATE_CONFIG)
    assert data is not None
    assert len(data) < 300
    assert StateLog(flash).load(STATE_LAST_GOOD) is not None
