# SPDX-License-Identifier: MIT
"""A bench for LoRaWAN on radios: runner and MAC over our drivers over the chip models, and a foreign network.

Windows are real ones: a downlink is received only when the open receiver covers enough of its preamble.
"""

from __future__ import annotations

import random
from typing import Any

from communode.node.lorawan.mac import Mac
from communode.node.lorawan.region.eu868 import REGION
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
    """Sleeps that come back up to ``jitter_us`` late, and (as light sleep does, timed by an RC oscillator)
    last ``sleep_ppm`` longer than the node's own clock says."""

    def __init__(self) -> None:
        super().__init__()
        self.jitter_us = 0
        self.sleep_ppm = 0
        self._random = random.Random(5)

    def sleep_ms(self, duration: int) -> None:
        super().sleep_ms(duration)
        unnoticed_us = 1000 * duration * self.sleep_ppm // 1_000_000
        self.now += unnoticed_us
        self._offset -= unnoticed_us
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
            self._reply(transmission, grant.accept(APP_KEY, nonce), 5, 12)
            return
        data = self.session.decode(wire, foreign.parse_header(wire).fcnt)
        self.uplinks.append(data)
        down = self.session.encode_downlink(self.fcnt_down, 7, b"down", ack=data.confirmed)
        self.fcnt_down += 1
        self._reply(transmission, down, self.delay_s, 9)

    def _reply(self, up: Transmission, wire: bytes, delay_s: int, rx2_spreading: int) -> None:
        frequency, spreading = up.frequency_hz, up.spreading_factor
        if self.window == 2:
            frequency, spreading = 869525000, rx2_spreading
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
