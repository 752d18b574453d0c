# SPDX-License-Identifier: MIT
"""Receive windows: how many downlinks arrive, by spreading factor, jitter and clock error.

The runner over our drivers over the chip models, with a downlink 20 us early or late in each window. Awake,
sleeps come back up to 10 ms late, as on a runtime with soft interrupts; asleep, the oscillator that times the
wait is wrong by 5000 ppm and RECEIVE_DELAY1 goes from 1 s to 15 s. What is asked for is every one of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "chips"))

from lorawan_bench import TCXO, Bench

RADIOS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("sx1262", "sx1262", {}),
    ("sx1262-tcxo", "sx1262", TCXO),
    ("sx1276", "sx1276", {}),
)
SPREADING = range(7, 13)
AWAKE_ROUNDS = 5  # of four windows each, per spreading factor and radio


def _window(bench: Bench, spreading: int, window: int, offset_us: int, delay_s: int = 1) -> bool:
    """One uplink, and whether its downlink arrived in the window where it was."""
    bench.pause()
    bench.air.window, bench.air.offset_us = window, offset_us
    bench.air.delay_s = bench.mac.session.rx_delay = delay_s
    bench.mac.session.data_rate = 12 - spreading
    outcome = bench.runner.send(1, b"x")
    return outcome.downlinks == [(7, b"down")] and outcome.window == window


def _awake(bench: Bench, spreading: int) -> Iterator[bool]:
    bench.time.jitter_us = 10_000
    for _ in range(AWAKE_ROUNDS):
        for window in (1, 2):
            for offset_us in (-20, 20):
                yield _window(bench, spreading, window, offset_us)


def _asleep(bench: Bench, spreading: int, clock_error_ppm: int) -> Iterator[bool]:
    bench.time.sleep_ppm = clock_error_ppm
    for delay_s in range(1, 16):
        for window in (1, 2):
            yield _window(bench, spreading, window, 20 if delay_s % 2 else -20, delay_s)


@pytest.mark.timeout(600)
def test_receive_windows(
    publish: Callable[[str, dict[str, Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "communode.node.lorawan.runner.gc.collect", lambda: 0
    )  # pytest's garbage, not a node's
    runs = []
    for radio, kind, settings in RADIOS:
        for spreading in SPREADING:
            for jitter_ms, error_ppm in ((10, 0), (0, 5000), (0, -5000)):
                bench = Bench(kind, clock_ppm=5000 if error_ppm else 100, **settings)
                assert bench.runner.join().code == "joined"
                found = list(_asleep(bench, spreading, error_ppm) if error_ppm else _awake(bench, spreading))
                runs.append(
                    {
                        "radio": radio,
                        "sf": spreading,
                        "jitter_ms": jitter_ms,
                        "clock_error_ppm": error_ppm,
                        "rx_delays_s": [1, 15] if error_ppm else [1, 1],
                        "windows": len(found),
                        "received": sum(found),
                        "late_max_us": bench.runner.late_max_us,
                        "lead_us": bench.runner.lead_us,
                    }
                )
                assert bench.station.chip.notes == []
    publish("rx_windows", {"runs": runs})
    print(
        f"\n{'radio':12} {'SF':>3} {'jitter':>7} {'clock':>10} {'windows':>8} {'received':>9} {'latest':>9}"
    )
    for run in runs:
        clock = f"{run['clock_error_ppm']:+d} ppm"
        figures = f"{run['windows']:8} {run['received']:9} {run['late_max_us']:6} us"
        print(f"{run['radio']:12} {run['sf']:3} {run['jitter_ms']:4} ms {clock:>10} {figures}")
    assert all(run["windows"] == run["received"] for run in runs)
