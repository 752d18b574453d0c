# SPDX-License-Identifier: MIT
"""Downlinks of the bench server: windows, queue, duty cycle, MAC commands, ADR."""

from __future__ import annotations

import struct
import time

import pytest
from communode.errors import CommunodeError
from communode.lns.adr import AdrSettings
from communode.lns.frames import DataFrame, MType
from communode.lns.semtech import Kind
from communode.lns.session import Device, Downlink
from foreign_node import JOIN_EUI, ForeignNode
from server_bench import GATEWAY, Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def node() -> ForeignNode:
    return ForeignNode()


# --- downlinks ----------------------------------------------------------------------------------------------


def test_confirmed_uplinks_are_acknowledged_in_rx1(bench: Bench, node: ForeignNode):
    bench.joined(node)
    packet = bench.exchange(node.uplink(confirmed=True), frequency_hz=868_500_000)
    assert packet is not None
    assert packet.tmst_us == bench.tmst_us + 1_000_000
    assert (packet.frequency_hz, packet.power_dbm) == (868_500_000, 16)
    frame = node.take(packet.payload)
    assert (frame.ack, frame.fport, frame.fcnt) == (True, 1, 0)


def test_rx1_delay_is_told_in_the_join_accept_and_kept(node: ForeignNode):
    bench = Bench(rx1_delay_s=5)
    bench.joined(node)
    assert node.accepted.rx_delay == 5
    packet = bench.exchange(node.uplink(confirmed=True))
    assert packet is not None
    assert packet.tmst_us == bench.tmst_us + 5_000_000


def test_the_application_answers_into_the_same_rx1(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.answers.append(Downlink(10, b"bitmap"))
    packet = bench.exchange(node.uplink())
    assert packet is not None
    frame = node.take(packet.payload)
    assert (frame.fport, bytes(frame.payload), frame.confirmed) == (10, b"bitmap", False)
    assert bench.store.queue(node.dev_eui) == []
    (txack,) = [event for event in bench.of("txack") if event["queueItemId"]]
    assert (txack["fCntDown"], txack["window"], txack["gatewayId"]) == (0, "RX1", GATEWAY)


def test_the_queue_goes_out_one_by_one_with_f_pending(bench: Bench, node: ForeignNode):
    bench.joined(node)
    for n in range(3):
        bench.server.enqueue(node.dev_eui, 3, b"%d" % n)
    frames = [node.take(bench.exchange(node.uplink()).payload) for _ in range(3)]
    assert [bytes(frame.payload) for frame in frames] == [b"0", b"1", b"2"]
    assert [frame.fpending for frame in frames] == [True, True, False]
    assert [frame.fcnt for frame in frames] == [0, 1, 2]
    assert bench.exchange(node.uplink()) is None


def test_a_confirmed_downlink_reports_its_acknowledgement(bench: Bench, node: ForeignNode):
    bench.joined(node)
    for ack in (True, False):
        item = bench.server.enqueue(node.dev_eui, 3, b"x", confirmed=True)
        assert node.take(bench.exchange(node.uplink()).payload).confirmed
        bench.exchange(node.uplink(ack=ack))
        event = bench.of("ack")[-1]
        assert (event["queueItemId"], event["acknowledged"]) == (item, ack)
    assert len(bench.of("ack")) == 2


def test_rx2_is_used_when_the_gateway_refuses_rx1(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.server.enqueue(node.dev_eui, 3, b"x")
    bench.tx_error = "TOO_LATE"
    bench.tmst_us += 10_000_000
    bench.hear(node.uplink())
    packets = [packet for packet, _, _ in bench.downlinks()]
    assert [packet.tmst_us - bench.tmst_us for packet in packets] == [1_000_000, 2_000_000]
    assert (packets[1].frequency_hz, packets[1].datr, packets[1].power_dbm) == (869_525_000, "SF12BW125", 27)
    assert packets[0].payload == packets[1].payload, "one frame, one counter"
    assert bench.log_codes() == ["DOWNLINK_GATEWAY"]
    assert len(bench.store.queue(node.dev_eui)) == 1, "not sent, so still queued"
    bench.tx_error = "NONE"
    assert bytes(node.take(bench.exchange(node.uplink()).payload).payload) == b"x"


def test_a_payload_too_long_for_rx1_goes_into_rx2_or_not_at_all(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.server.enqueue(node.dev_eui, 3, bytes(51))
    packet = bench.exchange(node.uplink(), spreading_factor=12)
    assert packet is not None
    assert packet.datr == "SF12BW125"
    bench.server.enqueue(node.dev_eui, 3, bytes(52))
    assert bench.exchange(node.uplink(), spreading_factor=12) is None
    assert bench.log_codes() == ["DOWNLINK_PAYLOAD_SIZE"]
    session = bench.store.session(node.dev_eui)
    session.rx2_data_rate = 3
    bench.store.save_session(session)
    bench.server.enqueue(node.dev_eui, 3, bytes(100))
    packet = bench.exchange(node.uplink(), spreading_factor=12)
    assert packet is not None
    assert (packet.datr, packet.tmst_us) == ("SF9BW125", bench.tmst_us + 2_000_000)


def test_what_can_never_be_sent_is_refused_at_once(bench: Bench):
    for f_port, payload in ((0, b""), (224, b""), (1, bytes(243))):
        with pytest.raises(CommunodeError, match="cannot be sent"):
            bench.server.enqueue("70b3d57ed0001234", f_port, payload)
    with pytest.raises(CommunodeError, match="No device"):
        bench.server.enqueue("00" * 8, 1, b"")


def test_a_busy_gateway_moves_the_second_answer_to_rx2(bench: Bench, node: ForeignNode):
    other = ForeignNode(dev_eui="70b3d57ed0009999", app_key=bytes(16))
    bench.store.add(Device(other.dev_eui, JOIN_EUI, bytes(16)))
    bench.joined(node)
    bench.joined(other)
    bench.tmst_us += 10_000_000
    bench.hear(node.uplink(confirmed=True))
    bench.tmst_us += 20_000
    bench.hear(other.uplink(confirmed=True), frequency_hz=868_300_000)
    first, second = (packet for packet, _, _ in bench.downlinks())
    assert first.tmst_us == bench.tmst_us - 20_000 + 1_000_000
    assert second.tmst_us == bench.tmst_us + 2_000_000


def test_a_gateway_keeps_its_duty_cycle(bench: Bench, node: ForeignNode):
    bench.joined(node)
    sent: dict[str, int] = {}
    # An hour; an acknowledgement at SF12 takes 1155 ms of the 36 s in RX1 and the 360 s in RX2, the join 57 ms.
    for _ in range(345):
        packet = bench.exchange(node.uplink(confirmed=True), spreading_factor=12)
        window = "none" if packet is None else {868_100_000: "RX1", 869_525_000: "RX2"}[packet.frequency_hz]
        sent[window] = sent.get(window, 0) + 1
    assert sent == {"RX1": 31, "RX2": 311, "none": 3}
    bench.tmst_us += 3_600_000_000
    packet = bench.exchange(node.uplink(confirmed=True), spreading_factor=12)
    assert packet is not None
    assert packet.frequency_hz == 868_100_000, "an hour later RX1 is free again"


def test_no_downlink_leaves_outside_the_sub_bands(bench: Bench, node: ForeignNode):
    bench.joined(node)
    session = bench.store.session(node.dev_eui)
    session.rx2_hz = 869_300_000
    bench.store.save_session(session)
    assert bench.exchange(node.uplink(confirmed=True), frequency_hz=868_650_000) is None
    assert bench.log_codes() == ["DOWNLINK_GATEWAY"]


def test_a_refused_downlink_costs_no_duty_cycle(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.tx_error = "COLLISION_PACKET"
    for _ in range(60):
        bench.server.enqueue(node.dev_eui, 3, b"x")
        bench.tmst_us += 10_000_000
        bench.hear(node.uplink(), spreading_factor=12)
        bench.downlinks()
    bench.tx_error = "NONE"
    packet = bench.exchange(node.uplink(), spreading_factor=12)
    assert packet is not None
    assert packet.frequency_hz == 868_100_000


def test_bookings_survive_the_counter_s_wrap(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.tmst_us = (1 << 32) - 10_500_000  # RX1 of the next uplink lies beyond the wrap
    packet = bench.exchange(node.uplink(confirmed=True))
    assert packet is not None
    assert packet.tmst_us == 500_000
    for _ in range(500):
        assert bench.exchange(node.uplink(confirmed=True)) is not None
    assert all(len(link.booked) < 300 for link in bench.server._gateways.values())
    assert len(bench.server._flights) == 0


def test_a_gateway_without_tx_ack_counts_as_having_sent(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.server.enqueue(node.dev_eui, 3, b"x")
    bench.tmst_us += 10_000_000
    bench.hear(node.uplink())
    assert any(datagram.kind is Kind.PULL_RESP for datagram, _ in bench.outbox)
    bench.outbox.clear()  # protocol version 1: no TX_ACK
    assert bench.exchange(node.uplink()) is None
    assert bench.store.queue(node.dev_eui) == []


def test_an_unknown_tx_ack_is_ignored(bench: Bench):
    bench.give(Kind.TX_ACK, GATEWAY, {"txpk_ack": {"error": "NONE"}}, 999)
    assert bench.of("txack") == []


# --- MAC commands -------------------------------------------------------------------------------------------


def test_link_check_and_device_time_are_answered(bench: Bench, node: ForeignNode):
    bench.joined(node)
    frame = node.take(bench.exchange(node.uplink(fopts=b"\x02\x0d")).payload)
    seconds, milliseconds = divmod(1_400_000_000_000 + bench.tmst_us // 1000, 1000)
    time_answer = struct.pack("<BIB", 0x0D, seconds, milliseconds * 256 // 1000)
    assert bytes(frame.fopts) == b"\x02\x0e\x01" + time_answer  # 7 dB over -7.5 dB, one gateway


def test_commands_on_port_0_are_read_too(bench: Bench, node: ForeignNode):
    bench.joined(node)
    session = bench.store.session(node.dev_eui)
    phy = DataFrame(MType.UNCONFIRMED_UP, session.dev_addr, 0, f_port=0, payload=b"\x02").to_wire(
        session.nwk_s_key, session.app_s_key, 0
    )
    frame = node.take(bench.exchange(phy).payload)
    assert bytes(frame.fopts)[:1] == b"\x02"
    assert bench.of("up") == [], "MAC only"


def test_without_gps_the_host_s_clock_gives_the_time(bench: Bench, node: ForeignNode):
    bench.joined(node)
    frame = node.take(bench.exchange(node.uplink(fopts=b"\x0d"), gps_ms=None).payload)
    answered = int.from_bytes(bytes(frame.fopts)[1:5], "little")
    assert abs(answered - (time.time() - 315_964_800 + 18)) < 5


def test_an_adr_ack_req_is_answered(bench: Bench, node: ForeignNode):
    bench.joined(node)
    session = bench.store.session(node.dev_eui)
    phy = DataFrame(MType.UNCONFIRMED_UP, session.dev_addr, 0, adr=True, adr_ack_req=True).to_wire(
        session.nwk_s_key, session.app_s_key, 0
    )
    assert bench.exchange(phy) is not None


def test_raw_commands_are_sent_and_followed_once_confirmed(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.exchange(node.uplink())
    commands = bytes.fromhex("08030523d2ad84")  # RXTimingSetupReq 3 s; offset 2, DR3, 869.525 MHz
    bench.server.enqueue_commands(node.dev_eui, commands)
    packet = bench.exchange(node.uplink())
    assert packet.tmst_us == bench.tmst_us + 1_000_000, "not yet"
    assert bytes(node.take(packet.payload).fopts) == commands
    packet = bench.exchange(node.uplink(confirmed=True, fopts=b"\x08\x05\x07"))
    assert packet.tmst_us == bench.tmst_us + 3_000_000
    assert packet.datr == "SF9BW125", "DR5 less the offset of 2"
    session = bench.store.session(node.dev_eui)
    assert (session.rx2_data_rate, session.rx2_hz) == (3, 869_525_000)


def test_a_refused_request_is_not_followed(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.exchange(node.uplink())
    bench.server.enqueue_commands(node.dev_eui, bytes.fromhex("0523d2ad84"))
    node.take(bench.exchange(node.uplink()).payload)
    bench.exchange(node.uplink(fopts=b"\x05\x03"))
    assert bench.store.session(node.dev_eui).rx1_dr_offset == 0


def test_a_moved_downlink_channel_is_followed(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.exchange(node.uplink())
    bench.server.enqueue_commands(node.dev_eui, bytes.fromhex("0a01107a84"))  # channel 1: 868.2 MHz
    node.take(bench.exchange(node.uplink()).payload)
    packet = bench.exchange(node.uplink(confirmed=True, fopts=b"\x0a\x03"), frequency_hz=868_300_000)
    assert packet.frequency_hz == 868_200_000


def test_commands_beyond_15_bytes_wait_for_the_next_downlink(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.exchange(node.uplink())
    bench.server.enqueue_commands(node.dev_eui, bytes.fromhex("0703184f84500704e85684500705b85e8450"))
    first = node.take(bench.exchange(node.uplink()).payload)
    second = node.take(bench.exchange(node.uplink(fopts=b"\x07\x03\x07\x03")).payload)
    assert (len(first.fopts), len(second.fopts)) == (12, 6)


def test_device_status_becomes_an_event(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.exchange(node.uplink())
    bench.server.enqueue_commands(node.dev_eui, b"\x06")
    node.take(bench.exchange(node.uplink()).payload)
    bench.exchange(node.uplink(fopts=b"\x06\x80\x3f"))
    (event,) = bench.of("status")
    assert (event["margin"], event["batteryLevel"], event["externalPowerSource"]) == (-1, 50.2, False)


def test_adr_raises_the_data_rate_after_enough_uplinks(node: ForeignNode):
    bench = Bench(adr=AdrSettings(history=5))
    bench.joined(node)
    bench.lsnr = 2.0  # SF12: 2 + 20 - 10 = 12 dB to spare, 4 steps
    packets = [bench.exchange(node.uplink(adr=True), spreading_factor=12) for _ in range(5)]
    assert packets[:4] == [None] * 4
    frame = node.take(packets[4].payload)
    assert bytes(frame.fopts) == bytes.fromhex("0340ff0001")  # DR4, TXPower 0, eight channels, NbTrans 1
    assert frame.adr
    bench.exchange(node.uplink(adr=True, fopts=b"\x03\x07"), spreading_factor=8)
    assert len(bench.store.session(node.dev_eui).history) == 1, "a new data rate, a new history"


def test_adr_lowers_the_power_at_the_fastest_rate_and_stops(node: ForeignNode):
    bench = Bench(adr=AdrSettings(history=3))
    bench.joined(node)
    bench.lsnr = 9.0  # 9 + 7.5 - 10 = 6.5: two steps
    packets = [bench.exchange(node.uplink(adr=True)) for _ in range(3)]
    assert bytes(node.take(packets[2].payload).fopts) == bytes.fromhex("0352ff0001")
    bench.lsnr = 5.0  # what 4 dB less gives
    bench.exchange(node.uplink(adr=True, fopts=b"\x03\x07"))
    assert bench.store.session(node.dev_eui).power_index == 2
    assert [bench.exchange(node.uplink(adr=True)) for _ in range(6)] == [None] * 6


def test_adr_does_not_insist_on_what_a_device_refused(node: ForeignNode):
    bench = Bench(adr=AdrSettings(history=3))
    bench.joined(node)
    for _ in range(3):
        packet = bench.exchange(node.uplink(adr=True))
    node.take(packet.payload)
    bench.exchange(node.uplink(adr=True, fopts=b"\x03\x06"))  # channel mask refused
    assert [bench.exchange(node.uplink(adr=True)) for _ in range(5)] == [None] * 5


def test_adr_asks_less_and_less_often_while_no_answer_comes(node: ForeignNode):
    bench = Bench(adr=AdrSettings(history=3))
    bench.joined(node)
    asked = [number for number in range(80) if bench.exchange(node.uplink(adr=True)) is not None]
    assert asked == [2, 3, 5, 9, 17, 33, 65]
    assert (
        bench.exchange(node.uplink(adr=True, confirmed=True)).payload[5] & 0x0F
    )  # with a downlink that goes anyway
    bench.exchange(node.uplink(adr=True, fopts=b"\x03\x07"))


def test_adr_leaves_devices_alone_that_do_not_want_it(node: ForeignNode):
    bench = Bench(adr=AdrSettings(history=3))
    bench.joined(node)
    assert [bench.exchange(node.uplink()) for _ in range(6)] == [None] * 6
