# SPDX-License-Identifier: MIT
"""Uplinks at the bench server: joins, counters, replays, events, deduplication, memory."""

from __future__ import annotations

import base64
import json
import time

import pytest
from communode.lns.semtech import Kind, TxPacket
from communode.lns.session import Device
from communode.lns.store import Store
from foreign_node import APP_KEY, JOIN_EUI, ForeignNode
from server_bench import ADDRESSES, GATEWAY, OTHER, Bench


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


def test_with_deduplication_the_best_gateway_sends(node: ForeignNode, monkeypatch):
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    bench = Bench(dedup_ms=30)
    phy = node.join_request()
    bench.hear(phy)
    bench.hear(phy, OTHER, snr_db=9.5, tmst_us=123)
    assert bench.downlinks() == []
    now_s += 0.04
    bench.server.tick()
    (packet, address, _) = bench.downlinks()[0]
    assert address == ADDRESSES[OTHER]
    assert packet.tmst_us == 123 + 5_000_000
    node.accept(packet.payload)
    bench.tmst_us += 10_000_000
    phy = node.uplink()
    for gateway in (GATEWAY, OTHER, OTHER):
        bench.hear(phy, gateway)
    assert bench.server.tick() == pytest.approx(0.03)
    now_s += 0.04
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
