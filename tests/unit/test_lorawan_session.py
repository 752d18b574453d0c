# SPDX-License-Identifier: MIT
"""The session record: whole or nothing, exact in the cache, ahead in flash, and never a number used twice."""

from __future__ import annotations

import pytest
from communode.node.lorawan.exchange import MacError, Plan
from communode.node.lorawan.mac import Mac
from communode.node.lorawan.region.eu868 import REGION
from communode.node.lorawan.session import FCNT_BLOCK, Session, sequence_of
from hypothesis import given, settings
from hypothesis import strategies as st
from lorawan_air import Block

EUI = bytes.fromhex("8899aabbccddeeff")


def new_mac(flash: bytes | None = None, cache: bytes | None = None, now_ms: int = 0) -> Mac:
    mac = Mac(REGION, Block, EUI, bytes(8), bytes(16))
    mac.restore(flash, cache, now_ms)
    return mac


def personalized() -> Mac:
    mac = new_mac()
    mac.personalize(0x260B1234, bytes(range(16)), bytes(range(16, 32)))
    return mac


def test_a_full_record_comes_back_as_it_was_and_stays_below_half_a_kilobyte() -> None:
    mac = personalized()
    session = mac.session
    for channel in range(3, 16):
        assert REGION.new_channel(session, channel, 863_000_000 + 400_000 * channel, 0x53) == 3
        assert REGION.dl_channel(session, channel, 869_525_000) == 3
    session.answers = b"\x05\x07" + bytes(49)
    session.rx2_frequency_hz, session.rx2_data_rate, session.data_rate = 869_000_000, 3, 4
    session.power_index, session.nb_trans, session.rx_delay, session.rx1_dr_offset = 5, 3, 15, 2
    session.max_duty_cycle, session.adr_ack_cnt, session.join_nonce = 7, 321, 1 << 24
    session.quiet_until_ms, session.mask, session.used, session.rx_lead_ms = 1 << 40, 0x8421, 0x0420, 77
    session.adr, session.ack_pending, session.lost, session.dev_nonce = False, True, True, 65536
    session.fcnt_up, session.fcnt_ceiling, session.fcnt_down = 4_000_000_000, 4_000_000_010, 77
    flash = mac.flash_record(1000)
    cache = mac.cache_record(1000)
    assert len(flash) == len(cache) <= 512
    again = new_mac(flash, cache, 2000).session
    for name in vars(session):
        if name not in ("region", "ledger"):
            assert getattr(again, name) == getattr(session, name), name
    assert new_mac(flash, None, 0).session.fcnt_up == 4_000_000_010


def test_any_changed_bit_makes_the_record_no_record() -> None:
    mac = personalized()
    flash = mac.flash_record(0)
    assert sequence_of(flash, EUI) == 1
    for bit in range(8 * len(flash)):
        broken = bytearray(flash)
        broken[bit // 8] ^= 1 << bit % 8
        assert sequence_of(bytes(broken), EUI) == -1


def test_any_cut_makes_the_record_no_record() -> None:
    flash = personalized().flash_record(0)
    for size in range(len(flash)):
        assert sequence_of(flash[:size], EUI) == -1
        assert sequence_of(flash[:size] + bytes(len(flash) - size), EUI) == -1


def test_the_record_of_another_device_is_not_taken() -> None:
    assert sequence_of(personalized().flash_record(0), bytes(8)) == -1


def test_another_region_keeps_the_nonces_and_drops_the_session() -> None:
    class Elsewhere(type(REGION)):  # type: ignore[misc]
        code = 99

    mac = personalized()
    mac.session.dev_nonce, mac.session.join_nonce = 41, 7
    flash = mac.flash_record(0)
    moved = Mac(Elsewhere(), Block, EUI, bytes(8), bytes(16))
    moved.restore(flash, None, 0)
    assert (moved.session.dev_nonce, moved.session.join_nonce, moved.session.joined) == (41, 7, False)


def test_time_goes_on_over_sleep_and_stands_still_without_power() -> None:
    mac = personalized()
    flash, cache = mac.flash_record(50_000), mac.cache_record(60_000)
    assert new_mac(flash, cache, 500_000).session.time_ms(500_000) == mac.session.time_ms(500_000)
    after_cut = new_mac(flash, None, 3).session
    assert after_cut.time_ms(3) == mac.session.time_ms(50_000)
    # A clock that went back although the cache is there (RTC lost, memory kept): never backwards.
    assert new_mac(flash, cache, 10).session.time_ms(10) == mac.session.time_ms(60_000)


def test_the_dev_nonce_ends_with_an_error_and_not_with_a_repetition() -> None:
    mac = new_mac()
    mac.session.dev_nonce = 0xFFFF
    mac.session.join_epoch_ms = 1
    assert isinstance(mac.join(10), Plan)
    with pytest.raises(MacError, match="dev_nonce_exhausted"):
        mac.join(10_000_000)


def test_the_frame_counter_ends_with_an_error_and_not_with_a_repetition() -> None:
    mac = personalized()
    mac.session.fcnt_up = mac.session.fcnt_ceiling = 0xFFFFFFFE
    assert isinstance(mac.uplink(0, 1, b"x"), Plan)
    with pytest.raises(MacError, match="counter_exhausted"):
        mac.uplink(1000, 1, b"x")
    flash = mac.flash_record(2000)
    with pytest.raises(MacError, match="counter_exhausted"):
        new_mac(flash).uplink(1000, 1, b"x")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["up", "boot", "cut", "cut_before", "cut_between", "torn"]), max_size=150))
def test_counters_are_never_used_twice_whatever_is_cut(steps: list[str]) -> None:
    """Every plan that reached the air has a new counter, and a power cut skips at most one block."""
    mac = personalized()
    flash: bytes = mac.flash_record(0)
    cache: bytes | None = mac.cache_record(0)
    now = 0
    used: list[int] = []
    for step in steps:
        now += 60_000
        if step == "boot":
            mac = new_mac(flash, cache, now)
            continue
        if step == "cut":
            cache, mac = None, new_mac(flash, None, now)
            continue
        mac.session.data_rate = 5
        plan = mac.uplink(now, 1, b"x")
        if not isinstance(plan, Plan):  # the ledger after many power cuts
            continue
        fcnt = mac.session.fcnt_up - 1
        if step == "cut_before":
            cache, mac = None, new_mac(flash, None, now)
            continue
        if plan.commit:
            flash = mac.flash_record(now)
        if step == "cut_between":  # flash written, cache not: a reset that keeps RTC memory
            mac = new_mac(flash, cache, now)
            continue
        fresh = mac.cache_record(now)
        if step == "torn":
            cache = fresh[:100] + bytes(len(fresh) - 100)
            mac = new_mac(flash, cache, now)
            continue
        cache = fresh
        used.append(fcnt)
    assert len(set(used)) == len(used)
    assert used == sorted(used)
    assert not used or used[-1] < len(used) + FCNT_BLOCK * len(steps)


def test_one_power_cut_skips_less_than_a_block() -> None:
    mac = personalized()
    flash = b""
    for _ in range(5):
        plan = mac.uplink(0, 1, b"x")
        assert isinstance(plan, Plan)
        if plan.commit:
            flash = mac.flash_record(0)
    after = new_mac(flash)
    assert 5 <= after.session.fcnt_up <= FCNT_BLOCK


def test_a_new_session_starts_at_the_defaults_of_the_region() -> None:
    session = Session(REGION, EUI)
    assert (session.rx2_frequency_hz, session.rx2_data_rate, session.rx_delay) == (869_525_000, 0, 1)
    assert session.frequencies[:4] == [868_100_000, 868_300_000, 868_500_000, 0]
    assert (session.mask, session.adr, session.joined) == (7, True, False)
