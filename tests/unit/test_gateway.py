# SPDX-License-Identifier: MIT
"""The virtual gateway against a scripted server: every datagram as PROTOCOL.TXT has it, every refusal."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from datetime import UTC, datetime

import pytest
from communode.errors import CommunodeError
from communode.lns.semtech import TxPacket, gps_ms_from_unix, unix_from_gps_ms
from communode.virtual.air import Air
from communode.virtual.gateway import Gateway
from event_timeline import EventTimeline, packet

EUI = "00800000a000beef"
HEAD = bytes.fromhex(EUI)
EPOCH_UNIX_S = 1_767_225_600.0  # 2026-01-01


class ScriptedServer:
    """Acknowledges everything; answers a PUSH_DATA with ``rxpk`` by the next of its downlinks."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(10.0)
        self.address = self.socket.getsockname()
        self.pushed: list[dict] = []
        self.tx_acks: list[tuple[int, dict]] = []
        self.kinds: list[int] = []
        self.downlinks: list[dict] = []
        self.silent = False
        self._pull_address: tuple[str, int] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            data, address = self.socket.recvfrom(65507)
            if data == b"stop":
                return
            assert data[0] == 2
            assert data[4:12] == HEAD
            kind = data[3]
            self.kinds.append(kind)
            if self.silent:
                continue
            if kind == 0:
                body = json.loads(data[12:])
                self.pushed.append(body)
                if "rxpk" in body and self.downlinks:
                    text = json.dumps({"txpk": self.downlinks.pop(0)}).encode()
                    self.socket.sendto(b"\x02\x00" + bytes([0x10 + len(self.downlinks), 3]) + text, address)
                self.socket.sendto(b"\x02" + data[1:3] + b"\x01", address)
            elif kind == 2:
                self.socket.sendto(b"\x02" + data[1:3] + b"\x04", address)
            elif kind == 5:
                self.tx_acks.append((int.from_bytes(data[1:3], "big"), json.loads(data[12:])))

    def close(self) -> None:
        self.socket.sendto(b"stop", self.address)
        self._thread.join(timeout=5)
        self.socket.close()

    @property
    def rxpk(self) -> list[dict]:
        return [element for body in self.pushed for element in body.get("rxpk", [])]

    @property
    def errors(self) -> list[str]:
        return [body["txpk_ack"]["error"] for _, body in self.tx_acks]


@pytest.fixture
def server():
    scripted = ScriptedServer()
    yield scripted
    scripted.close()


class Field:
    """Air, timeline and gateways."""

    def __init__(self, server: ScriptedServer) -> None:
        self.air = Air(path_loss_db=110.0)
        self.timeline = EventTimeline()
        self.server = server
        self.gateways: list[Gateway] = []

    def gateway(self, **options) -> Gateway:
        options = {"epoch_unix_s": EPOCH_UNIX_S} | options
        self.gateways.append(Gateway(EUI, self.air, self.timeline, self.server.address, **options))
        return self.gateways[-1]

    def send(self, **changes) -> None:
        start_us = changes.pop("start_us", self.timeline.now_us() + 1000)
        self.timeline.run_until(start_us)
        self.air.transmit(packet(start_us=start_us, **changes))

    def pass_time(self, seconds: float) -> None:
        self.timeline.run_until(self.timeline.now_us() + round(seconds * 1e6))


@pytest.fixture
def field(server):
    opened = Field(server)
    yield opened
    for gateway in opened.gateways:
        gateway.close()


def txpk(tmst: int, **changes) -> dict:
    body = TxPacket(b"downlink", 868_100_000, 7, 125_000, 14, tmst_us=tmst & 0xFFFFFFFF).to_json()["txpk"]
    return body | changes


def test_an_uplink_is_forwarded_as_the_protocol_describes(field: Field, server):
    field.gateway()
    field.send(start_us=5_000_000_000, payload=b"hello", frequency_hz=867_500_000)
    field.pass_time(1)
    assert server.rxpk == [
        {
            "tmst": 5_000_061_696 & 0xFFFFFFFF,
            "time": "2026-01-01T01:23:20.061696Z",
            "tmms": 1_451_265_818_062,
            "freq": 867.5,
            "chan": 5,
            "rfch": 1,
            "stat": 1,
            "modu": "LORA",
            "datr": "SF7BW125",
            "codr": "4/5",
            "rssi": -96,
            "lsnr": 21.0,
            "size": 5,
            "data": base64.b64encode(b"hello").decode(),
        }
    ]


def test_gps_time_runs_eighteen_seconds_ahead_of_utc():
    unix_s = datetime(2025, 7, 14, tzinfo=UTC).timestamp()
    assert gps_ms_from_unix(unix_s) == 1_436_486_418_000  # as in the published DeviceTimeAns examples
    assert unix_from_gps_ms(1_436_486_418_000) == unix_s


def test_each_push_is_followed_by_a_pull_as_barrier(field: Field, server):
    field.gateway()
    field.send()
    field.pass_time(1)
    assert server.kinds == [0, 2, 0, 2], "stat, then rxpk"
    assert "stat" in server.pushed[0]


def test_statistics_come_every_thirty_virtual_seconds(field: Field, server):
    field.gateway()
    field.send()
    field.pass_time(95)
    stats = [body["stat"] for body in server.pushed if "stat" in body]
    assert [stat["time"][11:19] for stat in stats] == ["00:00:00", "00:00:30", "00:01:00", "00:01:30"]
    assert (stats[3]["rxnb"], stats[3]["rxok"], stats[3]["rxfw"], stats[3]["ackr"]) == (1, 1, 1, 100.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"invert_iq": True},
        {"sync_word": 0x12},
        {"frequency_hz": 868_200_000},
        {"spreading_factor": 6},
        {"bandwidth_hz": 500_000},
        {"bandwidth_hz": 250_000, "frequency_hz": 868_100_000},
        {"crc": False},
        {"implicit": True},
        {"power_dbm": -40.0},
    ],
)
def test_what_a_gateway_cannot_hear_is_not_forwarded(field: Field, server, changes):
    field.gateway()
    field.send(**changes)
    field.pass_time(1)
    assert server.rxpk == []


@pytest.mark.parametrize("spreading_factor", range(7, 13))
def test_all_spreading_factors_are_heard(field: Field, server, spreading_factor: int):
    field.gateway()
    field.send(spreading_factor=spreading_factor)
    field.pass_time(1)
    assert [element["datr"] for element in server.rxpk] == [f"SF{spreading_factor}BW125"]


def test_the_fast_channel_is_heard(field: Field, server):
    field.gateway()
    field.send(bandwidth_hz=250_000, frequency_hz=868_300_000)
    field.pass_time(1)
    assert [(element["datr"], element["chan"]) for element in server.rxpk] == [("SF7BW250", 8)]


def test_collided_packets_count_as_heard_but_are_not_forwarded(field: Field, server):
    gateway = field.gateway()
    field.send(source="a", start_us=1_000_000)
    field.send(source="b", start_us=1_010_000)
    field.pass_time(1)
    assert server.rxpk == []
    assert (gateway.counts.heard, gateway.counts.intact) == (2, 0)


def test_eight_demodulators_are_all_there_are(field: Field, server):
    gateway = field.gateway()
    channels = [868_100_000, 868_300_000, 868_500_000, 867_100_000, 867_300_000]
    pairs = [(hz, sf) for hz in channels for sf in (7, 9)]
    for number, (hz, sf) in enumerate(pairs):
        field.send(source=f"n{number}", start_us=1_000_000 + number, frequency_hz=hz, spreading_factor=sf)
    field.pass_time(1)
    assert len(server.rxpk) == 8
    assert gateway.counts.busy == 2
    field.send(source="later")
    field.pass_time(1)
    assert len(server.rxpk) == 9, "demodulators become free again"


def test_an_outage_silences_everything(field: Field, server):
    field.gateway(outages=[(10_000_000, 100_000_000)])
    field.send(start_us=9_970_000)  # ends inside the outage
    field.send(start_us=50_000_000)
    field.send(start_us=99_990_000)  # begins inside it
    field.send(start_us=100_100_000)
    field.pass_time(1)
    assert [element["tmst"] for element in server.rxpk] == [100_161_696]
    assert sum("stat" in body for body in server.pushed) == 1


def test_a_downlink_goes_out_at_its_time_on_the_counter(field: Field, server):
    gateway = field.gateway(counter_offset_us=(1 << 32) - 1_500_000)  # the counter wraps in between
    sent = []
    field.air.subscribe(sent.append)
    field.send(start_us=1_000_000)
    tmst = (1_061_696 - 1_500_000) & 0xFFFFFFFF
    server.downlinks.append(txpk(tmst + 1_000_000))
    field.pass_time(3)
    down = sent[1]
    assert (down.source, down.start_us) == (gateway.name, 2_061_696)
    assert (down.payload, down.frequency_hz, down.power_dbm) == (b"downlink", 868_100_000, 14)
    assert (down.invert_iq, down.crc, down.preamble_symbols, down.sync_word) == (True, False, 8, 0x34)
    assert down.end_us - down.start_us == 36_096  # 8 bytes without CRC at SF7
    assert server.errors == ["NONE"]
    assert server.tx_acks[0][0] == 0x10, "the token of the PULL_RESP"


def test_a_shifted_downlink_is_late_by_as_much(field: Field, server):
    field.gateway(tx_offset_us=20)
    sent = []
    field.air.subscribe(sent.append)
    server.downlinks.append(txpk(1_061_696 + 1_000_000))
    field.send(start_us=1_000_000)
    field.pass_time(3)
    assert sent[1].start_us == 2_061_716


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"tmst": 1_061_696 + 20_000}, "TOO_LATE"),
        ({"tmst": 1_061_696 - 5_000}, "TOO_LATE"),
        ({"tmst": 1_061_696 + 600_000_000}, "TOO_EARLY"),
        ({"freq": 915.0}, "TX_FREQ"),
        ({"powe": 30}, "TX_POWER"),
    ],
)
def test_downlinks_that_cannot_be_sent_are_refused(field: Field, server, changes, error):
    gateway = field.gateway()
    server.downlinks.append(txpk(2_061_696) | changes)
    field.send(start_us=1_000_000)
    field.pass_time(5)
    assert server.errors == [error]
    assert gateway.counts.sent == 0


def test_a_second_downlink_at_the_same_time_is_refused(field: Field, server):
    gateway = field.gateway()
    server.downlinks += [txpk(3_000_000), txpk(3_020_000), txpk(3_100_000)]
    for start_us in (1_000_000, 1_200_000, 1_400_000):
        field.send(start_us=start_us)
    field.pass_time(5)
    assert server.errors == ["NONE", "COLLISION_PACKET", "NONE"]
    assert gateway.counts.sent == 2


@pytest.mark.parametrize("changes", [{"datr": 50000, "modu": "FSK"}, {"data": "?"}, {"tmst": None}])
def test_unreadable_downlinks_are_ignored(field: Field, server, changes):
    gateway = field.gateway()
    server.downlinks.append(txpk(2_061_696) | changes)
    field.send(start_us=1_000_000)
    field.pass_time(5)
    assert server.tx_acks == []
    assert gateway.counts.sent == 0


def test_immediate_downlinks_go_out_a_second_later(field: Field, server):
    field.gateway()
    sent = []
    field.air.subscribe(sent.append)
    server.downlinks.append(txpk(0) | {"imme": True})
    field.send(start_us=1_000_000)
    field.pass_time(5)
    assert sent[1].start_us == 2_061_696


def test_a_gateway_that_sends_is_deaf(field: Field, server):
    field.gateway()
    server.downlinks.append(txpk(2_061_696))
    field.send(start_us=1_000_000)
    field.send(start_us=2_070_000, frequency_hz=868_500_000)
    field.pass_time(2)
    assert len(server.rxpk) == 1


def test_a_silent_server_is_a_clear_error(field: Field, server):
    server.silent = True
    field.gateway(timeout_s=0.2)
    with pytest.raises(CommunodeError) as caught:
        field.pass_time(1)
    assert caught.value.code == "network.server_silent"
    assert EUI in caught.value.message


def test_no_server_at_all_is_a_clear_error_without_waiting(field: Field, server):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = probe.getsockname()
    gateway = Gateway(EUI, field.air, field.timeline, nobody, timeout_s=30)
    began = time.monotonic()
    with pytest.raises(CommunodeError, match="did not answer"):
        field.pass_time(1)
    assert time.monotonic() - began < 5
    gateway.close()


def test_in_real_time_nothing_waits_for_the_server(field: Field, server):
    server.silent = True
    gateway = field.gateway(realtime=True)
    began = time.monotonic()
    field.send(start_us=1_000_000)
    field.pass_time(40)
    assert time.monotonic() - began < 5
    assert gateway._forwarder.acknowledged_pct == 0.0


def test_in_real_time_the_gateway_s_gps_follows_the_host_s_clock(field: Field, server):
    field.gateway(realtime=True, epoch_unix_s=None)
    before = gps_ms_from_unix(time.time())
    field.send(start_us=1_000_000)
    field.pass_time(0.1)
    deadline = time.monotonic() + 5
    while not server.rxpk and time.monotonic() < deadline:
        time.sleep(0.01)
    assert abs(server.rxpk[0]["tmms"] - before - 1_062) < 1_000


def test_in_real_time_downlinks_are_polled(field: Field, server):
    gateway = field.gateway(realtime=True)
    server.downlinks.append(txpk(2_061_696))
    field.send(start_us=1_000_000)
    field.pass_time(0.1)
    deadline = time.monotonic() + 5
    while not gateway.counts.asked and time.monotonic() < deadline:
        time.sleep(0.01)
        field.pass_time(0.004)
    field.pass_time(2)
    while not server.errors and time.monotonic() < deadline:
        time.sleep(0.01)  # the TX_ACK crosses a real socket
    assert server.errors == ["NONE"]
    assert gateway.counts.sent == 1
