# SPDX-License-Identifier: MIT
"""A runner, a MAC and a node's world in virtual time; the network is of another author (pamoja-lorawan)."""

from __future__ import annotations

from collections.abc import Callable

from communode.node.lorawan.mac import Mac
from communode.node.lorawan.region.eu868 import REGION
from communode.node.lorawan.runner import Runner
from communode.node.radio.modem import LoraParameters
from lorawan_air import (
    Air,
    Block,
    FakeModem,
    FlashOnly,
    MemoryStore,
    OnAir,
    VirtualClock,
    downlink,
    entropy,
)
from pamoja import lorawan as foreign

DEV_EUI = bytes.fromhex("8899aabbccddeeff")
JOIN_EUI = bytes.fromhex("0011223344556677")
APP_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
CF_LIST = bytes.fromhex("184f84e85684b85e84886684586e8400")


class Network:
    """Answers joins in RX1 and hands data uplinks to the test; all framing is pamoja's."""

    def __init__(self, rx_delay_s: int = 1, dl_settings: int = 0x03, cf_list: bytes | None = CF_LIST) -> None:
        self.rx_delay_s = rx_delay_s
        self.dl_settings = dl_settings
        self.cf_list = cf_list
        self.session: foreign.Session | None = None
        self.join_nonce = 0
        self.dev_nonces: list[int] = []
        self.received: list[foreign.RxData] = []
        self.window = 1
        self.offset_us = 0
        self.fcnt_down = 0
        self.reply: Callable[[foreign.RxData], dict[str, object] | None] = lambda data: None
        self.deaf = False
        self.drop_accepts = False

    def answer(self, uplink: OnAir) -> list[OnAir]:
        if self.deaf:
            return []
        if uplink.payload[0] == 0:
            return self._join(uplink)
        assert self.session is not None
        header = foreign.parse_header(uplink.payload)
        for high in range(4):
            try:
                data = self.session.decode(uplink.payload, header.fcnt | high << 16)
                break
            except Exception:
                continue
        else:
            raise AssertionError("no counter fits the MIC of an uplink")
        self.received.append(data)
        wanted = self.reply(data)
        if wanted is None:
            return []
        fields = {"fport": 1, "payload": b"", **wanted}
        wire = self.session.encode_downlink(self.fcnt_down, **fields)
        self.fcnt_down += 1
        return [self._place(uplink, wire, self.rx_delay_s)]

    def _join(self, uplink: OnAir) -> list[OnAir]:
        request = foreign.parse_join_request(uplink.payload, APP_KEY)
        assert request.dev_eui == DEV_EUI
        assert request.app_eui == JOIN_EUI
        assert request.dev_nonce not in self.dev_nonces
        self.dev_nonces.append(request.dev_nonce)
        if self.drop_accepts:
            return []
        self.join_nonce += 1
        grant = foreign.grant(
            self.join_nonce, 0x13, 0x260B1234, self.dl_settings, self.rx_delay_s, self.cf_list
        )
        self.session = grant.session(APP_KEY, request.dev_nonce)
        self.fcnt_down = 0
        return [self._place(uplink, grant.accept(APP_KEY, request.dev_nonce), 5)]

    def _place(self, uplink: OnAir, wire: bytes, delay_s: int) -> OnAir:
        start_us = uplink.end_us + 1_000_000 * (delay_s + self.window - 1) + self.offset_us
        parameters = uplink.parameters
        if self.window == 2:
            # Joining: DR0; then what DLSettings says (3 is SF9)
            spreading = 12 if uplink.payload[0] == 0 else 12 - (self.dl_settings & 15)
            parameters = LoraParameters(869525000, spreading, 125000)
        return downlink(parameters, start_us, wire)


class Node:
    """One node and its world; `boot` builds the runner anew from what survived."""

    def __init__(self, network: Network | None = None, seed: int = 1) -> None:
        self.network = network or Network()
        self.clock = VirtualClock()
        self.air = Air(self.network.answer)
        self.modem = FakeModem(self.clock, self.air)
        self.store = MemoryStore(self.modem)
        self.seed = seed
        self.boots = 0
        self.clock_ppm = 100
        self.cacheless = False
        self.boot()

    def boot(self) -> None:
        """After deep sleep, or (with `cut_power` before) after a power cut."""
        self.boots += 1
        self.mac = Mac(REGION, Block, DEV_EUI, JOIN_EUI, APP_KEY, 2)
        store = FlashOnly(self.store) if self.cacheless else self.store
        source = entropy(self.seed * 1000 + self.boots)
        self.runner = Runner(self.mac, self.modem, self.clock, store, source, self.clock_ppm)

    def cut_power(self) -> None:
        self.store.cache = None
        self.store.cut_before = self.store.cut_after = None
        self.modem.busy = False
        self.clock.boot_us = self.clock.time_us
        self.boot()

    def sleep(self, duration_ms: int) -> None:
        self.clock.time_us += 1000 * duration_ms

    def joined(self) -> Node:
        outcome = self.runner.join()
        assert outcome.code == "joined"
        return self
