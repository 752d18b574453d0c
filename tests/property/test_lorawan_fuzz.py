# SPDX-License-Identifier: MIT
"""The fuzzing campaign's sample, its bounds in steps and memory, and proof that it would notice a defect."""

from __future__ import annotations

import sys
import tracemalloc
from types import FrameType
from typing import Any

import pytest
from communode.node.lorawan import commands, frame
from communode.node.lorawan.mac import Mac
from fuzz_lorawan import Fuzzer, Tally, campaign, figures
from nightly import Nightly


@pytest.mark.parametrize("seed", range(4))
def test_fifty_thousand_hostile_frames_change_nothing_that_they_may_not(seed: int) -> None:
    tally = campaign(seed, 50_000)
    assert tally.clean, tally.examples
    assert 0.45 < tally.valid_mic / tally.inputs < 0.55
    # The campaign reaches what it is about.
    assert tally.accepted > 5_000
    assert tally.joins > 300
    assert set(tally.rejections) == {
        *("mic", "address", "too_long", "truncated", "type", "settings", "join_nonce", "f_opts", "counter")
    }


def test_no_frame_costs_unbounded_steps_or_memory() -> None:
    fuzzer = Fuzzer(99, Tally())
    real = Mac.receive
    most_steps = most_bytes = 0

    def measured(mac: Mac, *arguments: Any) -> object:
        nonlocal most_steps, most_bytes
        steps = 0

        def count(code: FrameType, event: str, argument: object) -> Any:
            nonlocal steps
            steps += 1
            return count

        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        traced = sys.gettrace()
        sys.settrace(count)
        try:
            return real(mac, *arguments)  # type: ignore[arg-type]
        finally:
            sys.settrace(traced)
            most_steps = max(most_steps, steps)
            most_bytes = max(most_bytes, tracemalloc.get_traced_memory()[1] - before)

    tracemalloc.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Mac, "receive", measured)
            fuzzer.run(3_000)
    finally:
        tracemalloc.stop()
    assert fuzzer.tally.clean
    # Longest: 242 bytes of MAC commands on port 0, each of which looks through the channel table.
    assert 500 < most_steps < 12_000
    assert most_bytes < 24_000


def test_the_campaign_notices_a_counter_that_moves_before_the_mic_is_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = frame.open_data

    def hasty(security: frame.Security, wire: bytes, next_fcnt: int) -> frame.Data:
        fuzzer.mac.session.fcnt_down = next_fcnt + 1
        return real(security, wire, next_fcnt)

    fuzzer = Fuzzer(1, Tally())
    monkeypatch.setattr(frame, "open_data", hasty)
    fuzzer.run(300)
    assert fuzzer.tally.state_changes_on_reject > 50


def test_the_campaign_notices_a_node_that_takes_old_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    real = frame.open_data
    monkeypatch.setattr(frame, "open_data", lambda security, wire, next_fcnt: real(security, wire, 0))
    fuzzer = Fuzzer(2, Tally())
    fuzzer.run(3_000)
    assert fuzzer.tally.counters_not_raised > 20


def test_the_campaign_notices_a_command_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_REQUEST_SIZES", commands._REQUEST_SIZES[:-1] + b"\x01")
    fuzzer = Fuzzer(3, Tally())
    fuzzer.run(3_000)
    assert fuzzer.tally.crashes > 5


@pytest.mark.nightly
def test_ten_million_hostile_frames(nightly: Nightly) -> None:
    tally = Tally()
    for seed in range(100):
        Fuzzer(1000 + seed, tally).run(nightly.count(100_000))
    nightly.record("fuzz.json", "targets", figures(tally))
    assert tally.clean, tally.examples
