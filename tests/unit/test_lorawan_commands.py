# SPDX-License-Identifier: MIT
"""Every class A MAC command of TS001-1.0.4, the rules about answers, and the ADR ladder."""

from __future__ import annotations

import pytest
from communode.node.lorawan import commands, frame
from communode.node.lorawan.exchange import Downlink, MacError, Plan
from communode.node.lorawan.mac import Mac
from communode.node.lorawan.region.eu868 import REGION
from lorawan_air import Block

ADDR = 0x260B1234
NWK = bytes(range(16))
APP = bytes(range(16, 32))


class Bench:
    """A personalised MAC and the network's side of its session."""

    def __init__(self) -> None:
        self.mac = Mac(REGION, Block, bytes(8), bytes(8), bytes(16))
        self.mac.restore(None, None, 0)
        self.mac.personalize(ADDR, NWK, APP)
        self.session = self.mac.session
        self.session.data_rate = 5
        self.security = frame.Security(ADDR, Block(NWK), Block(APP))
        self.fcnt_down = 0
        self.now = 0
        self.plan: Plan | None = None

    def up(
        self, payload: bytes = b"x", f_port: int | None = 1, confirmed: bool = False, answered: bool = False
    ) -> frame.Data:
        """Send one uplink, and unless a downlink is to follow, end it unanswered; what the network reads."""
        self.now += 600_000
        plan = self.mac.uplink(self.now, f_port, payload, confirmed)
        assert isinstance(plan, Plan), plan
        self.plan = plan
        if not answered:
            self.mac.finish(self.now)
            self.mac.close()
        return frame.open_data(self.security, plan.wire, self.session.fcnt_up - 1)

    def wire(
        self, f_opts: bytes = b"", f_port: int | None = None, payload: bytes = b"", **more: int
    ) -> bytes:
        """A downlink as the network builds it."""
        m_hdr, f_ctrl = more.get("m_hdr", frame.UNCONFIRMED_DOWN), more.get("f_ctrl", 0)
        fcnt = more.get("fcnt", self.fcnt_down)
        return frame.build_data(self.security, m_hdr, f_ctrl, fcnt, f_opts, f_port, payload)

    def down(
        self, f_opts: bytes = b"", snr_quarter_db: int = 30, data_rate: int = 5, **more: int
    ) -> Downlink | None:
        """Uplink, then this downlink in RX1."""
        self.up(answered=True)
        return self.take(self.wire(f_opts, **more), snr_quarter_db, data_rate)

    def take(self, wire: bytes, snr_quarter_db: int = 30, data_rate: int = 5) -> Downlink | None:
        assert self.plan
        got = self.mac.receive(self.plan, wire, data_rate, snr_quarter_db, self.now)
        self.mac.finish(self.now)
        self.mac.close()
        if got is not None:
            self.fcnt_down += 1
        assert got is None or isinstance(got, Downlink)
        return got

    def order(self, hexes: str, **more: int) -> str:
        """MAC commands down in FOpts or (when long) on port 0; the answers of the next uplink."""
        data = bytes.fromhex(hexes)
        if len(data) <= 15:
            assert self.down(data, **more)
        else:
            self.up(answered=True)
            assert self.take(self.wire(b"", 0, data), **more)
        got = self.up()
        return (got.payload if got.f_port == 0 else got.f_opts).hex()


# --- the commands ---------------------------------------------------------------------------------------


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
