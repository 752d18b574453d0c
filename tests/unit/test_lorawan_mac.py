# SPDX-License-Identifier: MIT
"""The MAC as a state machine: a scenario byte for byte, hostile frames, the arithmetic of windows."""

from __future__ import annotations

import random

import pytest
from communode.node.lorawan import crypto, frame
from communode.node.lorawan.exchange import Downlink, Joined, Plan
from communode.node.lorawan.mac import Mac
from communode.node.lorawan.region.eu868 import REGION
from communode.node.lorawan.runner import Runner
from lorawan_air import Air, Block, FakeModem, MemoryStore, VirtualClock, entropy

APP_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")


class Scenario:
    """A node of the vectors, past its join: what it sends is given, byte for byte."""

    def __init__(self) -> None:
        eui = bytes.fromhex("8899aabbccddeeff"), bytes.fromhex("0011223344556677")
        self.mac = mac = Mac(REGION, Block, *eui, APP_KEY)
        self.now = 0
        mac.restore(None, None, 0)
        mac.session.dev_nonce = 1
        mac.session.join_epoch_ms = 1
        accept = "20a04262ca1a0512795e3bf80f857fdf78ec02e63f15f77cc64183d9dcc8a32fcc"
        got = self.exchange("007766554433221100ffeeddccbbaa9988010018b8c784", accept, mac.join(self.now))
        assert isinstance(got, Joined)

    def exchange(self, up: str, down: str | None, plan: object, snr_quarter_db: int = 40) -> object:
        """One uplink that must be ``up``, and what the node makes of ``down``."""
        self.now += 60_000
        assert isinstance(plan, Plan)
        assert plan.wire.hex() == up
        got = None
        if down:
            wire = bytes.fromhex(down)
            got = self.mac.receive(plan, wire, plan.rx1_data_rate, snr_quarter_db, self.now)
            assert got, self.mac.rejection
        self.mac.finish(self.now)
        self.mac.close()
        return got

    def send(self, payload: str, confirmed: bool = False) -> object:
        """Plan an uplink on port 2."""
        return self.mac.uplink(self.now, 2, bytes.fromhex(payload), confirmed)


def test_the_derived_scenario_is_met_byte_for_byte() -> None:
    """L0 to L10 of the vectors: join, requests, ACK, ADR, DevStatus, port 0, confirmed downlink."""
    scenario = Scenario()
    mac = scenario.mac
    assert mac.session.nwk_s_key.hex() == "5f6c23a9e2f1c42c95071c9e25e4fdda"
    assert mac.session.app_s_key.hex() == "7fa12f967446215d0ee7a04aab699aa0"
    assert (mac.session.rx_delay, mac.session.rx2_data_rate, mac.session.mask) == (5, 3, 0xFF)

    scenario.exchange("4034120b268000000294f064f3682d4ebf", None, scenario.send("01670110"))
    mac.request_link_check()
    mac.request_device_time()
    got = scenario.exchange(
        "8034120b26820100020d02388d511efb7e6c6c",
        "6034120b262e0000020a010d120b9f55800352ff00015d938bfb",
        scenario.send("01670111", True),
    )
    assert isinstance(got, Downlink)
    assert got.acked
    assert mac.link_check == (10, 1)
    assert mac.device_time == (1_436_486_418, 128, scenario.now)
    assert (mac.session.data_rate, mac.session.power_index) == (5, 2)
    scenario.exchange(
        "4034120b26820200030702207fbe3171263490",
        "6034120b260001000075eaf67fa9",
        scenario.send("01670112"),
        36,
    )
    got = scenario.exchange(
        "4034120b2683030006ff0902aac10bcf0f48fcce",
        "a034120b261002000a5ed10e588491",
        scenario.send("01670113"),
    )
    assert isinstance(got, Downlink)
    assert (got.f_port, got.payload, got.pending) == (10, b"\xaa\x55", True)
    scenario.exchange("4034120b26a0040071fb668d", None, mac.uplink(scenario.now, None))


def test_counters_roll_over_sixteen_bits_as_derived() -> None:
    """L11, L12 and after: FCnt 0xFFFF and 0x10000 up, 0x1FFFF and 0x20000 down."""
    scenario = Scenario()
    mac = scenario.mac
    mac.session.data_rate, mac.session.power_index = 5, 2
    mac.session.fcnt_up = mac.session.fcnt_ceiling = 65535
    scenario.exchange("4034120b2680ffff02cf39215464", None, scenario.send("01"))
    scenario.exchange("4034120b2680000002aae2b1f53b", None, scenario.send("01"))
    mac.session.fcnt_down = 0x1FFFF
    for wire, payload in (
        ("6034120b2600ffff02e0438b7222", b"\x02"),
        ("6034120b26000000028d7c1639ba", b"\x02"),
    ):
        plan = scenario.send("78")
        assert isinstance(plan, Plan)
        got = mac.receive(plan, bytes.fromhex(wire), 5, 0, scenario.now)
        assert isinstance(got, Downlink)
        assert got.payload == payload
        scenario.now += 60_000
    assert mac.session.fcnt_down == 0x20001


def random_commands(source: random.Random) -> bytes:
    """MAC commands, mostly well formed, some cut off, unknown or nonsense."""
    sizes = {2: 2, 3: 4, 4: 1, 5: 4, 6: 0, 7: 5, 8: 1, 9: 1, 10: 4, 13: 5}
    data = b""
    for _ in range(source.randrange(12)):
        cid = source.choice([*sizes, *sizes, source.randrange(256)])
        data += bytes((cid,)) + source.randbytes(sizes.get(cid, source.randrange(4)))
    return data[: source.choice([15, 15, 60, 200])]


def test_hostile_frames_change_nothing_and_valid_ones_only_what_they_may() -> None:
    """Half of the frames have a valid MIC; whatever they order, the MAC goes on and can still send."""
    source = random.Random(104)
    mac = Mac(REGION, Block, bytes(8), bytes(8), bytes(16))
    mac.restore(None, None, 0)
    nwk, app = bytes(range(16)), bytes(range(16, 32))
    mac.personalize(0x01020304, nwk, app)
    security = frame.Security(0x01020304, Block(nwk), Block(app))
    now = 0
    accepted = 0
    for _ in range(4000):
        session = mac.session
        session.max_duty_cycle = min(session.max_duty_cycle, 4)
        now += 7_200_000
        plan = mac.uplink(now, 1, b"x")
        assert isinstance(plan, Plan)
        kind = source.randrange(6)
        fcnt = session.fcnt_down + source.choice([0, 0, 1, 5, 40_000, -1, -70_000]) & 0xFFFFFFFF
        opts = random_commands(source)
        m_hdr = source.choice([0x60, 0xA0])
        if kind < 3:
            on_port_0 = len(opts) > 15
            f_port = 0 if on_port_0 else source.choice([None, 1, 200, 255])
            payload = opts if on_port_0 else source.randbytes(source.randrange(30)) if f_port else b""
            wire = frame.build_data(
                security, m_hdr, source.randrange(8) << 4, fcnt, b"" if on_port_0 else opts, f_port, payload
            )
        elif kind == 3:
            wire = frame.build_data(security, m_hdr, 0, fcnt, b"", 1, source.randbytes(20))
            flipped = bytearray(wire)
            flipped[source.randrange(len(wire))] ^= 1 << source.randrange(8)
            wire = bytes(flipped)
        elif kind == 4:
            wire = source.randbytes(source.randrange(60))
        else:
            wire = frame.build_data(security, source.choice([0x40, 0x80, 0xC0, 0xE0]), 0, fcnt, b"", 1, b"up")
        before = mac.cache_record(now)
        lowest = session.fcnt_down
        got = mac.receive(plan, wire, 5, source.randrange(-200, 200), now)
        if got is None:
            assert mac.rejection
            assert mac.cache_record(now) == before
        else:
            accepted += 1
            assert kind < 3
            assert session.fcnt_down > lowest
            assert len(mac.flash_record(now)) <= 512
        mac.finish(now)
        mac.close()
        assert session.mask
        assert REGION.supporting(session, session.mask, session.data_rate)
        assert not session.mask & ~REGION.defined(session)
    assert accepted > 1000


@pytest.mark.parametrize("wire_size", [17, 33])
def test_hostile_join_accepts_change_nothing(wire_size: int) -> None:
    source = random.Random(wire_size)
    mac = Mac(REGION, Block, bytes(8), bytes(8), APP_KEY)
    mac.restore(None, None, 0)
    mac.session.join_epoch_ms = 1
    plan = mac.join(10)
    assert isinstance(plan, Plan)
    before = mac.cache_record(10)
    for _ in range(500):
        assert mac.receive(plan, b"\x20" + source.randbytes(wire_size - 1), 5, 0, 10) is None
        assert mac.cache_record(10) == before
    # Authentic, but a plan that cannot be: RX1DROffset 6, or RX2 at DR7 (FSK)
    for settings in (0x60, 0x07):
        clear = bytes.fromhex("01000013000034120b26") + bytes((settings, 1))
        mic = crypto.cmac(Block(APP_KEY), b"\x20" + clear)[:4]
        assert mac.receive(plan, b"\x20" + Block(APP_KEY).decrypt(clear + mic), 5, 0, 10) is None
        assert mac.rejection == "settings"
        assert mac.cache_record(10) == before


@pytest.mark.parametrize(
    ("lead_ms", "ppm", "table"),
    [
        # lead 10 ms, error 5 ms; lead 20, error 10; lead 40, error 20: (symbols, ms before the nominal time)
        (10, 4_500, {7: 26, 8: 16, 9: 11, 10: 9, 11: 8, 12: 7}),
        (20, 9_500, {7: 46, 8: 26, 9: 16, 10: 11, 11: 9, 12: 8}),
        (40, 19_500, {7: 85, 8: 46, 9: 26, 10: 16, 11: 11, 12: 9}),
    ],
)
def test_windows_are_those_of_the_lead_in_model(lead_ms: int, ppm: int, table: dict[int, int]) -> None:
    """Symbols, and opening at nominal - (lead + error), as lora-rs #479 has them. Error: 500 us + ppm."""
    clock, air = VirtualClock(), Air()
    modem = FakeModem(clock, air)
    mac = Mac(REGION, Block, bytes(8), bytes(8), bytes(16))
    runner = Runner(mac, modem, clock, MemoryStore(modem), entropy(1), ppm)
    mac.personalize(1, bytes(16), bytes(16))
    mac.session.rx_lead_ms = lead_ms
    for spreading, symbols in table.items():
        mac.session.data_rate = 12 - spreading
        assert runner.send(1, b"x").code == "sent"
        opened_us, opened_symbols, parameters = air.windows[-2]
        assert parameters.spreading_factor == spreading
        assert opened_symbols == symbols
        early_us = air.uplinks[-1].end_us + 1_000_000 - opened_us
        assert abs(early_us - 1000 * lead_ms - 500 - ppm) < 300
        clock.time_us += 3_600_000_000
