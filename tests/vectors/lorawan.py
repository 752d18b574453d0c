# SPDX-License-Identifier: MIT
# LoRaWAN 1.0.x vectors of others, as plain data: read by CPython and by MicroPython alike.
#
# Sources (each line names its own): FIPS-197 C.1; RFC 4493 4; lp = anthonykirby/lora-packet 33ab161 (MIT);
# br = brocaar/lorawan a18a103 (MIT); lr = lora-rs 0cc5775 (MIT/Apache); cs = chirpstack d77207cd (MIT).
# L* is a scenario derived from primitives that pass the others, not published. Hex is on-air order; DevAddr,
# nonces and counters are values.

FIPS_197 = (
    "000102030405060708090a0b0c0d0e0f",
    "00112233445566778899aabbccddeeff",
    "69c4e0d86a7b0430d8cdb78070b4c55a",
)

RFC_4493_KEY = "2b7e151628aed2a6abf7158809cf4f3c"
RFC_4493_MESSAGE = (
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
RFC_4493 = (
    (0, "bb1d6929e95937287fa37d129b756746"),
    (16, "070a16b46b4d4144f79bdd9dd04a287c"),
    (40, "dfa66747de9ae63030ca32611497c827"),
    (64, "51f0bebf7e3b9d92fc49741779363cfe"),
)

_LP_NWK = "44024241ed4ce9a68c6a8bc055233fd3"
_LP_APP = "ec925802ae430ca77fd3dd73cb2cc588"
_ONES = "01" * 16
_TWOS = "02" * 16
_L_NWK = "5f6c23a9e2f1c42c95071c9e25e4fdda"
_L_APP = "7fa12f967446215d0ee7a04aab699aa0"
_L_ADDR = 0x260B1234

# id, PHYPayload, NwkSKey, AppSKey, DevAddr, FCnt (32 bits), FCtrl without length, FOpts, FPort, clear payload
DATA = (
    ("B1 lp", "40F17DBE4900020001954378762B11FF0D", _LP_NWK, _LP_APP, 0x49BE7DF1, 2, 0, "", 1, "74657374"),
    ("B2 lp", "40F17DBE49000300012A3518AF", _LP_NWK, _LP_APP, 0x49BE7DF1, 3, 0, "", 1, ""),
    (
        "B3 lp",
        "40f17dbe490004000155332de41a11adc072553544429ce7787707d1c316e027e7e5e334263376affb8aa17ad30075293f28dea8"
        "a20af3c5e7",
        _LP_NWK,
        _LP_APP,
        0x49BE7DF1,
        4,
        0,
        "",
        1,
        "54686520717569636b2062726f776e20666f78206a756d7073206f76657220746865206c617a7920646f672e",
    ),
    ("B4 lp", "60f17dbe4920020001f9d65d27", _LP_NWK, _LP_APP, 0x49BE7DF1, 2, 0x20, "", 1, ""),
    (
        "B5 lp",
        "4006DC00FCC07400000244925050",
        "581c4d08ef04cda30b1fef7a8b2c74b8",
        _ONES,
        0xFC00DC06,
        0x74,
        0xC0,
        "",
        0,
        None,
    ),
    (
        "B6 lp",
        "40F7EC10E081000002015A171220B0C6D6470FC3",
        "17da125f3d55b28cc16a8111bd1d6c0b",
        _ONES,
        0xE010ECF7,
        0,
        0x80,
        "02",
        1,
        None,
    ),
    (
        "B7 lp",
        "40D4C3B2A1001000002712A3F9C9",
        "a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4",
        _ONES,
        0xA1B2C3D4,
        16,
        0,
        "",
        0,
        "02",
    ),
    ("B8 br", "400403020180010001a694642615d6c3b582", _TWOS, _ONES, 0x01020304, 1, 0x80, "", 1, "68656c6c6f"),
    (
        "B9 br",
        "4004030201030000020305016a3798f5b64dc039",
        _ONES,
        _ONES,
        0x01020304,
        0,
        0,
        "020305",
        1,
        "01020304",
    ),
    ("B10 br", "40040302010000000069369eee6aa508", _ONES, _ONES, 0x01020304, 0, 0, "", 0, "020305"),
    ("B11 lr", "4004030201030000020305d7fa0c6c", _ONES, _ONES, 0x01020304, 0, 0, "020305", None, ""),
    (
        "B12 br",
        "80040302010300000673070ae264d4f7e117d2c0",
        "0102030405060708090a0b0c0d0e0f10",
        "100f0e0d0c0b0a090807060504030201",
        0x01020304,
        0,
        0,
        "067307",
        10,
        "01020304",
    ),
    (
        "B13 lr",
        "a00403020180ff2a2a0af1a36a05d0125f885d881d49e1",
        _TWOS,
        _ONES,
        0x01020304,
        76543,
        0x80,
        "",
        42,
        "68656c6c6f206c6f7261",
    ),
    ("L3", "4034120b268000000294f064f3682d4ebf", _L_NWK, _L_APP, _L_ADDR, 0, 0x80, "", 2, "01670110"),
    ("L4", "8034120b26820100020d02388d511efb7e6c6c", _L_NWK, _L_APP, _L_ADDR, 1, 0x80, "020d", 2, "01670111"),
    (
        "L5",
        "6034120b262e0000020a010d120b9f55800352ff00015d938bfb",
        _L_NWK,
        _L_APP,
        _L_ADDR,
        0,
        0x20,
        "020a010d120b9f55800352ff0001",
        None,
        "",
    ),
    ("L6", "4034120b26820200030702207fbe3171263490", _L_NWK, _L_APP, _L_ADDR, 2, 0x80, "0307", 2, "01670112"),
    ("L7", "6034120b260001000075eaf67fa9", _L_NWK, _L_APP, _L_ADDR, 1, 0, "", 0, "06"),
    (
        "L8",
        "4034120b2683030006ff0902aac10bcf0f48fcce",
        _L_NWK,
        _L_APP,
        _L_ADDR,
        3,
        0x80,
        "06ff09",
        2,
        "01670113",
    ),
    ("L9", "a034120b261002000a5ed10e588491", _L_NWK, _L_APP, _L_ADDR, 2, 0x10, "", 10, "aa55"),
    ("L10", "4034120b26a0040071fb668d", _L_NWK, _L_APP, _L_ADDR, 4, 0xA0, "", None, ""),
    ("L11", "4034120b2680ffff02cf39215464", _L_NWK, _L_APP, _L_ADDR, 65535, 0x80, "", 2, "01"),
    ("L12", "4034120b2680000002aae2b1f53b", _L_NWK, _L_APP, _L_ADDR, 65536, 0x80, "", 2, "01"),
    ("L13", "6034120b2600ffff02e0438b7222", _L_NWK, _L_APP, _L_ADDR, 0x1FFFF, 0, "", 2, "02"),
    ("L14", "6034120b26000000028d7c1639ba", _L_NWK, _L_APP, _L_ADDR, 0x20000, 0, "", 2, "02"),
    (
        "L15",
        "4034120b2680050002f822b7b60d0007b9657879087a7ffba79b11568831",
        _L_NWK,
        _L_APP,
        _L_ADDR,
        5,
        0x80,
        "",
        2,
        "000102030405060708090a0b0c0d0e0f10",
    ),
)

# id, PHYPayload, key, JoinEUI, DevEUI, DevNonce
JOIN_REQUESTS = (
    (
        "C1 lp",
        "0039363463336913AA05693574323831330489C65B1304",
        "98929b92c49edba9676d646d3b612456",
        "aa13693363343639",
        "3331383274356905",
        0x8904,
    ),
    (
        "C2 br",
        "00040302010403020105040302050403022d106a990e12",
        _ONES,
        "0102030401020304",
        "0203040502030405",
        4141,
    ),
    (
        "C3 br",
        "0001010101010101010202020202020202030309b97b32",
        "0102030405060708090a0b0c0d0e0f10",
        "01" * 8,
        "02" * 8,
        771,
    ),
    (
        "C4 lp",
        "00010000000000000001000000000000000ce83685eb17",
        _ONES,
        "0000000000000001",
        "0000000000000001",
        0xE80C,
    ),
    (
        "L0",
        "007766554433221100ffeeddccbbaa9988010018b8c784",
        RFC_4493_KEY,
        "0011223344556677",
        "8899aabbccddeeff",
        1,
    ),
)

# id, PHYPayload, key, JoinNonce, NetID, DevAddr, DLSettings, RxDelay as used, CFList
JOIN_ACCEPTS = (
    (
        "C6 br",
        "20493eeb51fba2116f810edb3742975142",
        "00112233445566778899aabbccddeeff",
        5704647,
        0x221101,
        0x02031980,
        0,
        1,
        "",
    ),
    (
        "C7 br",
        "2023cf335489aae3183c0be0baa8dee5f3",
        "0102030405060708090a0b0c0d0e0f10",
        0x010101,
        0x020202,
        0x01020304,
        0,
        1,
        "",
    ),
    ("C8 lp", "20e3de108795f776b8037610ef7869b5b3", "00" * 16, 0, 0, 0, 0, 1, ""),
    (
        "C9 lr",
        "20e45673b63cb4b9cecb2aa83f0333e615d2ac89eea1659837c3aa6df9689889cf",
        _ONES,
        0x010203,
        0x090807,
        0x03040506,
        0x12,
        3,
        "184f84e85684b85e84886684586e8400",
    ),
    (
        "L1",
        "20a04262ca1a0512795e3bf80f857fdf78ec02e63f15f77cc64183d9dcc8a32fcc",
        RFC_4493_KEY,
        1,
        0x13,
        _L_ADDR,
        3,
        5,
        "184f84e85684b85e84886684586e8400",
    ),
)

# id, AppKey, JoinNonce, NetID, DevNonce, NwkSKey, AppSKey
SESSION_KEYS = (
    (
        "C6 br",
        "00112233445566778899aabbccddeeff",
        5704647,
        0x221101,
        0xDDCC,
        "406b1337d80753820540e280f81299e9",
        "4f5c409751841b6dfecbd38402237942",
    ),
    (
        "C10 lp",
        "98929b92c49edba9676d646d3b612456",
        0x376338,
        0xAABBCC,
        0xF18E,
        "4e3d6e6afbcc67af2ba3c8e8ec4acf4b",
        "610897aa6f1460623443b527d3ac6a9d",
    ),
    (
        "C11 cs",
        "01020304050607080102030405060708",
        65536,
        0x010203,
        258,
        "df53c35f3034ccced0ff354c70de04df",
        "927b9c911183cffe4cb2ff4b75545f6d",
    ),
    ("L2", RFC_4493_KEY, 1, 0x13, 1, _L_NWK, _L_APP),
)

# C5 lp: the MIC of a join-accept given in clear
CLEAR_ACCEPT = ("20386337CCBBAAE7CD2C010000", "98929b92c49edba9676d646d3b612456", "d9d0a6e7")

# Frames that must be refused (lr), with the code; opened with keys of zeros and the DevAddr given
REJECTS = (
    ("short", "4004030201000000aabbcc", 0x01020304, "truncated"),
    ("empty", "", 0x01020304, "truncated"),
    ("major 1", "410403020180010001a694642615d6c3b582", 0x01020304, "type"),
    ("proprietary", "e00403020180010001a694642615d6c3b582", 0x01020304, "type"),
    ("join-request", "00040302010403020105040302050403022d106a990e12", 0x01020304, "type"),
    ("FOptsLen past the end", "80040302010fff0401020304", 0x01020304, "truncated"),
    ("FOpts and port 0", "4004030201010000020069369eee6aa508", 0x01020304, "f_opts"),
    ("another address", "400403020180010001a694642615d6c3b582", 0x01020305, "address"),
    ("wrong keys", "400403020180010001a694642615d6c3b582", 0x01020304, "mic"),
)


class _Tally:
    """Counts what was compared, and keeps the ids of what differed."""

    def __init__(self):  # type: ignore[no-untyped-def]
        self.count = 0
        self.failed = []

    def expect(self, name, got, want):  # type: ignore[no-untyped-def]
        self.count += 1
        if got != want:
            self.failed.append((name, got, want))


def check(crypto, frame, aes):  # type: ignore[no-untyped-def]
    """Run everything that runs on both interpreters; returns (checks made, list of the ids that failed)."""
    tally = _Tally()
    _check_blocks(tally.expect, crypto, aes)
    _check_data(tally.expect, frame, aes)
    _check_joins(tally.expect, crypto, frame, aes)
    _check_rejects(tally.expect, frame, aes)
    return tally.count, tally.failed


def _check_blocks(expect, crypto, aes):  # type: ignore[no-untyped-def]
    unhex = bytes.fromhex
    expect("FIPS-197", aes(unhex(FIPS_197[0])).encrypt(unhex(FIPS_197[1])), unhex(FIPS_197[2]))
    for size, tag in RFC_4493:
        got = crypto.cmac(aes(unhex(RFC_4493_KEY)), unhex(RFC_4493_MESSAGE)[:size])
        expect("RFC 4493 " + str(size), got, unhex(tag))
    clear, key, mic = CLEAR_ACCEPT
    expect("C5 lp", crypto.cmac(aes(unhex(key)), unhex(clear))[:4], unhex(mic))


def _check_data(expect, frame, aes):  # type: ignore[no-untyped-def]
    unhex = bytes.fromhex
    for name, wire, nwk, app, addr, fcnt, f_ctrl, f_opts, f_port, clear in DATA:
        wire = unhex(wire)
        security = frame.Security(addr, aes(unhex(nwk)), aes(unhex(app)))
        data = frame.open_data(security, wire, fcnt)
        expect(
            name,
            (data.fcnt, data.f_ctrl & 0xF0, data.f_opts, data.f_port),
            (fcnt, f_ctrl, unhex(f_opts), f_port),
        )
        expect(name, data.confirmed, wire[0] in (0x80, 0xA0))
        if clear is not None:
            expect(name, data.payload, unhex(clear))
        built = frame.build_data(security, wire[0], f_ctrl, fcnt, unhex(f_opts), f_port, data.payload)
        expect(name, built, wire)
        broken = wire[:-1] + bytes((wire[-1] ^ 1,))
        try:
            frame.open_data(security, broken, fcnt)
            expect(name, "accepted with a wrong MIC", "mic")
        except frame.FrameError as error:
            expect(name, error.code, "mic")


def _check_joins(expect, crypto, frame, aes):  # type: ignore[no-untyped-def]
    unhex = bytes.fromhex
    for name, wire, key, join_eui, dev_eui, dev_nonce in JOIN_REQUESTS:
        got = frame.build_join_request(aes(unhex(key)), unhex(join_eui), unhex(dev_eui), dev_nonce)
        expect(name, got, unhex(wire))
    for name, wire, key, join_nonce, net_id, addr, settings, delay, cf_list in JOIN_ACCEPTS:
        accept = frame.open_join_accept(aes(unhex(key)), unhex(wire))
        expect(
            name,
            (
                accept.join_nonce,
                accept.net_id,
                accept.dev_addr,
                accept.dl_settings,
                accept.rx_delay,
                accept.cf_list,
            ),
            (join_nonce, net_id, addr, settings, delay, unhex(cf_list)),
        )
    for name, key, join_nonce, net_id, dev_nonce, nwk, app in SESSION_KEYS:
        root = aes(unhex(key))
        expect(name, crypto.session_key(root, 1, join_nonce, net_id, dev_nonce), unhex(nwk))
        expect(name, crypto.session_key(root, 2, join_nonce, net_id, dev_nonce), unhex(app))


def _check_rejects(expect, frame, aes):  # type: ignore[no-untyped-def]
    unhex = bytes.fromhex
    for name, wire, addr, code in REJECTS:
        security = frame.Security(addr, aes(bytes(16)), aes(bytes(16)))
        try:
            frame.open_data(security, unhex(wire), 0)
            expect(name, "accepted", code)
        except frame.FrameError as error:
            expect(name, error.code, code)
