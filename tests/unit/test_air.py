# SPDX-License-Identifier: MIT
"""The shared medium: sensitivity, collisions, capture, half duplex, loss, cutting, memory."""

from __future__ import annotations

import pytest
from communode.virtual.air import SNR_LIMIT_DB, Air, isolation_db, same_channel
from event_timeline import packet

SYMBOL_US = 1024  # SF7 at 125 kHz
NOISE_DBM = -117.03  # -174 + 10 log10(125 kHz) + 6


def heard(air: Air, sent, receiver: str = "gateway") -> str:
    reception = air.reception(sent, receiver)
    if reception is None:
        return "nothing"
    return "intact" if reception.intact else "damaged"


def test_level_is_power_less_path_loss_and_snr_counts_from_the_noise_floor():
    air = Air(path_loss_db=120.0)
    sent = packet()
    air.transmit(sent)
    reception = air.reception(sent, "gateway")
    assert reception is not None
    assert reception.rssi_dbm == pytest.approx(-106.0)
    assert reception.snr_db == pytest.approx(-106.0 - NOISE_DBM, abs=0.01)
    assert air.noise_dbm("gateway", 868_100_000, 0) == pytest.approx(NOISE_DBM, abs=0.01)


def test_wider_channels_carry_more_noise():
    air = Air()
    narrow = air.level(packet(), "gateway")[1]
    wide = air.level(packet(bandwidth_hz=500_000), "gateway")[1]
    assert narrow - wide == pytest.approx(6.02, abs=0.01)


@pytest.mark.parametrize("spreading_factor", sorted(SNR_LIMIT_DB))
def test_each_spreading_factor_ends_at_its_snr_limit(spreading_factor: int):
    limit_loss_db = 14.0 - NOISE_DBM - SNR_LIMIT_DB[spreading_factor]
    for margin_db, expected in ((0.1, "intact"), (-0.1, "nothing")):
        air = Air(path_loss_db=limit_loss_db - margin_db)
        sent = packet(spreading_factor=spreading_factor)
        air.transmit(sent)
        assert heard(air, sent) == expected


def test_two_equal_packets_destroy_each_other():
    air = Air()
    first, second = packet("a"), packet("b", 1_010_000)
    air.transmit(first)
    assert heard(air, first) == "intact", "nothing has happened to it yet"
    air.transmit(second)
    assert (heard(air, first), heard(air, second)) == ("damaged", "damaged")


@pytest.mark.parametrize(("difference_db", "expected"), [(6.1, "intact"), (5.9, "damaged")])
def test_a_packet_six_db_stronger_survives(difference_db: float, expected: str):
    air = Air()
    strong, weak = packet("strong"), packet("weak", 1_020_000)
    air.link("strong", "gateway", 110.0)
    air.link("weak", "gateway", 110.0 + difference_db)
    air.transmit(strong)
    air.transmit(weak)
    assert (heard(air, strong), heard(air, weak)) == (expected, "damaged")


def test_a_collision_concerns_only_receivers_that_hear_both():
    air = Air()
    near, far = packet("near"), packet("far", 1_010_000)
    air.link("far", "gateway", 170.0)
    air.transmit(near)
    air.transmit(far)
    assert heard(air, near, "gateway") == "intact"
    assert heard(air, near, "elsewhere") == "damaged"


def test_three_preamble_symbols_may_be_lost_and_not_one_more():
    for overlap_symbols, expected in ((2.9, "intact"), (3.1, "damaged")):
        air = Air()
        earlier = packet("earlier")
        wanted = packet("wanted", earlier.end_us - int(overlap_symbols * SYMBOL_US))
        air.transmit(earlier)
        air.transmit(wanted)
        assert heard(air, wanted) == expected


def test_other_spreading_factors_disturb_only_when_much_stronger():
    for difference_db, expected in ((15.0, "intact"), (17.0, "damaged")):
        air = Air(path_loss_db=115.0)
        air.link("loud", "gateway", 115.0 - difference_db)
        wanted, loud = packet("wanted"), packet("loud", 1_010_000, spreading_factor=8)
        air.transmit(wanted)
        air.transmit(loud)
        assert isolation_db(wanted, loud) == -16
        assert heard(air, wanted) == expected


def test_neighbouring_channels_do_not_collide():
    air = Air()
    one, other = packet("a"), packet("b", frequency_hz=868_300_000)
    air.transmit(one)
    air.transmit(other)
    assert heard(air, one) == "intact"
    assert same_channel(one, packet("c", frequency_hz=868_130_000))
    assert not same_channel(one, packet("c", frequency_hz=868_131_000))


def test_downlinks_with_inverted_iq_do_not_destroy_uplinks():
    air = Air()
    up, down = packet("a"), packet("gateway-2", invert_iq=True)
    air.transmit(up)
    air.transmit(down)
    assert heard(air, up) == "intact"


def test_who_sends_hears_nothing():
    air = Air()
    sent, own = packet("a"), packet("gateway", 1_050_000, frequency_hz=869_525_000)
    air.transmit(sent)
    air.transmit(own)
    assert heard(air, sent) == "nothing"
    assert heard(air, sent, "other") == "intact"


def test_loss_is_near_its_rate_and_depends_on_seed_and_receiver_only():
    sent = [packet("a", 1_000_000 + 100_000 * n) for n in range(3000)]

    def lost(seed: int, receiver: str, backwards: bool = False) -> set[int]:
        air = Air(seed, loss=0.1)
        for transmission in sent:
            air.transmit(transmission)
        order = reversed(sent) if backwards else sent
        return {each.start_us for each in order if heard(air, each, receiver) == "nothing"}

    reference = lost(1, "gateway")
    assert 240 <= len(reference) <= 360
    assert lost(1, "gateway", backwards=True) == reference
    assert lost(2, "gateway") != reference
    assert lost(1, "other") != reference


def test_loss_must_be_a_probability():
    with pytest.raises(ValueError, match="probability"):
        Air(loss=1.5)


def test_fading_spreads_levels_and_repeats():
    air = Air(fading_db=4.0)
    levels = [air.level(packet(start_us=n), "gateway")[0] for n in range(500)]
    assert 3.4 < (sum((level + 106) ** 2 for level in levels) / 500) ** 0.5 < 4.6
    assert levels == [air.level(packet(start_us=n), "gateway")[0] for n in range(500)]


def test_a_cut_packet_is_damaged_and_frees_the_channel():
    air = Air()
    broken = packet("broken")
    air.transmit(broken)
    air.cut(broken, 1_020_000)
    later = packet("later", 1_030_000)
    air.transmit(later)
    assert heard(air, broken) == "damaged"
    assert heard(air, later) == "intact"
    assert air.was_cut(broken)
    assert air.transmissions(1_025_000, 1_029_000, 868_100_000) == []


def test_what_overlaps_is_listed_by_start_even_when_announced_ahead():
    air = Air()
    ahead, early = packet("ahead", 2_000_300), packet("early", 2_000_100)
    far_away = packet("other-band", 2_000_000, frequency_hz=869_525_000)
    for sent in (ahead, early, far_away):
        air.transmit(sent)
    assert air.transmissions(2_000_000, 2_100_000, 868_300_000) == [early, ahead]
    assert air.transmissions(0, 2_000_100, 868_100_000) == []
    assert air.transmissions(ahead.end_us - 1, ahead.end_us, 868_100_000) == [ahead]
    assert air.transmissions(ahead.end_us, ahead.end_us + 9, 868_100_000) == []


def test_long_packets_are_found_by_their_end():
    air = Air()
    long = packet("slow", 0, end_us=2_800_000, spreading_factor=12)
    air.transmit(long)
    for n in range(40):
        air.transmit(packet("quick", 60_000 * (n + 1), end_us=60_000 * (n + 1) + 40_000))
    assert long in air.transmissions(2_700_000, 2_750_000, 868_100_000)


def test_old_packets_are_forgotten():
    air = Air()
    for n in range(600):
        air.transmit(packet("a", n * 60_000_000))
        air.cut(packet("a", n * 60_000_000), n * 60_000_000 + 1)
    assert air.transmissions(0, 60_000_000, 868_100_000) == []
    assert len(air.transmissions(0, 10**12, 868_100_000)) <= 91
    assert len(air._cut) <= 91


def test_distance_makes_the_path_loss_of_placed_stations():
    air = Air(path_loss_db=120.0)
    air.place("gateway", 0, 0)
    air.place("near", 40, 0)
    air.place("far", 400, 0)
    near = air.level(packet("near"), "gateway")[0]
    far = air.level(packet("far"), "gateway")[0]
    assert near == pytest.approx(14 - 127.41)
    assert near - far == pytest.approx(20.8)


def test_subscribers_see_every_packet():
    air = Air()
    seen = []
    air.subscribe(seen.append)
    air.transmit(packet())
    assert seen == [packet()]
