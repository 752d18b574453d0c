# SPDX-License-Identifier: MIT
"""A seeded sample of the power cuts in a LoRaWAN node's life, and proof that the campaign would notice."""

from __future__ import annotations

from typing import Any

import pytest
from campaigns import Tally
from communode.node.lorawan.mac import Mac
from communode.node.lorawan.session import Session
from communode.node.storage.state import StateLog
from lorawan_campaign import explore


@pytest.mark.parametrize("seed", range(2))
def test_no_context_is_lost_and_no_counter_used_twice_wherever_the_power_is_cut(seed: int) -> None:
    tally = Tally()
    explore(seed, tally, limit=4000)  # the first steps of a life, after every byte
    assert (tally.cut_points >= 4000, tally.contexts_lost, tally.counters_reused) == (True, 0, 0)
    assert tally.nested > 1500


def test_nor_in_a_long_life_that_goes_round_its_flash() -> None:
    tally = Tally()
    node = explore(7, tally, limit=4000, chosen=lambda rng: rng.random() < 0.04)
    assert (tally.cut_points >= 4000, tally.contexts_lost, tally.counters_reused) == (True, 0, 0)
    assert min(node.flash.erases) > 1
    assert len(node.world.granted) > 3
    assert len(node.world.sent) > 100


def test_the_campaign_notices_a_context_that_is_kept_in_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def rewrite(log: StateLog, kind: int, payload: bytes) -> None:
        """As many stacks keep theirs: erased, then written again."""
        log._region.erase(0)
        log._end = log._sector = 0
        log._append(kind, payload)

    monkeypatch.setattr(StateLog, "commit", rewrite)
    tally = Tally()
    explore(1, tally, limit=300, chosen=lambda rng: rng.random() < 0.05)
    assert tally.contexts_lost > 50


def test_the_campaign_notices_counters_that_are_not_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Session.to_bytes
    monkeypatch.setattr(Session, "to_bytes", lambda session, now_ms, exact: real(session, now_ms, True))
    tally = Tally()
    explore(1, tally, limit=300, chosen=lambda rng: rng.random() < 0.02)
    assert tally.counters_reused > 20


def test_the_campaign_notices_a_dev_nonce_that_is_sent_before_it_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Mac.join

    def hasty(mac: Mac, now_ms: int) -> Any:
        plan = real(mac, now_ms)
        plan.commit = False
        return plan

    monkeypatch.setattr(Mac, "join", hasty)
    tally = Tally()
    explore(1, tally, limit=600)
    assert tally.counters_reused > 20
