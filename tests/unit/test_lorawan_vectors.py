# SPDX-License-Identifier: MIT
"""Frames and keys against published vectors, and against pamoja-lorawan in both directions."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from types import ModuleType

import pytest
from communode.node.lorawan import crypto, frame
from lorawan_air import Block
from pamoja import lorawan as foreign


def _load_vectors() -> ModuleType:
    path = Path(__file__).parent.parent / "vectors" / "lorawan.py"
    spec = importlib.util.spec_from_file_location("lorawan_vectors", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


VECTORS = _load_vectors()


def test_every_published_vector_agrees() -> None:
    count, failed = VECTORS.check(crypto, frame, Block)
    assert failed == []
    assert count >= 130


def _vector(name: str) -> tuple[frame.Security, bytes]:
    for line in VECTORS.DATA:
        if line[0] == name:
            security = frame.Security(line[4], Block(bytes.fromhex(line[2])), Block(bytes.fromhex(line[3])))
            return security, bytes.fromhex(line[1])
    raise KeyError(name)


def test_a_sixteen_bit_counter_fails_b13() -> None:
    security, wire = _vector("B13 lr")
    assert frame.open_data(security, wire, 76543).payload == b"hello lora"
    assert frame.open_data(security, wire, 70000).fcnt == 76543
    with pytest.raises(frame.FrameError, match="mic"):
        frame.open_data(security, wire, 0x2AFF)


def test_a_counter_that_was_used_is_refused() -> None:
    security, wire = _vector("L9")
    with pytest.raises(frame.FrameError, match="mic"):
        frame.open_data(security, wire, 3)


def test_the_counter_rolls_over_sixteen_bits_from_one_frame_to_the_next() -> None:
    security, wire = _vector("L14")
    assert frame.open_data(security, wire, 0x20000).fcnt == 0x20000
    assert frame.open_data(security, wire, 0x1FFFF).fcnt == 0x20000


def test_a_counter_beyond_thirty_two_bits_is_refused() -> None:
    security, wire = _vector("L7")
    with pytest.raises(frame.FrameError, match="counter"):
        frame.open_data(security, wire, 0xFFFFFFFF)


def test_a_wrong_application_key_scrambles_the_payload_only() -> None:
    security, wire = _vector("B1 lp")
    security.app = Block(bytes.fromhex("ec925802ae430ca77fd3dd73cb2cc580"))
    assert frame.open_data(security, wire, 2).payload.hex() == "5999fc3f"


@pytest.mark.parametrize("size", [0, 1, 16, 18, 32, 34])
def test_a_join_accept_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(frame.FrameError, match="truncated"):
        frame.open_join_accept(Block(bytes(16)), b"\x20" * size)


def test_a_join_accept_with_any_bit_changed_is_refused() -> None:
    wire = bytes.fromhex(VECTORS.JOIN_ACCEPTS[4][1])
    root = Block(bytes.fromhex(VECTORS.JOIN_ACCEPTS[4][2]))
    for bit in range(8 * len(wire)):
        broken = bytearray(wire)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(frame.FrameError):
            frame.open_join_accept(root, bytes(broken))


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
        accept = frame.open_join_accept(root, grant.accept(key, dev_nonce))
        assert (accept.join_nonce, accept.net_id, accept.dev_addr) == (join_nonce, net_id, addr)
        assert (accept.dl_settings, accept.rx_delay) == (settings, delay or 1)
        assert accept.cf_list == (cf_list or b"")
        nonces = (join_nonce, net_id, dev_nonce)
        nwk = crypto.session_key(root, crypto.NWK_S_KEY, *nonces)
        app = crypto.session_key(root, crypto.APP_S_KEY, *nonces)
        # Same keys: each side reads what the other writes.
        security = frame.Security(addr, Block(nwk), Block(app))
        session = grant.session(key, dev_nonce)
        wire = frame.build_data(security, frame.UNCONFIRMED_UP, 0, 0, b"", 1, b"ping")
        assert session.decode(wire, 0).payload == b"ping"


def test_ten_thousand_frames_agree_with_a_foreign_implementation_both_ways() -> None:
    source = random.Random(2026)
    for _ in range(5000):
        nwk, app, addr = source.randbytes(16), source.randbytes(16), source.getrandbits(32)
        ours = frame.Security(addr, Block(nwk), Block(app))
        theirs = foreign.session(addr, nwk, app)
        fcnt = source.choice([source.getrandbits(16), source.getrandbits(32)])
        f_port = source.randrange(224)
        payload = source.randbytes(source.randrange(223))
        f_opts = source.randbytes(source.randrange(16)) if f_port else b""
        confirmed, adr, ack = (bool(source.getrandbits(1)) for _ in range(3))
        flags = {"confirmed": confirmed, "adr": adr, "ack": ack, "fopts": f_opts or None}
        f_ctrl = adr * frame.ADR | ack * frame.ACK
        up = frame.build_data(ours, 0x80 if confirmed else 0x40, f_ctrl, fcnt, f_opts, f_port, payload)
        assert up == theirs.encode_uplink(fcnt, f_port, payload, **flags)
        down = theirs.encode_downlink(fcnt, f_port, payload, **flags)
        data = frame.open_data(ours, down, fcnt)
        assert (data.fcnt, data.f_port, data.payload, data.f_opts) == (fcnt, f_port, payload, f_opts)
        assert (data.confirmed, bool(data.f_ctrl & frame.ACK)) == (confirmed, ack)


def test_random_bytes_are_refused_and_never_raise_anything_else() -> None:
    source = random.Random(7)
    security = frame.Security(0x01020304, Block(bytes(16)), Block(bytes(16)))
    codes = set()
    for _ in range(20_000):
        wire = source.randbytes(source.randrange(40))
        if source.random() < 0.7 and len(wire) > 8:
            wire = bytes((source.choice([0x40, 0x60, 0x80, 0xA0]),)) + bytes.fromhex("04030201") + wire[5:]
        with pytest.raises(frame.FrameError) as caught:
            frame.open_data(security, wire, source.getrandbits(32))
        codes.add(caught.value.code)
    assert codes >= {"truncated", "type", "address", "f_opts", "mic"}
