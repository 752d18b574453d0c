# SPDX-License-Identifier: MIT
"""Frames and joins byte for byte against pamoja-lorawan, an implementation of another author, both ways."""

from __future__ import annotations

import random

import pytest
from communode.node.lorawan import crypto, frame
from communode.node.lorawan.mac import Mac
from communode.node.lorawan.region.eu868 import REGION
from lorawan_air import Block
from pamoja import lorawan as foreign


def test_a_thousand_joins_agree_with_a_foreign_network() -> None:
    source = random.Random(1004)
    for _ in range(1000):
        key, dev_eui, join_eui = source.randbytes(16), source.randbytes(8), source.randbytes(8)
        dev_nonce, join_nonce, net_id = source.getrandbits(16), source.getrandbits(24), source.getrandbits(24)
        addr, settings, delay = source.getrandbits(32), source.getrandbits(7), source.randrange(16)
        cf_list = source.choice([None, source.randbytes(16)])
        root = Block(key)
        request = frame.build_join_request(root, join_eui, dev_eui, dev_nonce)
        assert request == foreign.device(dev_eui, join_eui, key).join_request(dev_nonce)
        seen = foreign.parse_join_request(request, key)
        assert (seen.app_eui, seen.dev_eui, seen.dev_nonce) == (join_eui, dev_eui, dev_nonce)
        grant = foreign.grant(join_nonce, net_id, addr, settings, delay, cf_list)
        wire = grant.accept(key, dev_nonce)
        accept = frame.open_join_accept(root, wire)
        theirs = foreign.device(dev_eui, join_eui, key).accept_join(wire, dev_nonce)
        assert (accept.join_nonce, accept.net_id, accept.dev_addr) == (join_nonce, net_id, addr)
        assert (accept.dl_settings, accept.rx_delay) == (settings, delay or 1)
        assert accept.cf_list == (cf_list or b"")
        nonces = (join_nonce, net_id, dev_nonce)
        nwk = crypto.session_key(root, crypto.NWK_S_KEY, *nonces)
        app = crypto.session_key(root, crypto.APP_S_KEY, *nonces)
        # Same keys: each side reads what the other writes.
        security = frame.Security(addr, Block(nwk), Block(app))
        up = frame.build_data(security, frame.UNCONFIRMED_UP, 0, 0, b"", 1, b"ping")
        assert grant.session(key, dev_nonce).decode(up, 0).payload == b"ping"
        assert up == theirs.session().encode_uplink(0, 1, b"ping")
        down = grant.session(key, dev_nonce).encode_downlink(0, 1, b"pong")
        assert frame.open_data(security, down, 0).payload == b"pong"


def test_ten_thousand_frames_each_way_agree_with_a_foreign_implementation() -> None:
    source = random.Random(2026)
    for _ in range(10_000):
        nwk, app, addr = source.randbytes(16), source.randbytes(16), source.getrandbits(32)
        ours = frame.Security(addr, Block(nwk), Block(app))
        theirs = foreign.session(addr, nwk, app)
        fcnt = source.choice([source.getrandbits(16), source.getrandbits(32) % 0xFFFFFFFF])
        f_port = source.randrange(224)
        payload = source.randbytes(source.randrange(223))
        f_opts = source.randbytes(source.randrange(16)) if f_port else b""
        confirmed, adr, ack = (bool(source.getrandbits(1)) for _ in range(3))
        flags = {"confirmed": confirmed, "adr": adr, "ack": ack, "fopts": f_opts or None}
        f_ctrl = adr * frame.ADR | ack * frame.ACK
        up = frame.build_data(ours, 0x80 if confirmed else 0x40, f_ctrl, fcnt, f_opts, f_port, payload)
        assert up == theirs.encode_uplink(fcnt, f_port, payload, **flags)
        read = theirs.decode(up, fcnt)
        assert (bytes(read.payload), read.fport, bytes(read.fopts)) == (payload, f_port, f_opts)
        down = theirs.encode_downlink(fcnt, f_port, payload, **flags)
        built = frame.build_data(ours, 0xA0 if confirmed else 0x60, f_ctrl, fcnt, f_opts, f_port, payload)
        assert built == down
        data = frame.open_data(ours, down, fcnt)
        assert (data.fcnt, data.f_port, data.payload, data.f_opts) == (fcnt, f_port, payload, f_opts)
        assert (data.confirmed, bool(data.f_ctrl & frame.ACK)) == (confirmed, ack)


def test_a_node_and_a_foreign_network_keep_a_session_over_the_sixteen_bit_roll_over() -> None:
    mac = Mac(REGION, Block, bytes(8), bytes(8), bytes(16))
    mac.restore(None, None, 0)
    mac.personalize(0x26012345, bytes(range(16)), bytes(range(16, 32)))
    mac.session.fcnt_up = mac.session.fcnt_down = 0xFFF0
    theirs = foreign.session(0x26012345, bytes(range(16)), bytes(range(16, 32)))
    mac.duty_cycle = False
    for fcnt in range(0xFFF0, 0x10010):
        plan = mac.uplink(60_000 * fcnt, 3, bytes((fcnt & 0xFF,)))
        assert theirs.decode(plan.wire, fcnt).payload == bytes((fcnt & 0xFF,))
        got = mac.receive(plan, theirs.encode_downlink(fcnt, 4, b"down"), 5, 0, 60_000 * fcnt)
        assert got.payload == b"down"
        mac.close()
    assert mac.session.fcnt_down == 0x10010


@pytest.mark.parametrize("position", range(12 + 16))
def test_both_refuse_a_frame_with_a_byte_changed(position: int) -> None:
    theirs = foreign.session(0x01020304, bytes(16), bytes(16))
    ours = frame.Security(0x01020304, Block(bytes(16)), Block(bytes(16)))
    wire = bytearray(theirs.encode_downlink(7, 2, bytes(15)))
    wire[position] ^= 0x10
    with pytest.raises(frame.FrameError):
        frame.open_data(ours, bytes(wire), 7)
    with pytest.raises(Exception, match="lorawan"):
        theirs.decode(bytes(wire), 7)
