# SPDX-License-Identifier: MIT
"""Every class A MAC command of TS001-1.0.4."""

from __future__ import annotations

import pytest
from communode.node.lorawan import frame
from communode.node.lorawan.exchange import Plan
from mac_bench import Bench


def test_link_check_is_asked_once_and_its_answer_kept() -> None:
    bench = Bench()
    bench.mac.request_link_check()
    assert bench.up(answered=True).f_opts == b"\x02"
    assert bench.take(bench.wire(bytes.fromhex("020a0f")))
    assert bench.mac.link_check == (10, 15)
    assert bench.up().f_opts == b""


def test_device_time_is_the_time_at_the_end_of_the_uplink_that_asked() -> None:
    bench = Bench()
    bench.mac.request_device_time()
    assert bench.up(answered=True).f_opts == b"\x0d"
    assert bench.take(bench.wire(bytes.fromhex("0d120b9f5580")))
    assert bench.mac.device_time == (1_436_486_418, 128, bench.now)


def test_a_device_time_nobody_asked_for_is_not_believed() -> None:
    bench = Bench()
    bench.down(bytes.fromhex("0d0100000000"))
    assert bench.mac.device_time is None


@pytest.mark.parametrize(
    ("hexes", "answer"),
    [
        ("0352070001", "0307"),  # DR5, power 2, channels 0-2
        ("0352ff0001", "0306"),  # a channel that is not defined: no
        ("0352000001", "0306"),  # all channels off: no
        ("0372070001", "0305"),  # DR7 is FSK: no
        ("0362070001", "0305"),  # DR6: none of these channels allows it
        ("0358070001", "0303"),  # TXPower 8 does not exist
        ("0352070011", "0306"),  # ChMaskCntl 1 is not defined here
        ("0352000061", "0307"),  # ChMaskCntl 6: all channels on
        ("03ff070001", "0307"),  # 15: keep rate and power
    ],
)
def test_link_adr_status(hexes: str, answer: str) -> None:
    bench = Bench()
    assert bench.order(hexes) == answer


def test_link_adr_is_all_or_nothing() -> None:
    bench = Bench()
    bench.order("0372030003")
    assert (bench.session.data_rate, bench.session.mask, bench.session.nb_trans) == (5, 7, 1)
    bench.order("0331030003")
    session = bench.session
    assert (session.data_rate, session.power_index, session.mask, session.nb_trans) == (3, 1, 3, 3)
    bench.order("03ff070000")  # NbTrans 0 is the default
    assert (session.data_rate, session.power_index, session.mask, session.nb_trans) == (3, 1, 7, 1)


def test_a_block_of_link_adr_is_one_command_with_equal_answers() -> None:
    bench = Bench()
    assert bench.order("0352ffff0103520300010341070002") == "030703070307"
    assert (bench.session.data_rate, bench.session.power_index, bench.session.nb_trans) == (4, 1, 2)
    # A bad last one spoils the whole block; another command in between makes two blocks.
    assert bench.order("03520300010351ff0001") == "03060306"
    assert bench.session.mask == 7
    assert bench.order("0352ff0001060352070001", snr_quarter_db=0) == "030606ff000307"


def test_link_adr_below_what_the_radio_can_do_is_refused() -> None:
    bench = Bench()
    bench.mac.min_power_dbm = 5  # TXPower 6 is 4 dBm
    assert bench.order("0356070001") == "0303"
    assert bench.order("0355070001") == "0307"


def test_with_adr_off_only_the_channel_mask_is_followed() -> None:
    bench = Bench()
    bench.mac.set_adr(False, 4)
    assert bench.order("0352030003") == "0301"
    assert (bench.session.data_rate, bench.session.mask, bench.session.nb_trans) == (4, 3, 1)
    assert not bench.up().f_ctrl & frame.ADR


def test_duty_cycle_makes_a_silence_after_every_frame() -> None:
    bench = Bench()
    assert bench.order("0404") == "04"
    assert bench.plan
    assert bench.plan.commit  # the silence is in flash before the frame is on air
    wait = bench.mac.uplink(bench.now + 1, 1, b"x")
    assert not isinstance(wait, Plan)
    assert wait.ms == bench.plan.airtime_us * 16 // 1000
    assert bench.order("0400") == "04"


@pytest.mark.parametrize(
    ("hexes", "answer"),
    [
        ("0512d2ad84", "0507"),  # offset 1, DR2, 869.525 MHz
        ("0562d2ad84", "0503"),  # offset 6
        ("0517d2ad84", "0505"),  # DR7 is FSK
        ("051240d98b", "0506"),  # 916 MHz
        ("057f40d98b", "0500"),
    ],
)
def test_rx_param_setup_is_all_or_nothing(hexes: str, answer: str) -> None:
    bench = Bench()
    assert bench.order(hexes) == answer
    session = bench.session
    done = (session.rx1_dr_offset, session.rx2_data_rate, session.rx2_frequency_hz)
    assert done == ((1, 2, 869_525_000) if answer == "0507" else (0, 0, 869_525_000))
    if answer == "0507":
        bench.up()
        assert bench.plan
        assert (bench.plan.rx1_data_rate, bench.plan.rx2_data_rate) == (4, 2)


@pytest.mark.parametrize(
    ("snr_quarter_db", "margin"), [(-120, "22"), (126, "1f"), (-4, "3f"), (30, "08"), (-200, "20")]
)
def test_dev_status_reports_battery_and_rounded_margin(snr_quarter_db: int, margin: str) -> None:
    bench = Bench()
    bench.mac.battery = 115
    assert bench.order("06", snr_quarter_db=snr_quarter_db) == "0673" + margin


@pytest.mark.parametrize(
    ("hexes", "answer"),
    [
        ("070308438450", "0703"),  # channel 3, 866.7336 MHz, DR0-5
        ("070318000050", "0702"),  # below 100 MHz is no frequency here
        ("0703d0898450", "0702"),  # 868.6096 MHz lies between two sub-bands
        ("070308438472", "0701"),  # up to DR7 (FSK)
        ("070308438405", "0701"),  # from DR5 to DR0
        ("070008438450", "0700"),  # a default channel
        ("071008438450", "0700"),  # channel 16
        ("070300000050", "0703"),  # removing one that is not there
    ],
)
def test_new_channel_status(hexes: str, answer: str) -> None:
    assert Bench().order(hexes) == answer


def test_a_new_channel_is_used_and_can_be_removed() -> None:
    bench = Bench()
    bench.order("070308438450")
    assert bench.session.mask == 0xF
    bench.session.used = 0
    used = set()
    for _ in range(4):
        bench.up()
        assert bench.plan
        used.add(bench.plan.uplink.frequency_hz)
    assert used == {868_100_000, 868_300_000, 868_500_000, 100 * 0x844308}
    bench.order("070300000000")
    assert (bench.session.mask, bench.session.frequencies[3]) == (7, 0)


def test_removing_the_only_enabled_channel_brings_back_the_defaults() -> None:
    bench = Bench()
    bench.order("070308438450")
    bench.order("0352080001")
    assert bench.session.mask == 8
    bench.order("070300000000")
    assert bench.session.mask == 7


@pytest.mark.parametrize(("hexes", "seconds"), [("0805", 5), ("0800", 1), ("080f", 15)])
def test_rx_timing_setup_sets_both_windows(hexes: str, seconds: int) -> None:
    bench = Bench()
    assert bench.order(hexes) == "08"
    assert bench.plan
    assert bench.plan.rx1_delay_us == 1_000_000 * seconds
    assert bench.plan.rx2_delay_us == 1_000_000 * (seconds + 1)


def test_tx_param_setup_is_dropped_where_the_region_has_no_use_for_it() -> None:
    assert Bench().order("090f06", snr_quarter_db=0) == "06ff00"


@pytest.mark.parametrize(
    ("hexes", "answer"),
    [("0a00d2ad84", "0a03"), ("0a05d2ad84", "0a01"), ("0a0040d98b", "0a02"), ("0a1040d98b", "0a00")],
)
def test_dl_channel_status(hexes: str, answer: str) -> None:
    assert Bench().order(hexes) == answer


def test_dl_channel_moves_rx1_of_that_channel_only() -> None:
    bench = Bench()
    bench.order("0a01d2ad84")
    bench.session.used = 0
    seen = {}
    for _ in range(3):
        bench.up()
        assert bench.plan
        seen[bench.plan.uplink.frequency_hz] = bench.plan.rx1.frequency_hz
    assert seen == {868_100_000: 868_100_000, 868_300_000: 869_525_000, 868_500_000: 868_500_000}
