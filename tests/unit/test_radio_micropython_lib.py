# SPDX-License-Identifier: MIT
"""The LoRaWAN runner over micropython-lib's low-level API, as its README describes it, on a strict stand-in.

The stand-in has their names, their states and their errors over the air of lorawan_air.py: a receive timer in
ms that the header must beat, answers that are True, False, a time or a packet.
"""

from __future__ import annotations

from typing import Any

import pytest
from communode.node.lorawan.mac import Mac
from communode.node.lorawan.region.eu868 import REGION
from communode.node.lorawan.region.kr920 import REGION as KR920
from communode.node.lorawan.runner import Runner
from communode.node.radio.airtime import symbol_time_us
from communode.node.radio.micropython_lib import MicropythonLib
from communode.node.radio.modem import LoraParameters, RadioError
from lorawan_air import Air, Block, FakeModem, MemoryStore, VirtualClock, entropy
from runner_bench import APP_KEY, DEV_EUI, JOIN_EUI, Network

KEYS = {
    *("freq_khz", "sf", "bw", "coding_rate", "preamble_len", "syncword", "crc_en", "implicit_header"),
    *("invert_iq_tx", "invert_iq_rx", "output_power"),
}


class TheirPacket(bytearray):
    """lora.RxPacket."""

    rssi = -71
    snr = 25
    valid_crc = True
    ticks_ms = 0


class TheirDriver:
    """lora.SX1262 and its like."""

    def __init__(self, clock: VirtualClock, air: Air) -> None:
        self.inner = FakeModem(clock, air)
        self.clock = clock
        self.state = "sleep"
        self.fail: Exception | None = None
        self.settings: dict[str, Any] = {}
        self.prepared: bytes | None = None
        self.never_done = False
        self.bad_crc = False

    def configure(self, lora_cfg: dict[str, Any]) -> None:
        if self.fail:
            raise self.fail
        assert self.state != "receiving"
        assert set(lora_cfg) <= KEYS
        assert isinstance(lora_cfg["bw"], str)
        if lora_cfg["sf"] < 6:
            raise ValueError("Invalid lora_cfg sf")
        self.settings.update(lora_cfg)
        self.state = "idle"

    def _parameters(self, inverted: bool) -> LoraParameters:
        known = self.settings
        return LoraParameters(
            int(known["freq_khz"] * 1000), known["sf"], int(known["bw"]) * 1000, invert_iq=inverted
        )

    def prepare_send(self, packet: bytes) -> None:
        self.prepared = bytes(packet)
        parameters = self._parameters(self.settings["invert_iq_tx"])
        self.inner.prepare_tx(parameters, self.prepared, self.settings["output_power"])

    def start_send(self) -> None:
        assert self.prepared is not None
        self.inner.start_tx()
        self.state = "sending"

    def poll_send(self) -> int | bool:
        if self.state != "sending":
            return False
        if self.never_done or self.inner.poll_tx() is None:
            return True
        self.state = "idle"
        return self.clock.ticks_us() // 1000

    def start_recv(self, timeout_ms: int | None = None) -> None:
        assert self.state == "idle"
        assert isinstance(timeout_ms, int)
        parameters = self._parameters(self.settings["invert_iq_rx"])
        symbol_us = symbol_time_us(parameters.spreading_factor, parameters.bandwidth_hz)
        # The timer runs until the header is in: that much of it hears no new preamble.
        self.inner.prepare_rx(parameters, timeout_ms * 1000 // symbol_us - 20)
        self.inner.start_rx()
        self.state = "receiving"

    def poll_recv(self) -> TheirPacket | bool:
        got = self.inner.poll_rx()
        if got is None:
            return True
        self.state = "idle"
        if got is False:
            return False
        assert not isinstance(got, bool)
        packet = TheirPacket(got.payload)
        packet.valid_crc = not self.bad_crc
        return packet

    def standby(self) -> None:
        if self.fail:
            raise self.fail
        self.state = "idle"

    def sleep(self) -> None:
        self.state = "sleep"


class Node:
    """A node on their driver."""

    def __init__(self, network: Network, region: Any = REGION) -> None:
        self.clock = VirtualClock()
        self.air = Air(network.answer)
        self.driver = TheirDriver(self.clock, self.air)
        self.modem = MicropythonLib(self.driver, self.clock, max_power_dbm=20)  # type: ignore[arg-type]
        mac = Mac(region, Block, DEV_EUI, JOIN_EUI, APP_KEY, 2)
        self.runner = Runner(mac, self.modem, self.clock, MemoryStore(), entropy(3))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("communode.node.lorawan.runner.gc.collect", lambda: 0)


@pytest.mark.parametrize("window", [1, 2])
@pytest.mark.parametrize("data_rate", range(6))
def test_join_send_and_receive_over_their_driver(window: int, data_rate: int) -> None:
    network = Network()
    node = Node(network)
    assert node.runner.join().code == "joined"
    network.window = window
    network.reply = lambda data: {"fport": 9, "payload": b"down"}
    node.runner.mac.session.data_rate = data_rate
    outcome = node.runner.send(2, b"up")
    assert network.received[0].payload == b"up"
    assert (outcome.downlinks, outcome.window) == ([(9, b"down")], window)
    assert (outcome.rssi_dbm, outcome.snr_quarter_db) == (-71, 25)
    assert node.driver.state == "sleep"
    assert node.air.uplinks[-1].power_dbm == 14


def test_the_end_of_an_uplink_is_exact_though_they_count_in_milliseconds() -> None:
    node = Node(Network())
    node.air.answer = lambda uplink: []
    parameters = LoraParameters(868_100_000, 9, 125_000)
    node.modem.prepare_tx(parameters, bytes(20), 14)
    node.modem.start_tx()
    sent = node.air.uplinks[-1]
    done = None
    while done is None:
        node.clock.sleep_ms(3)
        done = node.modem.poll_tx()
    assert abs(done - sent.end_us) < 300


def test_an_uplink_that_never_ends_is_an_error() -> None:
    node = Node(Network())
    node.driver.never_done = True
    assert node.runner.join().code == "tx_timeout"
    node.driver.never_done = False
    assert node.runner.join().code in ("wait", "joined", "no_accept")


def test_a_packet_with_a_bad_crc_is_nothing() -> None:
    node = Node(Network())
    node.driver.bad_crc = True
    assert node.runner.join().code == "no_accept"


@pytest.mark.parametrize(
    ("error", "code"), [(RuntimeError("BUSY timeout"), "busy_timeout"), (ValueError("sf"), "unsupported")]
)
def test_their_errors_become_ours(error: Exception, code: str) -> None:
    node = Node(Network())
    node.driver.fail = error
    assert node.runner.join().code == code


def test_a_region_that_must_listen_before_it_talks_is_refused() -> None:
    assert Node(Network(), KR920).runner.join().code == "unsupported"
    with pytest.raises(RadioError, match="unsupported"):
        Node(Network()).modem.channel_activity(LoraParameters(868_100_000, 7, 125_000))


def test_a_frequency_off_the_kilohertz_grid_is_kept() -> None:
    node = Node(Network())
    node.modem.prepare_tx(LoraParameters(865_062_500, 7, 125_000), b"x", 30)
    assert node.driver.settings["freq_khz"] == 865062.5
    assert node.driver.settings["output_power"] == 20
