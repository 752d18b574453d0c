# SPDX-License-Identifier: MIT
"""The bench server fed with datagrams by hand: join, counters, acknowledgements, windows, hostile input."""

from __future__ import annotations

import base64
import json
import random
import socket
import struct
import time

import pytest
from communode.errors import CommunodeError
from communode.lns.adr import AdrSettings
from communode.lns.frames import DataFrame, MType
from communode.lns.network import NetworkSettings
from communode.lns.semtech import Datagram, Kind, RxPacket, TxPacket
from communode.lns.server import Server, ServerThread
from communode.lns.session import Device, Downlink
from communode.lns.store import Store
from foreign_node import APP_KEY, JOIN_EUI, ForeignNode
from hypothesis import given, settings
from hypothesis import strategies as st

GATEWAY, OTHER = "00800000a0000001", "00800000a0000002"
ADDRESSES = {GATEWAY: ("127.0.0.1", 40001), OTHER: ("127.0.0.1", 40002)}


class Bench:
    """A server with its gateways played by the test; time is the gateways' counter."""

    def __init__(self, store: Store | None = None, **options) -> None:
        self.store = store or Store()
        self.events: list[dict] = []
        self.answers: list[Downlink] = []
        self.outbox: list[tuple[Datagram, tuple[str, int]]] = []
        dedup_ms = options.pop("dedup_ms", 0)
        self.server = Server(
            self.store,
            lambda data, address: self.outbox.append((Datagram.from_wire(data), address)),
            NetworkSettings(**options),
            dedup_ms=dedup_ms,
            on_event=self.events.append,
            on_uplink=lambda event: [self.answers.pop(0)] if self.answers else [],
        )
        self.tmst_us = 0
        self.tx_error = "NONE"
        self.lsnr = 7.0
        self.store.add(Device("70b3d57ed0001234", JOIN_EUI, APP_KEY))
        for gateway in ADDRESSES:
            self.give(Kind.PULL_DATA, gateway)
        self.outbox.clear()

    def give(self, kind: Kind, gateway: str = GATEWAY, body: dict | None = None, token: int = 7) -> None:
        self.server.handle(Datagram(kind, token, gateway, body or {}).to_wire(), ADDRESSES[gateway])

    def hear(self, phy: bytes, gateway: str = GATEWAY, **changes) -> None:
        packet = {
            "payload": phy,
            "tmst_us": self.tmst_us & 0xFFFFFFFF,
            "frequency_hz": 868_100_000,
            "spreading_factor": 7,
            "bandwidth_hz": 125_000,
            "rssi_dbm": -80,
            "snr_db": self.lsnr,
            "gps_ms": 1_400_000_000_000 + self.tmst_us // 1000,
            "time": "2026-01-01T00:00:00.000000Z",
        } | changes
        self.give(Kind.PUSH_DATA, gateway, {"rxpk": [RxPacket(**packet).to_json()]})

    def downlinks(self) -> list[tuple[TxPacket, tuple[str, int], int]]:
        """PULL_RESPs so far, each answered with `tx_error`."""
        found = []
        while self.outbox:
            datagram, address = self.outbox.pop(0)
            if datagram.kind is Kind.PULL_RESP:
                found.append((TxPacket.from_json(datagram.body), address, datagram.token))
                gateway = next(eui for eui, known in ADDRESSES.items() if known == address)
                self.give(Kind.TX_ACK, gateway, {"txpk_ack": {"error": self.tx_error}}, datagram.token)
        return found

    def exchange(self, phy: bytes, **changes) -> TxPacket | None:
        """An uplink ten seconds after the last; the downlink that answers it."""
        self.tmst_us += 10_000_000
        self.hear(phy, **changes)
        found = self.downlinks()
        assert len(found) <= 1
        return found[0][0] if found else None

    def joined(self, node: ForeignNode) -> ForeignNode:
        packet = self.exchange(node.join_request())
        assert packet is not None
        node.accept(packet.payload)
        return node

    def of(self, name: str) -> list[dict]:
        return [event for event in self.events if event["event"] == name]

    def log_codes(self) -> list[str]:
        return [event["code"] for event in self.of("log")]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def node() -> ForeignNode:
    return ForeignNode()


# --- join ---------------------------------------------------------------------------------------------------


def test_a_device_joins_in_rx1_five_seconds_later(bench: Bench, node: ForeignNode):
    packet = bench.exchange(node.join_request())
    assert packet is not None
    assert packet.tmst_us == 10_000_000 + 5_000_000
    assert (packet.frequency_hz, packet.datr) == (868_100_000, "SF7BW125")
    assert (packet.invert_iq, packet.crc, packet.preamble_symbols) == (True, False, 8)
    node.accept(packet.payload)
    assert node.accepted.rx_delay == 1
    assert bench.of("join") == [], "as ChirpStack: with the first uplink"
    bench.exchange(node.uplink())
    assert bench.of("join")[0]["devAddr"] == f"{node.accepted.dev_addr:08x}"


def test_pull_resp_leaves_before_the_push_ack(bench: Bench, node: ForeignNode):
    bench.hear(node.join_request())
    assert [datagram.kind for datagram, _ in bench.outbox] == [Kind.PULL_RESP, Kind.PUSH_ACK]
    assert bench.outbox[1][0].token == 7


def test_a_replayed_join_request_is_not_answered(bench: Bench, node: ForeignNode):
    phy = node.join_request()
    assert bench.exchange(phy)
    bench.store.add(Device("70b3d57ed0001234", JOIN_EUI, APP_KEY))  # adding it again changes nothing
    assert bench.exchange(phy) is None
    assert bench.log_codes() == ["OTAA"]
    assert "DevNonce 1 has been used" in bench.of("log")[0]["description"]


def test_dev_nonce_must_rise_and_join_nonce_does(bench: Bench, node: ForeignNode):
    nonces = []
    for dev_nonce in (5, 9, 9, 8, 10):
        node.dev_nonce = dev_nonce - 1
        packet = bench.exchange(node.join_request())
        if packet:
            nonces.append(bench.store.device(node.dev_eui).last_join_nonce)
            node.accept(packet.payload)
    assert nonces == [1, 2, 3]


def test_a_join_with_another_key_or_join_eui_is_not_answered(bench: Bench):
    assert bench.exchange(ForeignNode(app_key=bytes(16)).join_request()) is None
    assert "another AppKey" in bench.of("log")[0]["description"]
    assert bench.exchange(ForeignNode(dev_eui="00" * 8).join_request()) is None
    assert len(bench.of("log")) == 1, "devices of others are no news"


def test_the_old_session_works_until_the_new_one_is_used(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.exchange(node.uplink(b"before"))
    old, fcnt = node.session, node.fcnt_up
    lost = bench.exchange(node.join_request())
    assert lost is not None
    bench.exchange(bytes(old.encode_uplink(fcnt, 2, b"still old")))
    node.accept(lost.payload)
    bench.exchange(node.uplink(b"new"))
    bench.exchange(bytes(old.encode_uplink(fcnt + 1, 2, b"too late")))
    data = [base64.b64decode(event["data"]) for event in bench.of("up")]
    assert data == [b"before", b"still old", b"new"]
    assert len(bench.of("join")) == 2


def test_each_join_gets_a_dev_addr_of_its_own(bench: Bench, node: ForeignNode):
    addresses = {bench.joined(node).accepted.dev_addr for _ in range(5)}
    assert len(addresses) == 5
    assert all(address < 1 << 25 for address in addresses), "NetID 0, type 0"


# --- uplinks ------------------------------------------------------------------------------------------------


def test_an_uplink_becomes_an_event_in_chirpstack_shape(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.exchange(node.uplink(bytes.fromhex("0167"), f_port=5, adr=True))
    (event,) = bench.of("up")
    assert json.loads(json.dumps(event)) == event
    assert event["deviceInfo"]["devEui"] == node.dev_eui
    assert event["devAddr"] == f"{node.accepted.dev_addr:08x}"
    assert (event["fCnt"], event["fPort"], event["dr"]) == (0, 5, 5)
    assert (event["adr"], event["confirmed"], event["data"]) == (True, False, "AWc=")
    assert event["rxInfo"][0] | {"gatewayId": GATEWAY, "rssi": -80, "snr": 7.0} == event["rxInfo"][0]
    assert event["rxInfo"][0]["timeSinceGpsEpoch"] == "1400000020.000s"
    assert event["txInfo"] == {
        "frequency": 868_100_000,
        "modulation": {"lora": {"bandwidth": 125_000, "spreadingFactor": 7, "codeRate": "CR_4_5"}},
    }
    assert len(event["deduplicationId"]) == 36


def test_nobody_answers_an_uplink_that_asks_for_nothing(bench: Bench, node: ForeignNode):
    bench.joined(node)
    assert bench.exchange(node.uplink()) is None


def test_a_replayed_uplink_is_not_delivered_again(bench: Bench, node: ForeignNode):
    bench.joined(node)
    phys = [node.uplink(b"%d" % n) for n in range(4)]
    for phy in phys:
        bench.exchange(phy)
    for phy in phys[:3]:
        assert bench.exchange(phy) is None
    assert len(bench.of("up")) == 4
    assert bench.log_codes() == ["UPLINK_F_CNT_RESET"] * 3


def test_a_confirmed_retry_is_acknowledged_again_but_not_delivered_again(bench: Bench, node: ForeignNode):
    bench.joined(node)
    phy = node.uplink(confirmed=True)
    first, second = bench.exchange(phy), bench.exchange(phy)
    assert first is not None
    assert second is not None
    assert node.take(first.payload).ack
    assert node.take(second.payload).ack
    assert len(bench.of("up")) == 1
    assert bench.log_codes() == ["UPLINK_F_CNT_RETRANSMISSION"]


def test_a_repetition_of_an_unconfirmed_uplink_is_ignored(bench: Bench, node: ForeignNode):
    bench.joined(node)
    phy = node.uplink()
    bench.exchange(phy)
    bench.tmst_us += 2_500_000 - 10_000_000
    assert bench.exchange(phy) is None
    assert len(bench.of("up")) == 1


def test_frame_counters_roll_over_at_16_bits_and_are_32_bits_wide(bench: Bench, node: ForeignNode):
    bench.joined(node)
    for fcnt in (0, 40_000, 65_535, 65_536, 100_000, 131_071 + 30_000):
        node.fcnt_up = fcnt
        bench.exchange(node.uplink())
    assert [event["fCnt"] for event in bench.of("up")] == [0, 40_000, 65_535, 65_536, 100_000, 161_071]


def test_a_gap_of_more_than_16_bits_is_not_understood(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.exchange(node.uplink())
    node.fcnt_up = 70_000
    bench.exchange(node.uplink())
    assert len(bench.of("up")) == 1


def test_a_forged_uplink_changes_nothing(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.exchange(node.uplink())
    before = bench.store.session(node.dev_eui)
    phy = bytearray(node.uplink(confirmed=True))
    phy[6] = 200
    assert bench.exchange(bytes(phy)) is None
    assert bench.store.session(node.dev_eui) == before
    assert bench.log_codes() == ["UPLINK_MIC"]


def test_two_devices_with_one_dev_addr_are_told_apart_by_their_mic(bench: Bench, node: ForeignNode):
    other = ForeignNode(dev_eui="70b3d57ed0009999", app_key=bytes(16))
    bench.store.add(Device(other.dev_eui, JOIN_EUI, bytes(16)))
    bench.joined(node)
    bench.store.next_dev_addr = lambda net_id: node.accepted.dev_addr
    bench.joined(other)
    assert other.accepted.dev_addr == node.accepted.dev_addr
    bench.exchange(node.uplink(b"a"))
    bench.exchange(other.uplink(b"b"))
    assert [event["deviceInfo"]["devEui"] for event in bench.of("up")] == [node.dev_eui, other.dev_eui]


def test_crc_errors_and_unknown_data_rates_are_ignored(bench: Bench, node: ForeignNode):
    bench.joined(node)
    assert bench.exchange(node.uplink(confirmed=True), crc_status=-1) is None
    assert bench.exchange(node.uplink(confirmed=True), spreading_factor=9, bandwidth_hz=500_000) is None
    assert bench.of("up") == []


# --- downlinks ----------------------------------------------------------------------------------------------


def test_confirmed_uplinks_are_acknowledged_in_rx1(bench: Bench, node: ForeignNode):
    bench.joined(node)
    packet = bench.exchange(node.uplink(confirmed=True), frequency_hz=868_500_000)
    assert packet is not None
    assert packet.tmst_us == bench.tmst_us + 1_000_000
    assert (packet.frequency_hz, packet.power_dbm) == (868_500_000, 16)
    frame = node.take(packet.payload)
    assert (frame.ack, frame.fport, frame.fcnt) == (True, None, 0)


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
    for _ in range(
        345
    ):  # an hour; an acknowledgement at SF12 takes 991 ms of the 36 s in RX1, the join 57 ms
        packet = bench.exchange(node.uplink(confirmed=True), spreading_factor=12)
        window = "none" if packet is None else {868_100_000: "RX1", 869_525_000: "RX2"}[packet.frequency_hz]
        sent[window] = sent.get(window, 0) + 1
    assert sent == {"RX1": 36, "RX2": 345 - 36}
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


def test_adr_leaves_devices_alone_that_do_not_want_it(node: ForeignNode):
    bench = Bench(adr=AdrSettings(history=3))
    bench.joined(node)
    assert [bench.exchange(node.uplink()) for _ in range(6)] == [None] * 6


# --- several gateways ---------------------------------------------------------------------------------------


def test_the_first_copy_is_answered_on_a_bench(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.tmst_us += 10_000_000
    phy = node.uplink(confirmed=True)
    bench.hear(phy)
    bench.hear(phy, OTHER, snr_db=9.0)
    found = bench.downlinks()
    assert [address for _, address, _ in found] == [ADDRESSES[GATEWAY]]
    assert len(bench.of("up")) == 1


def test_with_deduplication_the_best_gateway_sends(node: ForeignNode):
    bench = Bench(dedup_ms=30)
    phy = node.join_request()
    bench.hear(phy)
    bench.hear(phy, OTHER, snr_db=9.5, tmst_us=123)
    assert bench.downlinks() == []
    time.sleep(0.04)
    bench.server.tick()
    (packet, address, _) = bench.downlinks()[0]
    assert address == ADDRESSES[OTHER]
    assert packet.tmst_us == 123 + 5_000_000
    node.accept(packet.payload)
    bench.tmst_us += 10_000_000
    phy = node.uplink()
    for gateway in (GATEWAY, OTHER, OTHER):
        bench.hear(phy, gateway)
    assert 0 < bench.server.tick() <= 0.03
    time.sleep(0.04)
    bench.server.tick()
    assert [info["gatewayId"] for info in bench.of("up")[0]["rxInfo"]] == [GATEWAY, OTHER]


def test_a_slow_server_skips_to_rx2(node: ForeignNode, monkeypatch):
    bench = Bench(dedup_ms=1)
    bench.hear(node.join_request())
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 5.5)
    bench.server.tick()
    packet, _, _ = bench.downlinks()[0]
    assert packet.frequency_hz == 869_525_000


def test_a_gateway_that_never_pulled_cannot_send(node: ForeignNode):
    bench = Bench()
    bench.server._gateways.clear()
    assert bench.exchange(node.join_request()) is None
    assert bench.log_codes() == ["DOWNLINK_GATEWAY"]


# --- memory -------------------------------------------------------------------------------------------------


def test_a_restarted_server_goes_on_where_it_was(tmp_path, node: ForeignNode):
    path = tmp_path / "lns.sqlite"
    bench = Bench(Store(path))
    bench.joined(node)
    bench.server.enqueue(node.dev_eui, 3, b"first")
    bench.server.enqueue(node.dev_eui, 3, b"second", confirmed=True)
    node.take(bench.exchange(node.uplink()).payload)
    bench.store.close()
    again = Bench(Store(path))
    again.tmst_us = bench.tmst_us
    frame = node.take(again.exchange(node.uplink()).payload)
    assert (frame.fcnt, bytes(frame.payload)) == (1, b"second")
    assert again.exchange(node.uplink(ack=True)) is None
    assert [event["fCnt"] for event in again.of("up")] == [1, 2]
    assert again.of("ack")[0]["acknowledged"]


def test_a_counter_once_used_is_not_used_again_after_a_crash(tmp_path, node: ForeignNode):
    path = tmp_path / "lns.sqlite"
    bench = Bench(Store(path))
    bench.joined(node)
    bench.server.enqueue(node.dev_eui, 3, b"x")
    bench.tmst_us += 10_000_000
    bench.hear(node.uplink())
    first = next(datagram for datagram, _ in bench.outbox if datagram.kind is Kind.PULL_RESP)
    bench.store.close()  # no TX_ACK was read: the server died
    again = Bench(Store(path))
    again.tmst_us = bench.tmst_us
    second = again.exchange(node.uplink())
    counters = [TxPacket.from_json(first.body).payload[6], second.payload[6]]
    assert counters == [0, 1]


# --- hostile input ------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    "tmst",
    "tmms",
    "freq",
    "chan",
    "rfch",
    "stat",
    "modu",
    "datr",
    "codr",
    "rssi",
    "lsnr",
    "size",
    "data",
    "time",
]
HOSTILE = Bench()


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=80))
def test_arbitrary_datagrams_do_not_crash_the_server(data: bytes):
    HOSTILE.server.handle(data, ("127.0.0.1", 1))
    for kind in range(7):
        head = struct.pack(">BHB", 2, 1, kind)
        HOSTILE.server.handle(head + data, ("127.0.0.1", 1))
        HOSTILE.server.handle(head + bytes(8) + data, ("127.0.0.1", 1))


@settings(max_examples=300, deadline=None)
@given(body=JSON, spoilt=st.dictionaries(st.sampled_from(FIELDS), JSON, min_size=1, max_size=3))
def test_arbitrary_json_does_not_crash_the_server(body, spoilt):
    good = RxPacket(bytes(23), 1, 868_100_000, 7, 125_000, -80, 7.0, gps_ms=5).to_json()
    for content in (body, {"rxpk": body}, {"rxpk": [good | spoilt]}, {"txpk_ack": body}):
        text = json.dumps(content).encode()
        for kind in (Kind.PUSH_DATA, Kind.TX_ACK):
            HOSTILE.server.handle(struct.pack(">BHB", 2, 1, kind) + bytes(8) + text, ("127.0.0.1", 1))


def test_deeply_nested_json_does_not_crash_the_server():
    text = b"[" * 50_000
    HOSTILE.server.handle(struct.pack(">BHB", 2, 1, 0) + bytes(8) + b'{"rxpk":' + text, ("127.0.0.1", 1))
    assert HOSTILE.server.rejected > 0


def test_arbitrary_phy_payloads_with_our_dev_addr_change_no_state(bench: Bench, node: ForeignNode):
    bench.joined(node)
    bench.exchange(node.uplink())
    before = (bench.store.session(node.dev_eui), bench.store.device(node.dev_eui))
    rng = random.Random(5)
    address = node.accepted.dev_addr.to_bytes(4, "little")
    for _ in range(2000):
        head = bytes([rng.choice([0x40, 0x80, 0x00, rng.randrange(256)])])
        phy = head + (address if rng.random() < 0.8 else rng.randbytes(4)) + rng.randbytes(rng.randrange(40))
        assert bench.exchange(phy) is None
    assert (bench.store.session(node.dev_eui), bench.store.device(node.dev_eui)) == before
    assert len(bench.of("up")) == 1


def test_many_gateways_do_not_fill_the_memory(bench: Bench):
    for number in range(1000):
        data = Datagram(Kind.PULL_DATA, 1, f"{number:016x}", {}).to_wire()
        bench.server.handle(data, ("127.0.0.1", 1))
    assert len(bench.server.gateways) <= 256


# --- the thread ---------------------------------------------------------------------------------------------


def test_the_thread_serves_a_real_socket_and_stops():
    events: list[dict] = []
    with ServerThread(Store(), on_event=events.append) as thread:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gateway:
            gateway.settimeout(5.0)
            gateway.connect(thread.address)
            gateway.send(bytes.fromhex("02abcd02" + GATEWAY))
            assert gateway.recv(64) == bytes.fromhex("02abcd04")
            gateway.send(bytes.fromhex("02123400" + GATEWAY) + b'{"stat":{"rxnb":0}}')
            assert gateway.recv(64) == bytes.fromhex("02123401")
        assert thread.server.gateways == [GATEWAY]
        assert thread.running
    assert not thread.running


def test_a_taken_address_is_a_clear_error():
    with ServerThread(Store()) as thread, pytest.raises(CommunodeError) as caught:
        ServerThread(Store(), bind=thread.address)
    assert caught.value.code == "network.bind_failed"


def test_an_application_that_fails_is_heard_at_stop(node: ForeignNode):
    store = Store()
    store.add(Device(node.dev_eui, JOIN_EUI, APP_KEY))

    def fail(event: dict) -> list[Downlink]:
        raise RuntimeError("application")

    thread = ServerThread(store, on_uplink=fail)
    thread.start()
    bench = Bench(store)
    bench.joined(node)
    packet = RxPacket(node.uplink(), 5, 868_100_000, 7, 125_000, -80, 7.0)
    body = {"rxpk": [packet.to_json()]}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gateway:
        gateway.sendto(Datagram(Kind.PUSH_DATA, 1, GATEWAY, body).to_wire(), thread.address)
        deadline = time.monotonic() + 5
        while thread.running and time.monotonic() < deadline:
            time.sleep(0.01)
    with pytest.raises(RuntimeError, match="application"):
        thread.stop()
