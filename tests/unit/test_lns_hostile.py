# SPDX-License-Identifier: MIT
"""The bench server under hostile datagrams, and its thread on a real socket."""

from __future__ import annotations

import json
import random
import socket
import struct
import time

import pytest
from communode.errors import CommunodeError
from communode.lns.semtech import Datagram, Kind, RxPacket
from communode.lns.server import ServerThread
from communode.lns.session import Device, Downlink
from communode.lns.store import Store
from foreign_node import APP_KEY, JOIN_EUI, ForeignNode
from hypothesis import given, settings
from hypothesis import strategies as st
from server_bench import GATEWAY, Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def node() -> ForeignNode:
    return ForeignNode()


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
