# SPDX-License-Identifier: MIT
"""Frames and keys against published vectors. Against a foreign implementation: tests/property."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from types import ModuleType

import pytest
from communode.node.lorawan import crypto, frame
from lorawan_air import Block


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
