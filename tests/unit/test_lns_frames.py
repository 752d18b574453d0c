# SPDX-License-Identifier: MIT
"""Frames and keys of the bench server against published vectors and a foreign implementation.

Vectors, by the public test sets they come from: lp = anthonykirby/lora-packet @ 33ab161, br = brocaar/lorawan
@ a18a103, lr = lora-rs/lora-rs @ 0cc5775, cs = chirpstack/chirpstack @ d77207cd (all MIT or MIT/Apache); L =
derived here from primitives that pass the others. Foreign implementation: `pamoja-lorawan`.
"""

from __future__ import annotations

import random

import pytest
from communode.lns import keys
from communode.lns.airtime import time_on_air_us
from communode.lns.frames import (
    DataFrame,
    FrameError,
    JoinAccept,
    JoinRequest,
    MType,
    data_is_authentic,
    join_request_is_authentic,
    message_type,
    open_payload,
)
from communode.lns.region import EU868
from pamoja import lorawan as foreign

ONE, TWO = bytes([1]) * 16, bytes([2]) * 16
COUNT_UP = bytes(range(1, 17))
COUNT_DOWN = bytes(range(16, 0, -1))
LP_NWK = bytes.fromhex("44024241ed4ce9a68c6a8bc055233fd3")
LP_APP = bytes.fromhex("ec925802ae430ca77fd3dd73cb2cc588")
L_APP_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
L_NWK = bytes.fromhex("5f6c23a9e2f1c42c95071c9e25e4fdda")
L_APP = bytes.fromhex("7fa12f967446215d0ee7a04aab699aa0")

# id, PHYPayload, NwkSKey, AppSKey, FCnt, FPort, FOpts, plaintext
DATA = [
    ("B1 lp", "40F17DBE4900020001954378762B11FF0D", LP_NWK, LP_APP, 2, 1, "", b"test".hex()),
    ("B2 lp", "40F17DBE49000300012A3518AF", LP_NWK, LP_APP, 3, 1, "", ""),
    (
        "B3 lp",
        "40f17dbe490004000155332de41a11adc072553544429ce7787707d1c316e027e7e5e334263376affb8aa17ad30075293f28dea8"
        "a20af3c5e7",
        LP_NWK,
        LP_APP,
        4,
        1,
        "",
        b"The quick brown fox jumps over the lazy dog.".hex(),
    ),
    ("B4 lp", "60f17dbe4920020001f9d65d27", LP_NWK, LP_APP, 2, 1, "", ""),
    (
        "B5 lp",
        "4006DC00FCC07400000244925050",
        bytes.fromhex("581c4d08ef04cda30b1fef7a8b2c74b8"),
        ONE,
        0x74,
        0,
        "",
        None,
    ),
    (
        "B6 lp",
        "40F7EC10E081000002015A171220B0C6D6470FC3",
        bytes.fromhex("17da125f3d55b28cc16a8111bd1d6c0b"),
        ONE,
        0,
        1,
        "02",
        None,
    ),
    (
        "B7 lp",
        "40D4C3B2A1001000002712A3F9C9",
        bytes.fromhex("a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4"),
        ONE,
        16,
        0,
        "",
        "02",
    ),
    ("B8 br lr cs", "400403020180010001a694642615d6c3b582", TWO, ONE, 1, 1, "", b"hello".hex()),
    ("B9 br", "4004030201030000020305016a3798f5b64dc039", ONE, ONE, 0, 1, "020305", "01020304"),
    ("B10 br lr", "40040302010000000069369eee6aa508", ONE, ONE, 0, 0, "", "020305"),
    ("B11 lr", "4004030201030000020305d7fa0c6c", ONE, ONE, 0, None, "020305", ""),
    ("B12 br", "80040302010300000673070ae264d4f7e117d2c0", COUNT_UP, COUNT_DOWN, 0, 10, "067307", "01020304"),
    (
        "B13 lr",
        "a00403020180ff2a2a0af1a36a05d0125f885d881d49e1",
        TWO,
        ONE,
        0x12AFF,
        42,
        "",
        b"hello lora".hex(),
    ),
    ("L3", "4034120b268000000294f064f3682d4ebf", L_NWK, L_APP, 0, 2, "", "01670110"),
    ("L4", "8034120b26820100020d02388d511efb7e6c6c", L_NWK, L_APP, 1, 2, "020d", "01670111"),
    (
        "L5",
        "6034120b262e0000020a010d120b9f55800352ff00015d938bfb",
        L_NWK,
        L_APP,
        0,
        None,
        "020a010d120b9f55800352ff0001",
        "",
    ),
    ("L6", "4034120b26820200030702207fbe3171263490", L_NWK, L_APP, 2, 2, "0307", "01670112"),
    ("L7", "6034120b260001000075eaf67fa9", L_NWK, L_APP, 1, 0, "", "06"),
    ("L8", "4034120b2683030006ff0902aac10bcf0f48fcce", L_NWK, L_APP, 3, 2, "06ff09", "01670113"),
    ("L9", "a034120b261002000a5ed10e588491", L_NWK, L_APP, 2, 10, "", "aa55"),
    ("L10", "4034120b26a0040071fb668d", L_NWK, L_APP, 4, None, "", ""),
    ("L11", "4034120b2680ffff02cf39215464", L_NWK, L_APP, 65535, 2, "", "01"),
    ("L12", "4034120b2680000002aae2b1f53b", L_NWK, L_APP, 65536, 2, "", "01"),
    ("L13", "6034120b2600ffff02e0438b7222", L_NWK, L_APP, 0x1FFFF, 2, "", "02"),
    ("L14", "6034120b26000000028d7c1639ba", L_NWK, L_APP, 0x20000, 2, "", "02"),
    (
        "L15",
        "4034120b2680050002f822b7b60d0007b9657879087a7ffba79b11568831",
        L_NWK,
        L_APP,
        5,
        2,
        "",
        bytes(range(17)).hex(),
    ),
]


@pytest.mark.parametrize(
    ("phy", "nwk", "app", "fcnt", "f_port", "f_opts", "plain"),
    [row[1:] for row in DATA],
    ids=[row[0] for row in DATA],
)
def test_data_frame_vectors_open_and_build(phy, nwk, app, fcnt, f_port, f_opts, plain):
    wire = bytes.fromhex(phy)
    frame = DataFrame.from_wire(wire)
    assert (frame.f_port, frame.f_opts.hex(), frame.fcnt) == (f_port, f_opts, fcnt & 0xFFFF)
    assert data_is_authentic(wire, frame, nwk, fcnt)
    spoilt = wire[:-1] + bytes([wire[-1] ^ 1])
    assert not data_is_authentic(spoilt, DataFrame.from_wire(spoilt), nwk, fcnt)
    if plain is None:
        return
    payload = open_payload(frame, nwk, app, fcnt)
    assert payload.hex() == plain
    rebuilt = DataFrame(**{**frame.__dict__, "payload": payload})
    assert rebuilt.to_wire(nwk, app, fcnt) == wire


def test_a_16_bit_counter_cannot_open_b13():
    wire = bytes.fromhex("a00403020180ff2a2a0af1a36a05d0125f885d881d49e1")
    assert not data_is_authentic(wire, DataFrame.from_wire(wire), TWO, 0x2AFF)


def test_a_wrong_app_s_key_scrambles_b1():
    frame = DataFrame.from_wire(bytes.fromhex("40F17DBE4900020001954378762B11FF0D"))
    assert open_payload(frame, LP_NWK, LP_APP[:-1] + b"\x80", 2).hex() == "5999fc3f"


def test_flags_are_read_from_f_ctrl():
    frame = DataFrame.from_wire(bytes.fromhex("4084412505A3010009110308B33750F504D4B86A"))  # B14 lp
    assert (frame.adr, frame.adr_ack_req, frame.ack, frame.bit4) == (True, False, True, False)
    assert (frame.f_opts.hex(), frame.f_port) == ("091103", 8)


@pytest.mark.parametrize(
    "phy",
    [
        "",
        "40",
        "40040302010000002adead",  # 11 bytes
        "41040302010000000069369eee6aa508",  # another major version
        "80040302010fff0401020304",  # FOpts reach beyond the frame (lr)
        "4004030201010000020001020304",  # port 0 beside FOpts
        "e00102030405060708090a0b0c0d",  # proprietary
        "c0" + "00" * 18,  # RFU
        "2000000000000000000000000000000000",
    ],
)
def test_what_is_no_data_frame_is_refused(phy: str):
    with pytest.raises(FrameError):
        DataFrame.from_wire(bytes.fromhex(phy))


def test_a_port_without_payload_is_a_frame():
    frame = DataFrame.from_wire(bytes.fromhex("40040302010007002adeadbeef"))
    assert (frame.f_port, frame.payload) == (42, b"")


@pytest.mark.parametrize(
    "frame",
    [
        DataFrame(MType.UNCONFIRMED_DOWN, 1, 0, f_opts=bytes(16)),
        DataFrame(MType.UNCONFIRMED_DOWN, 1, 0, f_opts=b"\x02", f_port=0, payload=b"\x02"),
        DataFrame(MType.UNCONFIRMED_DOWN, 1, 0, payload=b"\x02"),
    ],
)
def test_impossible_frames_are_not_built(frame: DataFrame):
    with pytest.raises(FrameError):
        frame.to_wire(ONE, TWO, 0)


JOIN_REQUESTS = [
    (
        "C1 lp",
        "0039363463336913AA05693574323831330489C65B1304",
        "98929b92c49edba9676d646d3b612456",
        JoinRequest("aa13693363343639", "3331383274356905", 0x8904),
    ),
    (
        "C2 br lr",
        "00040302010403020105040302050403022d106a990e12",
        ONE.hex(),
        JoinRequest("0102030401020304", "0203040502030405", 4141),
    ),
    (
        "C3 br",
        "0001010101010101010202020202020202030309b97b32",
        COUNT_UP.hex(),
        JoinRequest("01" * 8, "02" * 8, 771),
    ),
    (
        "L0",
        "007766554433221100ffeeddccbbaa9988010018b8c784",
        L_APP_KEY.hex(),
        JoinRequest("0011223344556677", "8899aabbccddeeff", 1),
    ),
]


@pytest.mark.parametrize(
    ("phy", "app_key", "expected"), [row[1:] for row in JOIN_REQUESTS], ids=[row[0] for row in JOIN_REQUESTS]
)
def test_join_request_vectors(phy: str, app_key: str, expected: JoinRequest):
    wire, key = bytes.fromhex(phy), bytes.fromhex(app_key)
    assert JoinRequest.from_wire(wire) == expected
    assert join_request_is_authentic(wire, key)
    assert not join_request_is_authentic(wire[:-1] + bytes([wire[-1] ^ 1]), key)
    assert expected.to_wire(key) == wire


def test_join_request_c4_verifies_under_its_key_only():
    wire = bytes.fromhex("00010000000000000001000000000000000ce83685eb17")
    assert join_request_is_authentic(wire, ONE)
    assert not join_request_is_authentic(wire, TWO)


JOIN_ACCEPTS = [
    (
        "C6 br lr",
        "20493eeb51fba2116f810edb3742975142",
        "00112233445566778899aabbccddeeff",
        JoinAccept(5704647, 0x221101, 0x02031980, 0, 0),
    ),
    (
        "C7 br",
        "2023cf335489aae3183c0be0baa8dee5f3",
        COUNT_UP.hex(),
        JoinAccept(0x010101, 0x020202, 0x01020304, None, None),
    ),
    ("C8 lp", "20e3de108795f776b8037610ef7869b5b3", "00" * 16, JoinAccept(0, 0, 0, 0, 0)),
    (
        "C9 lr",
        "20e45673b63cb4b9cecb2aa83f0333e615d2ac89eea1659837c3aa6df9689889cf",
        ONE.hex(),
        JoinAccept(0x010203, 0x090807, 0x03040506, 0x12, 3, EU868.cf_list()),
    ),
    (
        "L1",
        "20a04262ca1a0512795e3bf80f857fdf78ec02e63f15f77cc64183d9dcc8a32fcc",
        L_APP_KEY.hex(),
        JoinAccept(1, 0x13, 0x260B1234, 3, 5, EU868.cf_list()),
    ),
]


@pytest.mark.parametrize(
    ("phy", "app_key", "expected"), [row[1:] for row in JOIN_ACCEPTS], ids=[row[0] for row in JOIN_ACCEPTS]
)
def test_join_accept_vectors(phy: str, app_key: str, expected: JoinAccept):
    wire, key = bytes.fromhex(phy), bytes.fromhex(app_key)
    found = JoinAccept.from_wire(wire, key)
    for name, value in expected.__dict__.items():
        if value is not None:
            assert getattr(found, name) == value, name
    assert found.to_wire(key) == wire
    with pytest.raises(FrameError):
        JoinAccept.from_wire(wire, bytes(15) + b"\x07")


def test_join_accept_c5_has_its_published_mic():
    plain = bytes.fromhex("20386337CCBBAAE7CD2C010000D9D0A6E7")
    key = bytes.fromhex("98929b92c49edba9676d646d3b612456")
    assert keys.short_cmac(key, plain[:-4]) == plain[-4:]
    accept = JoinAccept(0x376338, 0xAABBCC, 0x012CCDE7, 0, 0)
    assert keys.encrypt_blocks(key, accept.to_wire(key)[1:]) == plain[1:]


@pytest.mark.parametrize(
    ("app_key", "join_nonce", "net_id", "dev_nonce", "nwk", "app"),
    [
        (  # C6; the DevNonce is ccdd on air
            "00112233445566778899aabbccddeeff",
            5704647,
            0x221101,
            0xDDCC,
            "406b1337d80753820540e280f81299e9",
            "4f5c409751841b6dfecbd38402237942",
        ),
        (  # C10 lp
            "98929b92c49edba9676d646d3b612456",
            0x376338,
            0xAABBCC,
            0xF18E,
            "4e3d6e6afbcc67af2ba3c8e8ec4acf4b",
            "610897aa6f1460623443b527d3ac6a9d",
        ),
        (  # C11 cs
            "01020304050607080102030405060708",
            65536,
            0x010203,
            258,
            "df53c35f3034ccced0ff354c70de04df",
            "927b9c911183cffe4cb2ff4b75545f6d",
        ),
        (L_APP_KEY.hex(), 1, 0x13, 1, L_NWK.hex(), L_APP.hex()),  # L2
    ],
)
def test_session_key_vectors(app_key, join_nonce, net_id, dev_nonce, nwk, app):
    pair = keys.session_keys(bytes.fromhex(app_key), join_nonce, net_id, dev_nonce)
    assert (pair.nwk_s_key.hex(), pair.app_s_key.hex()) == (nwk, app)


def test_cf_list_is_that_of_the_vectors():
    assert EU868.cf_list().hex() == "184f84e85684b85e84886684586e8400"


def test_random_joins_agree_with_a_foreign_device():
    rng = random.Random(7)
    for _ in range(300):
        app_key, join_eui, dev_eui = rng.randbytes(16), rng.randbytes(8), rng.randbytes(8)
        dev_nonce = rng.randrange(0x10000)
        device = foreign.device(dev_eui, join_eui, app_key)
        phy = device.join_request(dev_nonce)
        request = JoinRequest.from_wire(phy)
        assert request == JoinRequest(join_eui.hex(), dev_eui.hex(), dev_nonce)
        assert join_request_is_authentic(phy, app_key)
        assert request.to_wire(app_key) == phy
        accept = JoinAccept(
            rng.randrange(1 << 24),
            rng.randrange(1 << 24),
            rng.randrange(1 << 32),
            rng.randrange(128),
            rng.randrange(16),
            rng.choice([b"", EU868.cf_list()]),
        )
        joined = device.accept_join(accept.to_wire(app_key), dev_nonce)
        assert (joined.dev_addr, joined.net_id) == (accept.dev_addr, accept.net_id)
        assert (joined.dl_settings, joined.rx_delay) == (accept.dl_settings, accept.rx_delay)
        pair = keys.session_keys(app_key, accept.join_nonce, accept.net_id, dev_nonce)
        ours = foreign.session(accept.dev_addr, pair.nwk_s_key, pair.app_s_key)
        assert joined.session().encode_uplink(1, 1, b"same") == ours.encode_uplink(1, 1, b"same")


def test_random_frames_agree_with_a_foreign_implementation_both_ways():
    rng = random.Random(8)
    for _ in range(1000):
        nwk, app, dev_addr = rng.randbytes(16), rng.randbytes(16), rng.randrange(1 << 32)
        theirs = foreign.session(dev_addr, nwk, app)
        fcnt = rng.choice([rng.randrange(1 << 16), rng.randrange(1 << 32)])
        f_port, payload = rng.randrange(1, 224), rng.randbytes(rng.randrange(60))
        f_opts = rng.randbytes(rng.randrange(16))
        flags = {name: rng.random() < 0.5 for name in ("confirmed", "adr", "ack")}
        up = theirs.encode_uplink(fcnt, f_port, payload, fopts=f_opts, **flags)
        frame = DataFrame.from_wire(up)
        assert data_is_authentic(up, frame, nwk, fcnt)
        assert not data_is_authentic(up, frame, nwk, fcnt ^ 0x10000)
        assert open_payload(frame, nwk, app, fcnt) == payload
        assert (frame.confirmed, frame.adr, frame.ack) == tuple(flags.values())
        assert (frame.dev_addr, frame.f_port, frame.f_opts) == (dev_addr, f_port, f_opts)
        pending = rng.random() < 0.5
        down = DataFrame(
            MType.CONFIRMED_DOWN if flags["confirmed"] else MType.UNCONFIRMED_DOWN,
            dev_addr,
            fcnt & 0xFFFF,
            adr=flags["adr"],
            ack=flags["ack"],
            bit4=pending,
            f_opts=f_opts,
            f_port=f_port,
            payload=payload,
        ).to_wire(nwk, app, fcnt)
        assert down == theirs.encode_downlink(fcnt, f_port, payload, fopts=f_opts, fpending=pending, **flags)
        opened = theirs.decode(down, fcnt)
        assert (bytes(opened.payload), bytes(opened.fopts)) == (payload, f_opts)


def test_message_type_knows_all_eight():
    assert [message_type(bytes([kind << 5])) for kind in range(8)] == list(MType)


@pytest.mark.parametrize(
    ("length", "expected"),
    [  # Semtech's SX126x driver, run on the host: SF7 to SF12, 125 kHz, CR 4/5, 8 symbols, CRC
        (12, (41_216, 82_432, 144_384, 288_768, 577_536, 1_155_072)),
        (23, (61_696, 113_152, 205_824, 370_688, 823_296, 1_482_752)),
        (51, (102_656, 184_832, 328_704, 616_448, 1_314_816, 2_465_792)),
        (64, (118_016, 215_552, 390_144, 698_368, 1_560_576, 2_793_472)),
    ],
)
def test_time_on_air_agrees_with_semtech(length: int, expected: tuple[int, ...]):
    assert tuple(time_on_air_us(sf, 125_000, length) for sf in range(7, 13)) == expected


def test_time_on_air_without_crc_and_at_other_rates():
    assert time_on_air_us(12, 500_000, 1, crc=False) == 165_888  # micropython-lib, SX1261 calculator
    assert time_on_air_us(8, 125_000, 253, coding_rate=6) == 827_904
    assert time_on_air_us(12, 125_000, 24, coding_rate=7) == 1_810_432  # RadioLib
