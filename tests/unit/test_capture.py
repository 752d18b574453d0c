# SPDX-License-Identifier: MIT
"""The capture: header bytes, what is left out, and what Wireshark's own dissectors say about it."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

from communode.virtual.air import Air
from communode.virtual.capture import Capture, loratap
from event_timeline import packet
from foreign_node import ForeignNode
from pamoja import lorawan

EPOCH_UNIX_S = 1_767_225_600.0  # 2026-01-01


def records(path: Path) -> list[tuple[float, bytes]]:
    data = path.read_bytes()
    assert struct.unpack("<IHHiIII", data[:24]) == (0xA1B2C3D4, 2, 4, 0, 0, 65535, 270)
    found, at = [], 24
    while at < len(data):
        seconds, micros, kept, length = struct.unpack_from("<IIII", data, at)
        assert kept == length
        found.append((seconds + micros / 1e6, data[at + 16 : at + 16 + kept]))
        at += 16 + kept
    return found


def dissect(tshark: str, path: Path, *fields: str) -> list[dict[str, list[str]]]:
    command = [tshark, "-r", str(path), "-T", "json"]
    for name in fields:
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [entry["_source"]["layers"] for entry in json.loads(done.stdout)]


def test_the_header_is_loratap_version_0():
    header = loratap(packet(frequency_hz=868_500_000, spreading_factor=9), -80.4, 6.3)[:15]
    assert header == bytes.fromhex("0000000f33c4422001093bff001934")


def test_rssi_is_scaled_by_four_when_the_snr_is_negative():
    assert loratap(packet(), -120.0, -5.0)[10] == 76  # (-120 + 139) * 4
    assert loratap(packet(), -120.0, -5.0)[13] == 0xEC
    assert loratap(packet(), 200.0, 90.0)[10] == 255
    assert loratap(packet(), 200.0, 90.0)[13] == 127
    assert loratap(packet(), None, 0.0)[10] == 0


def test_packets_are_stamped_with_their_start_and_ordered_by_it(tmp_path: Path):
    air = Air(path_loss_db=110.0)
    path = tmp_path / "air.pcap"
    with Capture(path, air, epoch_unix_s=EPOCH_UNIX_S, observer="gateway") as capture:
        air.transmit(packet("slow", 1_000_000, end_us=2_500_000, payload=b"slow", spreading_factor=12))
        air.transmit(packet("quick", 1_200_001, payload=b"quick"))
        air.transmit(packet("gateway", 3_000_000, payload=b"down", invert_iq=True))
    assert capture.packets == 3
    found = records(path)
    assert [data[15:] for _, data in found] == [b"slow", b"quick", b"down"]
    assert [round((stamp - EPOCH_UNIX_S) * 1e6) for stamp, _ in found] == [1_000_000, 1_200_001, 3_000_000]
    assert [data[10] for _, data in found] == [43, 43, 0], "-96 dBm, -96 dBm, its own"


def test_packets_that_were_cut_are_left_out(tmp_path: Path):
    air = Air()
    path = tmp_path / "air.pcap"
    with Capture(path, air) as capture:
        broken = packet("a", 1_000_000, payload=b"broken")
        air.transmit(broken)
        air.cut(broken, 1_010_000)
        air.transmit(packet("b", 2_000_000, payload=b"whole"))
    assert capture.packets == 1
    assert [data[15:] for _, data in records(path)] == [b"whole"]


def test_a_closed_capture_ignores_the_air(tmp_path: Path):
    air = Air()
    capture = Capture(tmp_path / "air.pcap", air)
    capture.close()
    air.transmit(packet())
    capture.close()
    assert records(tmp_path / "air.pcap") == []


def test_wireshark_decodes_both_directions_as_lorawan(tmp_path: Path, tshark: str):
    node = ForeignNode()
    request = node.join_request()
    offer = lorawan.grant(1, 0, 0x00000001)
    accept = bytes(offer.accept(node.app_key, node.dev_nonce))
    node.accept(accept)
    down = bytes(node.session.encode_downlink(0, 10, b"ok", ack=True))
    air = Air(path_loss_db=110.0)
    path = tmp_path / "air.pcap"
    with Capture(path, air, epoch_unix_s=EPOCH_UNIX_S, observer="gateway"):
        for number, phy in enumerate((request, accept, node.uplink(b"payload", f_port=7), down)):
            source = "gateway" if number % 2 else "node"
            start_us = (number + 1) * 5_000_000
            air.transmit(packet(source, start_us, payload=phy, invert_iq=bool(number % 2)))
    decoded = dissect(
        tshark,
        path,
        "frame.protocols",
        "frame.time_epoch",
        "lorawan.mhdr.mtype",
        "loratap.channel.sf",
        "loratap.channel.frequency",
        "lorawan.fhdr.devaddr",
        "lorawan.fport",
        "lorawan.fhdr.fcnt",
    )
    assert [entry["frame.protocols"][0] for entry in decoded] == ["loratap:lorawan"] * 4
    assert [entry["lorawan.mhdr.mtype"][0] for entry in decoded] == ["0", "1", "2", "3"]
    assert {entry["loratap.channel.frequency"][0] for entry in decoded} == {"868100000"}
    assert {entry["loratap.channel.sf"][0] for entry in decoded} == {"7"}
    assert decoded[2]["lorawan.fhdr.devaddr"] == ["0x00000001"]
    assert [int(entry["lorawan.fport"][0], 16) for entry in decoded[2:]] == [7, 10]
    assert float(decoded[0]["frame.time_epoch"][0]) == EPOCH_UNIX_S + 5.0
