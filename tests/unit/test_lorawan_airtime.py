# SPDX-License-Identifier: MIT
"""The duty-cycle ledger: no sliding hour above its share, whatever the schedule, sleeps and power cuts."""

from __future__ import annotations

from communode.node.lorawan.airtime import Ledger
from communode.node.lorawan.exchange import Plan, Wait
from communode.node.lorawan.mac import Mac
from communode.node.lorawan.region.eu868 import REGION
from hypothesis import given, settings
from hypothesis import strategies as st
from lorawan_air import Block

HOUR_MS = 3_600_000


def worst_hour_ms(sent: list[tuple[int, int]]) -> float:
    """Most airtime in any hour of (start ms, airtime us): the worst hour ends with a frame."""
    worst = 0.0
    for end_at, airtime_us in sent:
        until = end_at + airtime_us / 1000
        since = until - HOUR_MS
        total = 0.0
        for start, length_us in sent:
            total += max(0.0, min(start + length_us / 1000, until) - max(start, since))
        worst = max(worst, total)
    return worst


def test_the_budget_of_an_hour_is_free_at_once_and_then_it_waits() -> None:
    ledger = Ledger((36_000,))
    now = 0
    frames = 0
    while ledger.wait_ms(0, 61_696, now) == 0:
        ledger.book(0, 61_696, now)
        now += 100
        frames += 1
    assert frames == 36_000 // 64  # units of 8 ms
    wait = ledger.wait_ms(0, 61_696, now)
    assert HOUR_MS - now <= wait <= HOUR_MS - now + 302_000 + 24_000
    assert ledger.wait_ms(0, 61_696, now + wait - 1) == 1
    assert ledger.wait_ms(0, 61_696, now + wait) == 0


def test_a_frame_longer_than_the_budget_is_never_allowed() -> None:
    assert Ledger((1_000,)).wait_ms(0, 1_482_752, 0) == -1


def test_bands_do_not_share_their_budget() -> None:
    ledger = Ledger((1_000, 1_000))
    ledger.book(0, 990_000, 0)
    assert ledger.wait_ms(0, 61_696, 0) > 0
    assert ledger.wait_ms(1, 61_696, 0) == 0


def test_a_long_silence_empties_the_ledger() -> None:
    ledger = Ledger((36_000,))
    ledger.book(0, 2_000_000, 0)
    assert ledger.used_us(0, 1000) == 2_000_000
    assert ledger.used_us(0, 400 * HOUR_MS) == 0


def test_a_copy_in_flash_is_charged_in_advance() -> None:
    ledger = Ledger((36_000,))
    ledger.book(0, 800_000, 0)
    copy = Ledger((36_000,))
    copy.load(ledger.to_bytes(True))
    assert copy.used_us(0, 0) == 800_000 + 2_248_000
    copy.load(ledger.to_bytes(False))
    assert copy.used_us(0, 0) == 800_000


def test_what_may_yet_be_spent_without_a_write_survives_deep_sleep() -> None:
    ledger = Ledger((36_000,))
    ledger.committed()
    assert not ledger.book(0, 2_000_000, 0)
    woken = Ledger((36_000,))
    woken.load(ledger.to_bytes(False))
    assert woken.book(0, 400_000, 0)  # more than a sixteenth of the budget in all


def test_the_hour_is_an_hour_of_true_time_for_a_clock_that_runs_fast() -> None:
    ledger = Ledger((36_000,))
    bucket_end_ms = 302_000 * 100 - 1
    ledger.book(0, 35_900_000, bucket_end_ms - 35_900 - 2_000)  # ends, with its margin, as the bucket does
    wait = ledger.wait_ms(0, 35_900_000, bucket_end_ms - 2_000)
    assert wait / 1.005 >= HOUR_MS


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 900_000), st.sampled_from([41_216, 61_696, 370_688, 1_482_752, 2_793_472])),
        max_size=120,
    ),
    st.sampled_from([3_600, 36_000]),
)
def test_no_sliding_hour_exceeds_its_budget(schedule: list[tuple[int, int]], budget_ms: int) -> None:
    ledger = Ledger((budget_ms,))
    now = 0
    sent = []
    for pause_ms, airtime_us in schedule:
        now += pause_ms // 30  # dense, so that the budget is reached
        wait = ledger.wait_ms(0, airtime_us, now)
        if wait < 0 or wait > 2 * HOUR_MS:
            continue
        now += wait
        assert ledger.wait_ms(0, airtime_us, now) == 0
        ledger.book(0, airtime_us, now)
        sent.append((now, airtime_us))
        now += airtime_us // 1000 + 1
    assert worst_hour_ms(sent) <= budget_ms


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["send", "sleep", "boot", "cut"]), st.integers(0, 600_000)),
        min_size=20,
        max_size=250,
    ),
    st.integers(0, 5),
)
def test_no_band_exceeds_its_share_across_sleep_reboots_and_power_cuts(
    steps: list[tuple[str, int]], data_rate: int
) -> None:
    """Real time passes while the power is away (the node does not know): the real hours must hold as well."""
    real_ms = 0
    boot_ms = 0
    flash: bytes | None = None
    cache: bytes | None = None
    sent: dict[int, list[tuple[int, int]]] = {}

    def boot() -> Mac:
        mac = Mac(REGION, Block, bytes(8), bytes(8), bytes(16))
        mac.restore(flash, cache, real_ms - boot_ms)
        mac.seed(real_ms)
        if not mac.session.joined:
            mac.personalize(1, bytes(16), bytes(16))
        mac.session.data_rate = data_rate
        return mac

    mac = boot()
    for what, amount in steps:
        if what == "sleep":
            real_ms += amount
        elif what == "boot":
            mac = boot()
        elif what == "cut":
            cache = None
            real_ms += amount % 2_000
            boot_ms = real_ms
            mac = boot()
        else:
            for _ in range(5 + amount % 60):
                plan = mac.uplink(real_ms - boot_ms, 1, bytes(40))
                if isinstance(plan, Wait):
                    break
                assert isinstance(plan, Plan)
                if plan.commit:
                    flash = mac.flash_record(real_ms - boot_ms)
                cache = mac.cache_record(real_ms - boot_ms)
                band = REGION.band(plan.uplink.frequency_hz)
                sent.setdefault(band, []).append((real_ms, plan.airtime_us))
                real_ms += plan.airtime_us // 1000 + 1
    for band, frames in sent.items():
        assert worst_hour_ms(frames) <= REGION.sub_bands[band][2]
