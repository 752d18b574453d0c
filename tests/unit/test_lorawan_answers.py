# SPDX-License-Identifier: MIT
"""The rules about MAC answers and downlinks, and the ADR ladder (TS001-1.0.4)."""

from __future__ import annotations

import pytest
from communode.node.lorawan import commands, frame
from communode.node.lorawan.exchange import MacError, Plan
from communode.node.lorawan.mac import Mac
from communode.node.lorawan.region.eu868 import REGION
from lorawan_air import Block
from mac_bench import Bench

# --- answers --------------------------------------------------------------------------------------------


def test_several_commands_are_answered_in_order_in_one_frame() -> None:
    assert Bench().order("0608050a00d2ad840352070001", snr_quarter_db=0) == "06ff00080a030307"


def test_an_unknown_command_ends_the_list() -> None:
    assert Bench().order("068006", snr_quarter_db=0) == "06ff00"


def test_a_command_that_is_cut_off_ends_the_list() -> None:
    assert Bench().order("060352", snr_quarter_db=0) == "06ff00"


def test_sticky_answers_are_repeated_until_a_downlink_arrives_and_others_are_not() -> None:
    bench = Bench()
    assert bench.order("08050512d2ad840a00d2ad8406", snr_quarter_db=0) == "0805070a0306ff00"
    assert bench.up().f_opts.hex() == "0805070a03"
    assert bench.up().f_opts.hex() == "0805070a03"
    assert bench.down()
    assert bench.up().f_opts == b""


def test_sticky_answers_survive_deep_sleep() -> None:
    bench = Bench()
    bench.order("0805")
    again = Mac(REGION, Block, bytes(8), bytes(8), bytes(16))
    again.restore(bench.mac.flash_record(bench.now), bench.mac.cache_record(bench.now), bench.now)
    plan = again.uplink(bench.now + 600_000, 1, b"x")
    assert isinstance(plan, Plan)
    assert frame.open_data(bench.security, plan.wire, 2).f_opts == b"\x08"


def test_answers_beyond_fifteen_bytes_go_alone_on_port_0_and_the_payload_follows() -> None:
    bench = Bench()
    bench.up(answered=True)
    assert bench.take(bench.wire(b"", 0, b"\x06" * 6), 0)
    first = bench.up(b"reading", 2)
    assert (first.f_port, first.payload) == (0, b"\x06\xff\x00" * 6)
    assert bench.plan
    assert not bench.plan.complete
    second = bench.up(b"reading", 2)
    assert (second.f_port, second.payload, second.f_opts) == (2, b"reading", b"")
    assert bench.plan.complete


def test_answers_that_leave_no_room_go_first_in_f_opts() -> None:
    bench = Bench()
    bench.session.data_rate = 0
    bench.order("06")
    bench.down(b"\x06")
    assert bench.mac.max_payload() == 48
    first = bench.up(bytes(51))
    assert (first.f_port, first.f_opts[:1]) == (None, b"\x06")
    assert bench.up(bytes(51)).payload == bytes(51)


def test_sticky_answers_beyond_all_room_never_keep_the_payload_back_for_ever() -> None:
    bench = Bench()
    bench.session.data_rate = 0
    bench.up(answered=True)
    bench.take(bench.wire(b"", 0, b"".join(bytes((0x0A, n % 3, 0xD2, 0xAD, 0x84)) for n in range(12))))
    for _ in range(3):
        assert bench.up(bytes(51)).f_port == 0
        second = bench.up(bytes(51))
        assert (second.f_port, second.payload) == (1, bytes(51))


def test_a_flood_of_commands_cannot_swell_the_record() -> None:
    bench = Bench()
    bench.up(answered=True)
    assert bench.take(bench.wire(b"", 0, b"\x06" * 200))
    assert len(bench.session.answers) == 51
    assert len(bench.mac.flash_record(0)) <= 512


def test_max_payload_follows_the_rate_and_a_longer_payload_is_an_error() -> None:
    bench = Bench()
    for data_rate, size in enumerate((51, 51, 51, 115, 242, 242)):
        bench.session.data_rate = data_rate
        assert bench.mac.max_payload() == size
        with pytest.raises(MacError, match="payload_too_long"):
            bench.mac.uplink(0, 1, bytes(size + 1))
    bench.mac.request_link_check()
    assert bench.mac.max_payload() == 241


@pytest.mark.parametrize(("f_port", "payload"), [(0, b"x"), (225, b"x"), (-1, b""), (None, b"x")])
def test_a_port_that_does_not_exist_is_an_error(f_port: int | None, payload: bytes) -> None:
    with pytest.raises(MacError, match="bad_port"):
        Bench().mac.uplink(0, f_port, payload)


def test_nothing_is_sent_before_joining() -> None:
    with pytest.raises(MacError, match="not_joined"):
        Mac(REGION, Block, bytes(8), bytes(8), bytes(16)).uplink(0, 1, b"x")


# --- downlinks ------------------------------------------------------------------------------------------


def test_a_rejected_downlink_leaves_the_state_byte_for_byte() -> None:
    bench = Bench()
    good = bench.wire(b"", 3, b"x")
    refused = {
        "mic": good[:-1] + bytes((good[-1] ^ 1,)),
        "address": good[:1] + bytes((good[1] ^ 1,)) + good[2:],
        "type": bytes((0x40,)) + good[1:],
        "truncated": good[:11],
        "f_opts": bench.wire(b"\x06", 0, b"\x06"),
    }
    bench.up(answered=True)
    before = bench.mac.cache_record(bench.now)
    assert bench.plan
    for code, wire in refused.items():
        assert bench.mac.receive(bench.plan, wire, 5, 0, bench.now) is None
        assert bench.mac.rejection == code
        assert bench.mac.cache_record(bench.now) == before
    too_long = bench.wire(b"", 3, bytes(52))
    assert bench.mac.receive(bench.plan, too_long, 0, 0, bench.now) is None
    assert bench.mac.rejection == "too_long"
    assert bench.mac.cache_record(bench.now) == before
    assert bench.take(good)


def test_counters_of_downlinks_only_rise() -> None:
    bench = Bench()
    assert bench.down(fcnt=5)
    assert bench.down(fcnt=5) is None
    assert bench.down(fcnt=4) is None
    assert bench.down(fcnt=6)
    assert bench.down(fcnt=70_000) is None  # more than 16 bits ahead cannot be told from an old one
    assert bench.down(fcnt=65_541)
    assert bench.session.fcnt_down == 65_542


def test_a_downlink_without_port_delivers_nothing_but_its_ack() -> None:
    bench = Bench()
    bench.up(confirmed=True, answered=True)
    got = bench.take(bench.wire(f_ctrl=frame.ACK | frame.F_PENDING))
    assert got
    assert (got.f_port, got.acked, got.pending) == (None, True, True)


def test_an_ack_of_an_unconfirmed_uplink_is_no_ack() -> None:
    got = Bench().down(f_ctrl=frame.ACK)
    assert got
    assert not got.acked


def test_mac_commands_on_port_0_are_not_for_the_application() -> None:
    bench = Bench()
    bench.up(answered=True)
    got = bench.take(bench.wire(b"", 0, b"\x06"))
    assert got
    assert got.f_port is None
    assert got.payload == b""


# --- ADR ------------------------------------------------------------------------------------------------


def test_the_adr_ladder_is_that_of_the_specification() -> None:
    """TS001-1.0.4 table 9: DR1, power below maximum, NbTrans 3, default channels partly off."""
    bench = Bench()
    session = bench.session
    session.data_rate, session.power_index, session.nb_trans, session.mask = 1, 4, 3, 4
    seen = []
    for count in range(192):
        assert session.adr_ack_cnt == count
        asked = bool(bench.up().f_ctrl & frame.ADR_ACK_REQ)
        assert bench.plan
        seen.append((asked, bench.plan.data_rate, bench.plan.power_dbm))
    assert [row[0] for row in seen] == [False] * 64 + [True] * 128
    assert [row[1] for row in seen] == [1] * 128 + [0] * 64
    assert [row[2] for row in seen] == [8] * 96 + [16] * 96
    assert (session.nb_trans, session.mask) == (1, 7)
    assert session.lost


def test_the_ladder_ends_with_a_lost_network_and_any_downlink_ends_the_ladder() -> None:
    bench = Bench()
    for _ in range(64 + 32 * 7):
        bench.up()
    assert (bench.session.data_rate, bench.session.lost) == (0, True)
    assert bench.down(data_rate=0)
    assert (bench.session.adr_ack_cnt, bench.session.lost) == (0, False)
    assert not bench.up().f_ctrl & frame.ADR_ACK_REQ


def test_repetitions_do_not_count_for_adr() -> None:
    bench = Bench()
    bench.session.nb_trans = 3
    for _ in range(3):
        bench.now += 600_000
        assert isinstance(bench.mac.uplink(bench.now, 1, b"x"), Plan)
        bench.mac.finish(bench.now)
        for _ in range(2):
            assert isinstance(bench.mac.repeat(bench.now), Plan)
            bench.mac.finish(bench.now)
        assert bench.mac.repeat(bench.now) is None
        bench.mac.close()
    assert bench.session.adr_ack_cnt == 3


def test_answers_are_cut_between_commands() -> None:
    answers = bytes.fromhex("06ff090307080a03")
    assert [len(commands.fitting(answers, room)) for room in range(9)] == [0, 0, 0, 3, 3, 5, 6, 6, 8]
    assert commands.sticky(answers) == bytes.fromhex("080a03")
