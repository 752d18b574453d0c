# SPDX-License-Identifier: MIT
"""Replayed, reordered, expired, damaged and misdirected commands change nothing, and power cuts tear none."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from command_bench import NOW_S, boot, order
from command_campaign import Cuts, Forgeries, cut_power, flip_every_bit, forge
from communode.node.app.config import Config
from communode.node.codec import command
from communode.node.codec.command import (
    ALARM,
    BAD_MAC,
    EXPIRED,
    INTERVAL,
    MALFORMED,
    NO_TIME,
    OK,
    OUT_OF_RANGE,
    REBOOT,
    REPLAY,
    UNSUPPORTED,
)
from communode.node.schema.alarms import ABOVE
from communode.node.schema.quantities import CO2
from flash_model import RamFlash
from nightly import Nightly


def harmless(tally: Forgeries) -> bool:
    """Whether nothing got through."""
    return (tally.crashes, tally.state_changes_on_reject, tally.accepted, tally.locked_out) == (0, 0, 0, 0)


def whole(tally: Cuts) -> bool:
    """Whether every cut left the old or the new state, and each command was done once."""
    return (
        tally.neither_old_nor_new,
        tally.counters_gone_back,
        tally.not_exactly_once,
        tally.last_good_lost,
    ) == (0, 0, 0, 0)


def test_bad_commands_change_nothing() -> None:
    tally = forge(20_000, seed=1)
    assert harmless(tally), tally
    assert tally.inputs == 20_000
    assert tally.valid_mic > 8_000
    # Every refusal was met, and none of the makers makes only one kind of garbage.
    for code in (BAD_MAC, REPLAY, EXPIRED, MALFORMED, OUT_OF_RANGE, UNSUPPORTED, NO_TIME):
        assert tally.codes.get(code, 0) > 200, code


def test_every_single_bit_of_a_command_counts() -> None:
    flash = RamFlash(4)
    config = boot(flash)
    assert config.take(order(3, (INTERVAL, (1200,))), NOW_S) == OK
    payload = order(4, (INTERVAL, (900,)), (ALARM, (CO2, ABOVE, 900, 50, 60)), REBOOT)
    assert flip_every_bit(payload, config, flash) == 8 * len(payload)
    assert config.take(payload, NOW_S) == OK


def test_every_shorter_command_is_refused() -> None:
    flash = RamFlash(4)
    config = boot(flash)
    payload = order(4, (INTERVAL, (900,)), REBOOT)
    before = bytes(flash.data)
    for length in range(len(payload)):
        assert config.take(payload[:length], NOW_S) in (MALFORMED, BAD_MAC)
    assert bytes(flash.data) == before


@pytest.mark.parametrize("seed", range(2))
def test_a_power_cut_leaves_a_command_done_once_or_unheard_of(seed: int) -> None:
    tally = cut_power(1_500, seed)
    assert whole(tally), tally
    assert tally.cut_points == 1_500
    assert tally.torn > 500
    assert tally.nested > 500


# --- the campaigns themselves notice what they look for ---


def test_the_campaign_notices_a_node_that_forgets_its_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    accept = Config._accept

    def forgetful(self: Config, payload: bytes, now_s: int | None) -> None:
        counter = self._stored.counter
        self._stored.counter = 0
        try:
            accept(self, payload, now_s)
        finally:
            self._stored.counter = max(counter, self._stored.counter)

    monkeypatch.setattr(Config, "_accept", forgetful)
    tally = forge(1_000, seed=2)
    assert tally.accepted > 50


def test_the_campaign_notices_parts_that_are_applied_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("communode.node.app.settings.Settings.copy", lambda self: self)
    assert forge(1_000, seed=3).state_changes_on_reject > 20


def test_the_campaign_notices_a_seal_that_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "is_sealed", lambda dev_eui, payload, mac: True)
    tally = forge(1_000, seed=4)
    assert tally.accepted > 0
    assert tally.locked_out > 10  # a forged counter is high, and the owner's are then old


def test_the_campaign_notices_a_node_that_acts_before_it_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Config._commit

    def in_two_writes(self: Config, fresh: object) -> None:
        if fresh.counter != self._stored.counter:  # type: ignore[attr-defined]
            counter = fresh.counter  # type: ignore[attr-defined]
            fresh.counter = self._stored.counter  # type: ignore[attr-defined]
            commit(self, fresh)  # type: ignore[arg-type]
            fresh.counter = counter  # type: ignore[attr-defined]
        commit(self, fresh)  # type: ignore[arg-type]

    monkeypatch.setattr(Config, "_commit", in_two_writes)
    assert cut_power(300, seed=5).neither_old_nor_new > 10


def test_the_campaign_notices_a_node_without_a_last_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Config, "_keep_last_good", lambda self: None)
    assert cut_power(1_000, seed=6).last_good_lost > 5


# --- make nightly ---


@pytest.mark.nightly
def test_a_million_bad_commands_change_nothing(nightly: Nightly) -> None:
    tally = Forgeries()
    for seed in range(10):
        forge(nightly.count(100_000), 1000 + seed, tally)
    figures = {key: value for key, value in asdict(tally).items() if key != "codes"}
    nightly.record("fuzz.json", "targets", {"name": "app.commands", **figures})
    assert harmless(tally), tally


@pytest.mark.nightly
def test_a_power_cut_anywhere_in_many_lives_tears_no_command(nightly: Nightly) -> None:
    tally = Cuts()
    for seed in range(20):
        cut_power(nightly.count(2_500), 1000 + seed, tally)
    figures = {
        "name": "app.commands",
        "cut_points": tally.cut_points,
        "torn": tally.torn,
        "nested": tally.nested,
        "contexts_lost": tally.neither_old_nor_new + tally.last_good_lost,
        "acknowledged_records_lost": 0,
        "counters_reused": tally.counters_gone_back + tally.not_exactly_once,
    }
    nightly.record("powercut.json", "campaigns", figures)
    assert whole(tally), tally
