# SPDX-License-Identifier: MIT
"""The LoRaWAN runner over our drivers over the chip models: real windows, real overlap, a foreign network."""

from __future__ import annotations

import random
from typing import Any

import pytest
from communode.node.lorawan.mac import Mac
from communode.node.lorawan.region.eu868 import REGION
from communode.node.lorawan.region.us915 import REGION as US915
from communode.node.lorawan.runner import Runner
from communode.node.radio.airtime import time_on_air_us
from communode.node.radio.modem import LoraParameters
from communode.virtual.medium import Transmission
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pamoja import lorawan as foreign
from radio_bench import BenchAir, Station, Time

DEV_EUI, JOIN_EUI, APP_KEY = bytes(range(8)), bytes(range(8, 16)), bytes(range(16))
TCXO = {"driver": {"tcxo_mv": 1800, "tcxo_delay_us": 5000}, "tcxo_mv": 1800}


class Aes:
    """The AES block of the firmware over a library."""

    def __init__(self, key: bytes) -> None:
        self._cipher = Cipher(algorithms.AES(key), modes.ECB())

    def encrypt(self, block: bytes) -> bytes:
        return self._cipher.encryptor().update(block)


class JitteryTime(Time):
    """Sleeps that come back up to ``jitter_us`` late."""

    def __init__(self) -> None:
        super().__init__()
        self.jitter_us = 0
        self._random = random.Random(5)

    def sleep_ms(self, duration: int) -> None:
        super().sleep_ms(duration)
        if duration and self.jitter_us:
            self.now += self._random.randrange(self.jitter_us)

    def now_ms(self) -> int:
        return self.now // 1000


class Store:
    """Flash and cache in memory."""

    flash: bytes | None = None
    cache: bytes | None = None

    def load(self) -> bytes | None:
        return self.flash

    def commit(self, record: bytes) -> None:
        self.flash = record

    def cache_load(self) -> bytes | None:
        return self.cache

    def cache_save(self, record: bytes) -> None:
        self.cache = record


class GatewayAir(BenchAir):
    """An air with a network behind it: answers in ``window``, ``offset_us`` off the exact time."""

    def __init__(self) -> None:
        super().__init__()
        self.window, self.offset_us, self.delay_s = 1, 0, 1
        self.session: Any = None
        self.fcnt_down = 0
        self.uplinks: list[Any] = []

    def transmit(self, transmission: Transmission) -> None:
        super().transmit(transmission)
        wire = transmission.payload
        if wire[0] == 0:
            nonce = foreign.parse_join_request(wire, APP_KEY).dev_nonce
            grant = foreign.grant(nonce + 1, 0x13, 0x260B1234, 0x03, self.delay_s, None)
            self.session = grant.session(APP_KEY, nonce)
            self._reply(transmission, grant.accept(APP_KEY, nonce), 5)
            return
        data = self.session.decode(wire, foreign.parse_header(wire).fcnt)
        self.uplinks.append(data)
        down = self.session.encode_downlink(self.fcnt_down, 7, b"down", ack=data.confirmed)
        self.fcnt_down += 1
        self._reply(transmission, down, self.delay_s)

    def _reply(self, up: Transmission, wire: bytes, delay_s: int) -> None:
        frequency, spreading = up.frequency_hz, up.spreading_factor
        if self.window == 2:
            frequency, spreading = 869525000, 12 if delay_s == 5 and len(wire) == 17 else 9
        parameters = LoraParameters(frequency, spreading, 125000, invert_iq=True, crc=False)
        start = up.end_us + 1000000 * (delay_s + self.window - 1) + self.offset_us
        end = start + time_on_air_us(parameters, len(wire))
        fields = ("coding_rate", "preamble_symbols", "invert_iq", "sync_word", "crc", "implicit")
        shape: dict[str, Any] = {name: getattr(parameters, name) for name in fields}
        shape.update(spreading_factor=spreading, bandwidth_hz=125000, power_dbm=14)
        self.sent.append(Transmission("gateway", start, end, frequency, payload=wire, **shape))


class Bench:
    """A node on a chip model, and the network."""

    def __init__(self, kind: str, clock_ppm: int = 100, **settings: Any) -> None:
        self.time, self.air = JitteryTime(), GatewayAir()
        self.station = Station(self.time, self.air, "node", kind, **settings)
        self.store = Store()
        self.mac = Mac(REGION, Aes, DEV_EUI, JOIN_EUI, APP_KEY, 2)
        rng = random.Random(3).randbytes
        self.runner = Runner(self.mac, self.station.modem, self.time, self.store, rng, clock_ppm)  # type: ignore[arg-type]

    def pause(self) -> None:
        self.time.now += 400_000_000


RADIOS = [("sx1262", {}), ("sx1262", TCXO), ("sx1276", {})]


@pytest.mark.parametrize(("kind", "settings"), RADIOS, ids=["sx1262", "sx1262-tcxo", "sx1276"])
def test_join_send_and_receive_on_the_chip(kind: str, settings: dict[str, Any]) -> None:
    bench = Bench(kind, **settings)
    assert bench.runner.join().code == "joined"
    outcome = bench.runner.send(2, b"reading", confirmed=True)
    assert (outcome.code, outcome.acked, outcome.downlinks) == ("sent", True, [(7, b"down")])
    assert bench.air.uplinks[0].payload == b"reading"
    assert bench.station.chip.notes == []


@pytest.mark.parametrize(("kind", "settings"), RADIOS, ids=["sx1262", "sx1262-tcxo", "sx1276"])
@pytest.mark.parametrize("window", [1, 2])
def test_the_join_accept_arrives_in_either_window(kind: str, settings: dict[str, Any], window: int) -> None:
    bench = Bench(kind, **settings)
    bench.air.window = window
    outcome = bench.runner.join()
    assert (outcome.code, outcome.window) == ("joined", window)


@pytest.mark.parametrize(("kind", "settings"), RADIOS, ids=["sx1262", "sx1262-tcxo", "sx1276"])
@pytest.mark.parametrize("spreading", range(7, 13))
def test_no_downlink_is_lost_with_ten_milliseconds_of_jitter(
    kind: str, settings: dict[str, Any], spreading: int
) -> None:
    bench = Bench(kind, **settings)
    assert bench.runner.join().code == "joined"
    bench.time.jitter_us = 10_000
    for offset_us in (-20, 20):
        for window in (1, 2):
            bench.pause()
            bench.air.window, bench.air.offset_us = window, offset_us
            bench.mac.session.data_rate = 12 - spreading
            outcome = bench.runner.send(1, b"x")
            assert outcome.downlinks == [(7, b"down")], (window, offset_us, bench.runner.late_max_us)
            assert outcome.window == window
    assert bench.runner.late_max_us < 11_000
    assert bench.station.chip.notes == []


def test_between_uplinks_the_radio_sleeps() -> None:
    bench = Bench("sx1262")
    bench.runner.join()
    assert bench.station.chip.mode == "sleep"
    bench.pause()
    assert bench.runner.send(1, b"x").downlinks
    assert bench.station.chip.mode == "sleep"


def test_a_radio_in_another_region_is_given_its_parameters() -> None:
    bench = Bench("sx1262")
    bench.mac = Mac(US915, Aes, DEV_EUI, JOIN_EUI, APP_KEY)
    bench.air.transmit = bench.air.sent.append  # type: ignore[method-assign]
    runner = Runner(bench.mac, bench.station.modem, bench.time, Store(), random.Random(3).randbytes)  # type: ignore[arg-type]
    assert runner.join().code == "no_accept"
    sent = bench.air.sent[0]
    assert 902_300_000 <= sent.frequency_hz <= 914_900_000
    assert (sent.spreading_factor, sent.bandwidth_hz) == (10, 125000)
