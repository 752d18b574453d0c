# SPDX-License-Identifier: MIT
"""The end-device certification tests of the LoRa Alliance by their numbers, class A, EU868.

The node is the firmware on the virtual board, in virtual time; what it is told, it is told by TS009 on port
224 and by MAC commands over the air. Numbers: LoRaWAN End Device Certification Requirements v1.6.1 (2.2
activation, 2.5 MAC commands, 5 retransmission and back-off). Not a replacement for a laboratory: there is no
radio here, and the expectations are ours, read from TS001-1.0.4 (L2).
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from laboratory import JOIN_EUI, RX2_HZ, Laboratory, Part, Reply, Script, Uplink, echoed
from laboratory_fixtures import MakeLaboratory, laboratory, laboratory_flash  # noqa: F401

DEFAULTS_HZ = {868_100_000, 868_300_000, 868_500_000}
CF_LIST_HZ = (867_100_000, 867_300_000, 867_500_000, 867_700_000, 867_900_000)
CF_LIST = b"".join((hertz // 100).to_bytes(3, "little") for hertz in CF_LIST_HZ) + b"\0"


def hertz(frequency: int) -> bytes:
    """A frequency as MAC commands carry it."""
    return (frequency // 100).to_bytes(3, "little")


def used(uplinks: list[Uplink]) -> set[int]:
    """Frequencies of data frames."""
    return {uplink.sent.frequency_hz for uplink in uplinks if uplink.data is not None}


def some(count: int) -> Part:
    """So many uplinks without an answer; the last one."""
    for _ in range(count):
        uplink = yield None
    return uplink


# --- 2.2 Over-the-air activation ---------------------------------------------------------------------------


def test_2_2_1_join_requests_before_an_accept(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        seen = []
        for _ in range(12):
            uplink = yield None
            assert len(uplink.sent.payload) == 23
            seen.append(uplink)
        assert [uplink.request.dev_nonce for uplink in seen] == list(range(12))
        assert {uplink.sent.frequency_hz for uplink in seen} == DEFAULTS_HZ
        assert {uplink.data_rate for uplink in seen} == {0, 1, 2, 3, 4, 5}
        assert seen[0].data_rate == 5
        # TR007: the time between attempts grows and is never the same for two nodes
        gaps = [later.sent.start_us - one.sent.end_us for one, later in pairwise(seen)]
        assert min(gaps) >= 6_000_000 + 5_000_000
        assert min(gaps[6:]) > 100_000_000
        assert len(set(gaps)) == len(gaps)

    laboratory().run(script)


def test_2_2_2_a_join_accept_is_taken_in_rx1(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        uplink = yield None
        uplink = yield lab.accept(uplink)
        assert (uplink.data.fcnt, uplink.data.dev_addr) == (0, lab.dev_addr)
        assert uplink.sent.end_us < 15_000_000

    laboratory().run(script)


def test_2_2_3_a_join_accept_is_taken_in_rx2(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        uplink = yield None
        uplink = yield lab.accept(uplink, window=2)
        assert uplink.data.fcnt == 0

    laboratory().run(script)


def test_2_2_4_a_join_accept_with_a_wrong_mic_is_ignored(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        uplink = yield None
        good = lab.accept(uplink)
        assert good.wire is not None
        uplink = yield Reply(wire=good.wire[:9] + bytes((good.wire[9] ^ 1,)) + good.wire[10:])
        assert uplink.request.dev_nonce == 1
        uplink = yield lab.accept(uplink)
        assert uplink.data.fcnt == 0

    laboratory().run(script)


def test_2_2_5_a_join_accept_of_an_earlier_attempt_is_ignored(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        uplink = yield None
        first = lab.accept(uplink)
        uplink = yield first
        assert uplink.data.fcnt == 0
        uplink = yield from lab.order("02", uplink)  # DutJoinReq
        uplink = yield first  # JoinNonce did not rise
        assert uplink.request.dev_nonce == 2
        uplink = yield lab.accept(uplink)
        assert (uplink.data.fcnt, uplink.data.dev_addr) == (0, lab.dev_addr)

    laboratory().run(script)


def test_2_2_6_cf_list_and_settings_of_the_accept_hold_at_once(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        lab.plan.rx1_delay_s, lab.plan.rx1_dr_offset, lab.plan.rx2_data_rate = 5, 2, 3
        uplink = yield from lab.activate(cf_list=CF_LIST)
        uplink = yield from lab.echo(b"rx1")
        assert uplink.answer == echoed(b"rx1")
        uplink = yield from lab.echo(b"rx2", window=2)
        assert uplink.answer == echoed(b"rx2")
        yield from some(16)
        assert used(lab.uplinks[-16:]) == DEFAULTS_HZ | set(CF_LIST_HZ)

    laboratory().run(script)


def test_2_2_7_a_reset_uses_the_next_dev_nonce(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        uplink = yield from lab.activate()
        uplink = yield from lab.order("01", uplink)  # DutResetReq
        assert uplink.request.dev_nonce == 1
        uplink = yield lab.accept(uplink)
        assert uplink.data.fcnt == 0
        assert bytes(uplink.request or JOIN_EUI) == JOIN_EUI

    lab = laboratory()
    lab.run(script)
    assert [cause for _, cause in lab.board.boots] == [1, 2]


# --- 2.5 MAC commands ---------------------------------------------------------------------------------------


def test_2_5_1_dev_status(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        yield from lab.activate()
        for reply in (Reply(f_opts=b"\x06"), Reply(f_port=0, payload=b"\x06")):
            uplink = yield reply
            cid, battery, margin = uplink.commands
            assert (cid, battery) == (6, 255)
            assert -32 <= (margin ^ 32) - 32 <= 31
            assert (margin ^ 32) - 32 > 0  # the air is good
        uplink = yield None
        assert uplink.commands == b""

    laboratory().run(script)


def test_2_5_2_new_channel(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        yield from lab.activate()
        added = b"".join(
            bytes((7, 3 + number)) + hertz(frequency) + b"\x50" for number, frequency in enumerate(CF_LIST_HZ)
        )
        uplink = yield Reply(f_port=0, payload=added)
        assert uplink.commands == b"\x07\x03" * 5
        yield from some(16)
        assert used(lab.uplinks[-16:]) == DEFAULTS_HZ | set(CF_LIST_HZ)
        for body, status in (
            (b"\x00" + hertz(867_100_000) + b"\x50", 0),  # a default channel cannot be changed
            (b"\x03" + hertz(902_000_000) + b"\x50", 2),  # out of the band
            (b"\x03" + hertz(867_100_000) + b"\x05", 1),  # data rates the wrong way round
            (b"\x03" + hertz(902_000_000) + b"\xf0", 0),
        ):
            uplink = yield Reply(f_opts=b"\x07" + body)
            assert uplink.commands == bytes((7, status)), body.hex()
        taken_away = b"".join(bytes((7, channel)) + bytes(3) + b"\x50" for channel in range(3, 8))
        uplink = yield Reply(f_port=0, payload=taken_away)
        assert uplink.commands == b"\x07\x03" * 5
        yield from some(9)
        assert used(lab.uplinks[-9:]) == DEFAULTS_HZ

    laboratory().run(script)


def test_2_5_3_dl_channel(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        yield from lab.activate()
        moves = dict(zip(sorted(DEFAULTS_HZ), CF_LIST_HZ, strict=False))
        orders = b"".join(
            bytes((10, number)) + hertz(frequency) for number, frequency in enumerate(moves.values())
        )
        uplink = yield Reply(f_opts=orders)
        assert uplink.commands == b"\x0a\x03" * 3
        uplink = yield None
        assert uplink.commands == b"\x0a\x03" * 3  # until a downlink arrives
        lab.plan.rx1_hz = moves
        for number in range(6):
            uplink = yield from lab.echo(bytes((number,)))
            assert uplink.answer == echoed(bytes((number,)))
            assert uplink.commands == b""
        uplink = yield Reply(f_opts=b"\x0a\x00" + hertz(902_000_000))
        assert uplink.commands == b"\x0a\x02"
        uplink = yield Reply(f_opts=b"\x0a\x09" + hertz(867_100_000))
        assert uplink.commands == b"\x0a\x01"

    laboratory().run(script)


def test_2_5_4_rx_param_setup(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        yield from lab.activate()
        uplink = yield Reply(f_opts=b"\x05\x23" + hertz(868_700_000))  # offset 2, RX2 DR3
        assert uplink.commands == b"\x05\x07"
        uplink = yield None
        assert uplink.commands == b"\x05\x07"
        plan = lab.plan
        plan.rx1_dr_offset, plan.rx2_data_rate, plan.rx2_hz = 2, 3, 868_700_000
        for window in (1, 2):
            uplink = yield from lab.echo(b"x", window=window)
            assert uplink.answer == echoed(b"x")
        for settings, frequency, status in (
            (0x23, 902_000_000, 6),
            (0x2F, RX2_HZ, 5),
            (0x63, RX2_HZ, 3),
            (0x6F, 902_000_000, 0),
        ):
            uplink = yield Reply(f_opts=bytes((5, settings)) + hertz(frequency))
            assert uplink.commands == bytes((5, status))
        uplink = yield from lab.echo(b"y", window=2)  # nothing of a refused one is applied
        assert uplink.answer == echoed(b"y")

    laboratory().run(script)


def test_2_5_5_rx_timing_setup(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        yield from lab.activate()
        for delay in (1, 2, 5, 15, 0):
            uplink = yield Reply(f_opts=bytes((8, delay)))
            assert uplink.commands == b"\x08"
            lab.plan.rx1_delay_s = delay or 1
            for window in (1, 2):
                uplink = yield from lab.echo(bytes((delay,)), window=window)
                assert uplink.answer == echoed(bytes((delay,)))
        assert uplink.commands == b""

    laboratory().run(script)


def test_2_5_6_tx_param_setup_is_not_for_this_region(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        yield from lab.activate()
        uplink = yield Reply(f_opts=b"\x09\x15\x06")
        assert uplink.commands[:1] == b"\x06"  # dropped, and the next one is followed
        assert len(uplink.commands) == 3

    laboratory().run(script)


def test_2_5_7_link_check(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        uplink = yield from lab.activate()
        uplink = yield from lab.order("20", uplink)
        assert uplink.commands == b"\x02"
        uplink = yield Reply(f_opts=b"\x02\x14\x01")
        assert uplink.commands == b""
        uplink = yield from lab.order("20", uplink)
        assert uplink.commands == b"\x02"

    laboratory().run(script)


def test_2_5_8_link_adr(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        uplink = yield from lab.activate(cf_list=CF_LIST)
        loudest_dbm = uplink.sent.power_dbm
        for data_rate in (0, 3, 5):
            uplink = yield Reply(f_opts=bytes((3, data_rate << 4, 0xFF, 0, 1)))
            assert (uplink.commands, uplink.data_rate) == (b"\x03\x07", data_rate)
        for power in range(8):
            uplink = yield Reply(f_opts=bytes((3, 0x50 | power, 0xFF, 0, 1)))
            assert uplink.commands == b"\x03\x07"
            assert uplink.sent.power_dbm == pytest.approx(loudest_dbm - 2 * power, abs=1)
        uplink = yield Reply(f_opts=bytes((3, 0x50, 0x05, 0, 1)))
        yield from some(6)
        assert used(lab.uplinks[-6:]) == {868_100_000, 868_500_000}
        for body, status in (
            (b"\x50\x00\x00\x01", 6),  # no channel at all
            (b"\x50\x00\x01\x01", 6),  # one that does not exist
            (b"\xd0\x05\x00\x01", 5),  # no such data rate
            (b"\x58\x05\x00\x01", 3),  # no such power
        ):
            uplink = yield Reply(f_opts=b"\x03" + body)
            assert uplink.commands == bytes((3, status)), body.hex()
            assert uplink.data_rate == 5
        yield from some(6)
        assert used(lab.uplinks[-6:]) == {868_100_000, 868_500_000}

    laboratory().run(script)


def test_2_5_8_a_block_of_link_adr_is_one_order(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        yield from lab.activate(cf_list=CF_LIST)
        # The first switches everything on, the second takes its place; rate and power are the last one's.
        uplink = yield Reply(f_opts=bytes((3, 0x00, 0, 0, 0x61, 3, 0x41, 0xF8, 0, 0x01)))
        assert (uplink.commands, uplink.data_rate) == (b"\x03\x07\x03\x07", 4)
        yield from some(10)
        assert used(lab.uplinks[-10:]) == set(CF_LIST_HZ)
        uplink = yield Reply(f_opts=bytes((3, 0x50, 0xFF, 0, 0x01, 3, 0x50, 0xFF, 0xFF, 0x01)))
        assert (uplink.commands, uplink.data_rate) == (b"\x03\x06\x03\x06", 4)

    laboratory().run(script)


def test_2_5_9_duty_cycle(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        yield from lab.activate()
        uplink = yield Reply(f_opts=b"\x04\x0a")  # 1 / 1024
        assert uplink.commands == b"\x04"
        for _ in range(3):
            before, uplink = uplink, (yield None)
            airtime_us = before.sent.end_us - before.sent.start_us
            # Silence of airtime * (1024 - 1); from start to start that is airtime * 1024.
            assert uplink.sent.start_us - before.sent.start_us >= 1024 * airtime_us
        uplink = yield Reply(f_opts=b"\x04\x00")
        before, uplink = uplink, (yield None)
        assert uplink.sent.start_us - before.sent.start_us < 6_000_000

    laboratory().run(script)


def test_2_5_10_device_time(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        uplink = yield from lab.activate()
        uplink = yield from lab.order("21", uplink)
        assert uplink.commands == b"\x0d"
        uplink = yield Reply(f_opts=b"\x0d" + (1_400_000_000).to_bytes(4, "little") + b"\x80")
        assert uplink.commands == b""

    laboratory().run(script)


def test_2_5_14_several_commands_are_answered_in_order(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        yield from lab.activate()
        orders = (
            b"\x06" + b"\x08\x01" + b"\x05\x00" + hertz(RX2_HZ) + b"\x07\x03" + hertz(867_100_000) + b"\x50"
        )
        uplink = yield Reply(f_opts=orders)
        answer = uplink.commands
        assert answer[0] == 6
        assert answer[3:] == b"\x08\x05\x07\x07\x03"
        # More than fits into FOpts goes alone on port 0, and the payload waits for its turn.
        uplink = yield Reply(f_port=0, payload=orders * 2)
        assert uplink.data.fport == 0
        assert uplink.commands[3:8] == b"\x08\x05\x07\x07\x03"
        assert len(uplink.commands) == 16

    laboratory().run(script)


def test_2_5_14_what_follows_an_unknown_command_is_not_followed(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        yield from lab.activate()
        uplink = yield Reply(f_opts=b"\x06\x80\x08\x0f")
        assert uplink.commands[:1] == b"\x06"
        assert len(uplink.commands) == 3
        uplink = yield from lab.echo(b"still at one second")
        assert uplink.answer == echoed(b"still at one second")

    laboratory().run(script)


# --- 5 Retransmission and back-off --------------------------------------------------------------------------


def test_5_nb_trans_repeats_the_same_frame_until_a_downlink(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        yield from lab.activate()
        first = yield Reply(f_opts=bytes((3, 0x50, 7, 0, 3)))
        copies = [first, (yield None), (yield None)]
        assert len({copy.sent.payload for copy in copies}) == 1
        assert len(used(copies)) > 1  # it hops
        for one, later in pairwise(copies):
            assert later.sent.start_us - one.sent.end_us > 2_000_000  # after RX2
        fresh = yield None
        assert fresh.data.fcnt == first.data.fcnt + 1
        after = yield Reply(1, b"x")  # a downlink ends the repetitions
        assert after.data.fcnt == fresh.data.fcnt + 1

    laboratory().run(script)


def test_5_a_confirmed_uplink_is_repeated_after_the_timeout(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        uplink = yield from lab.activate()
        uplink = yield Reply(f_opts=bytes((3, 0x50, 7, 0, 2)))
        uplink = yield Reply(1, b"no repetition")
        uplink = yield from lab.order("0702", uplink)  # confirmed frames
        assert uplink.data.confirmed
        again = yield None
        assert again.sent.payload == uplink.sent.payload
        # RECEIVE_DELAY2 and RETRANSMIT_TIMEOUT (2 s, give or take one)
        assert 3_000_000 <= again.sent.start_us - uplink.sent.end_us <= 5_500_000
        fresh = yield Reply(ack=True)
        assert fresh.data.fcnt == uplink.data.fcnt + 1

    laboratory().run(script)


def test_5_the_adr_back_off_goes_down_its_ladder(laboratory: MakeLaboratory) -> None:  # noqa: F811
    def script(lab: Laboratory) -> Script:
        uplink = yield from lab.activate(cf_list=CF_LIST)
        uplink = yield Reply(f_opts=bytes((3, 0x52, 0xF8, 0, 1)))
        quiet = uplink.sent.power_dbm
        ladder = []
        for _ in range(64 + 32 * 8):
            ladder.append(uplink)
            uplink = yield None
        assert [step.adr_ack_req for step in ladder[:65]] == [False] * 64 + [True]
        assert {step.sent.power_dbm for step in ladder[:96]} == {quiet}
        assert ladder[96].sent.power_dbm == pytest.approx(quiet + 4, abs=1)
        assert [ladder[96 + 32 * step].data_rate for step in range(6)] == [5, 4, 3, 2, 1, 0]
        assert used(ladder[:256]) == set(CF_LIST_HZ)
        assert used(ladder[-30:]) > DEFAULTS_HZ
        uplink = yield Reply(1, b"here")
        assert not uplink.adr_ack_req

    laboratory().run(script)


def test_5_join_requests_keep_their_share_of_hours_and_days(laboratory: MakeLaboratory) -> None:  # noqa: F811
    hour_us = 3_600_000_000

    def script(lab: Laboratory) -> Script:
        begun_us = 0  # power-up (TR007-1.1 4.8)
        spent = {"hour": 0, "ten hours": 0, "day": 0}
        while True:
            uplink = yield None
            since_us = uplink.sent.start_us - begun_us
            airtime_us = uplink.sent.end_us - uplink.sent.start_us
            if since_us < hour_us:
                spent["hour"] += airtime_us
            elif since_us < 11 * hour_us:
                spent["ten hours"] += airtime_us
            elif since_us < 35 * hour_us:
                spent["day"] += airtime_us
            else:
                break
        assert 5_000_000 < spent["hour"] <= 36_000_000
        assert 25_000_000 < spent["ten hours"] <= 36_000_000
        assert 5_000_000 < spent["day"] <= 8_700_000

    laboratory().run(script, limit_s=200_000)
