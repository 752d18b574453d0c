# SPDX-License-Identifier: MIT
"""``communode demo``: its files against the interfaces, its frames against programs that are not ours.

MICs and payload keys are judged by `pamoja-lorawan`, the capture by Wireshark. The day of 24 hours is lived
once a session; what does not need a day looks at two hours.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import sqlite3
import struct
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from communode.boards import load_board
from communode.node.codec.record import HEAD, unpack_values
from communode.node.schema.quantities import QUALITIES, QUANTITIES
from communode.node.storage.journal import Journal
from communode.profiles import load_profile
from communode.virtual.bootable import read_partitions
from communode.virtual.flash import FlashFile
from pamoja import lorawan as foreign
from pamoja._native import PamojaError
from running_board import start

pytestmark = pytest.mark.timeout(600)

NODE_KEYS = {
    *("dev_eui", "board", "profile", "joined", "uplinks_sent", "uplinks_received", "downlinks_received"),
    *("records_taken", "records_delivered", "records_lost", "airtime_ms", "energy_mj"),
}
CODES = {facts[0]: code for code, facts in QUANTITIES.items()}
JOIN_REQUEST, JOIN_ACCEPT, UP, DOWN = 0, 1, (2, 4), (3, 5)


@dataclass
class Day:
    """One run of the demo and what it left."""

    folder: Path
    stdout: str
    stderr: str

    @cached_property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "summary.json").read_text("utf-8"))

    @cached_property
    def keys(self) -> list[dict[str, str]]:
        return json.loads((self.folder / "keys.json").read_text("utf-8"))

    @cached_property
    def capture(self) -> bytes:
        return (self.folder / "capture.pcap").read_bytes()

    @cached_property
    def frames(self) -> list[bytes]:
        """PHYPayloads of the capture, in its order."""
        return [phy for _, phy in self.packets]

    @cached_property
    def packets(self) -> list[tuple[int, bytes]]:
        """Spreading factor and PHYPayload of all that was on the air, in its order; all at 125 kHz."""
        assert struct.unpack_from("<IHHiIII", self.capture) == (0xA1B2C3D4, 2, 4, 0, 0, 65535, 270)
        found, at = [], 24
        while at < len(self.capture):
            _, _, kept, length = struct.unpack_from("<IIII", self.capture, at)
            packet = self.capture[at + 16 : at + 16 + kept]
            assert kept == length == len(packet)
            header, _, bandwidth, spreading = struct.unpack_from(">HIBB", packet, 2)
            assert bandwidth == 1
            found.append((spreading, packet[header:]))
            at += 16 + kept
        return found

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the store."""
        database = sqlite3.connect(f"file:{self.folder / 'readings.sqlite'}?mode=ro", uri=True)
        try:
            return database.execute(query).fetchall()
        finally:
            database.close()


def live(folder: Path, hours: float, seed: int = 1) -> Day:
    done = start(
        *("communode", "demo", "--hours", str(hours), "--seed", str(seed), "--out", folder),
        limit_s=500,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return Day(folder, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory, micropython: str) -> Day:
    """24 hours."""
    return live(tmp_path_factory.mktemp("day"), 24)


@pytest.fixture(scope="session")
def morning(tmp_path_factory: pytest.TempPathFactory, micropython: str) -> Day:
    """Two hours."""
    return live(tmp_path_factory.mktemp("morning"), 2)


# Files


def test_the_summary_has_the_promised_keys(day: Day) -> None:
    summary = day.summary
    assert summary["ok"] is True
    assert summary["hours"] == 24
    assert 0 < summary["wall_s"] < 60
    assert [node["profile"] for node in summary["nodes"]] == ["air", "water", "bin"]
    for node in summary["nodes"]:
        assert set(node) >= NODE_KEYS
        assert load_board(node["board"]).name == node["board"]


def test_every_node_takes_96_records_with_a_deep_sleep_between_any_two_and_loses_none(day: Day) -> None:
    for number, node in enumerate(day.summary["nodes"], 1):
        assert node["joined"] is True
        assert node["records_taken"] >= 96
        assert node["deep_sleeps"] >= node["records_taken"] - 1
        assert node["records_delivered"] == node["records_taken"]
        assert node["records_lost"] == 0
        assert node["uplinks_sent"] > node["uplinks_received"] > 0, "the air loses some"
        assert node["downlinks_received"] > 0
        assert node["airtime_ms"] > 0
        assert node["energy_mj"] > 0
        console = (day.folder / f"node{number}.log").read_text("utf-8", "replace")
        assert "Traceback" not in console


def time_on_air_ms(spreading: int, size: int) -> float:
    """Of an uplink: AN1200.22, explicit header, CRC, 4/5, eight symbols of preamble, 125 kHz."""
    slow = spreading >= 11
    blocks = math.ceil((8 * size - 4 * spreading + 28 + 16) / (4 * (spreading - 2 * slow)))
    return (8 + 4.25 + 8 + 5 * max(blocks, 0)) * 2**spreading / 125


def test_airtime_is_that_of_the_capture_and_within_one_percent(day: Day) -> None:
    owners = {bytes.fromhex(row["dev_eui"])[::-1]: row["dev_eui"] for row in day.keys}
    owners |= {bytes.fromhex(row["dev_addr"])[::-1]: row["dev_eui"] for row in day.keys}
    spent = dict.fromkeys(owners.values(), 0.0)
    for spreading, phy in day.packets:
        kind = phy[0] >> 5
        if kind == JOIN_REQUEST or kind in UP:
            owner = owners[phy[9:17] if kind == JOIN_REQUEST else phy[1:5]]
            spent[owner] += time_on_air_ms(spreading, len(phy))
    for node in day.summary["nodes"]:
        assert node["airtime_ms"] == pytest.approx(spent[node["dev_eui"]], abs=2)
        assert node["airtime_ms"] / (24 * 3_600_000) < 0.01


def test_the_keys_are_full_and_for_the_owner_only(day: Day) -> None:
    path = day.folder / "keys.json"
    assert os.stat(path).st_mode & 0o077 == 0
    sizes = {"dev_eui": 8, "join_eui": 8, "app_key": 16, "dev_addr": 4, "nwk_s_key": 16, "app_s_key": 16}
    assert [row["dev_eui"] for row in day.keys] == [node["dev_eui"] for node in day.summary["nodes"]]
    for row in day.keys:
        assert {name: len(bytes.fromhex(row[name])) for name in sizes} == sizes


def test_no_key_stands_in_anything_that_is_shown(day: Day) -> None:
    secrets = [row[name] for row in day.keys for name in ("app_key", "nwk_s_key", "app_s_key")]
    assert len(set(secrets)) == len(secrets)
    shown = [day.stdout, day.stderr]
    shown += [path.read_text("utf-8", "replace") for path in day.folder.glob("*.log")]
    shown += [(day.folder / name).read_text("utf-8") for name in ("report.html", "summary.json")]
    assert len(shown) == 7
    for text, secret in itertools.product(shown, secrets):
        assert secret not in text.lower()
        assert str(bytes.fromhex(secret)) not in text


def test_the_report_is_one_page_that_loads_nothing(day: Day) -> None:
    page = (day.folder / "report.html").read_text("utf-8")
    for node in day.summary["nodes"]:
        assert node["dev_eui"] in page.lower()
    for reference in ('src="http', 'href="http', "url(http", "<script src", "@import", "<link"):
        assert reference not in page


def test_every_reading_has_unit_quality_and_time(day: Day) -> None:
    rows = day.read("SELECT dev_eui, record_id, time_utc, quantity, value, unit, quality FROM readings")
    assert {row[0] for row in rows} == {node["dev_eui"] for node in day.summary["nodes"]}
    for _, _, time_utc, quantity, value, unit, quality in rows:
        assert QUANTITIES[CODES[quantity]][1] == unit
        assert quality in QUALITIES
        assert time_utc is not None
        assert isinstance(value, float) or quality != "good"


# The node's own word


class _Region:
    """A partition of a flash file, to be read only."""

    def __init__(self, flash: FlashFile, label: str) -> None:
        part = next(part for part in read_partitions(flash) if part.label == label)
        self._flash, self._offset, self.size = flash, part.offset, part.size

    def read(self, offset: int, buffer: bytearray) -> None:
        buffer[:] = self._flash.read(self._offset + offset, len(buffer))

    def program(self, offset: int, data: bytes) -> None:
        raise AssertionError("a reader of the journal wrote to it")

    def erase(self, offset: int) -> None:
        raise AssertionError("a reader of the journal erased it")


def test_the_store_holds_what_the_journals_hold(day: Day) -> None:
    rows = day.read("SELECT dev_eui, record_id, quantity, value, quality FROM readings")
    for number, node in enumerate(day.summary["nodes"]):
        codes = tuple(CODES[name] for name in load_profile(node["profile"]).quantities)
        stored: dict[int, dict[int, tuple[float | None, str]]] = {}
        for dev_eui, record_id, quantity, value, quality in rows:
            if dev_eui != node["dev_eui"]:
                continue
            stored.setdefault(record_id & 0xFFFFFF, {})[CODES[quantity]] = (value, quality)
        size = load_board(node["board"]).flash_size
        with FlashFile(day.folder / f"node{number + 1}.flash", size) as flash:
            journal = Journal(_Region(flash, "journal"), 0)
            assert journal.next_id == node["records_taken"]
            kept = {record_id: journal.read(record_id) for record_id in range(journal.next_id)}
        assert set(stored) == set(kept)
        for record_id, record in kept.items():
            assert record is not None
            expected = {
                code: (None if value is None else value / QUANTITIES[code][2], QUALITIES[quality])
                for code, (value, quality) in unpack_values(codes, record[HEAD:]).items()
            }
            assert stored[record_id] == expected, (node["dev_eui"], record_id)


# The air


def test_wireshark_decodes_every_frame_as_lorawan(day: Day, tshark: str) -> None:
    command = [tshark, "-r", str(day.folder / "capture.pcap"), "-T", "json"]
    for name in ("frame.protocols", "lorawan.mhdr.mtype", "_ws.malformed", "_ws.expert.message"):
        command += ["-e", name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    layers = [entry["_source"]["layers"] for entry in json.loads(done.stdout)]
    assert len(layers) == len(day.frames) > 300
    for layer, phy in zip(layers, day.frames, strict=True):
        assert layer["frame.protocols"][0].split(":")[:2] == ["loratap", "lorawan"]
        assert int(layer["lorawan.mhdr.mtype"][0]) == phy[0] >> 5
        assert "_ws.malformed" not in layer
        keyless = "MIC could not be verified because of missing encryption keys"
        assert [text for text in layer.get("_ws.expert.message", []) if text != keyless] == []


class Ear:
    """Follows all nodes with nothing but keys.json, as a foreign implementation sees them."""

    def __init__(self, keys: list[dict[str, str]]) -> None:
        self._keys = keys
        self._nonces: dict[str, list[int]] = {row["dev_eui"]: [] for row in keys}
        self._sessions: dict[int, list[Any]] = {}
        for row in keys:
            session = foreign.session(
                int(row["dev_addr"], 16), bytes.fromhex(row["nwk_s_key"]), bytes.fromhex(row["app_s_key"])
            )
            self._sessions[int(row["dev_addr"], 16)] = [session]
        self.counts = dict.fromkeys(("join-request", "join-accept", "up", "down"), 0)

    def take(self, phy: bytes) -> None:
        """Verify one frame; AssertionError when no key fits."""
        kind = phy[0] >> 5
        if kind == JOIN_REQUEST:
            assert any(self._request(phy, row) for row in self._keys), phy.hex()
        elif kind == JOIN_ACCEPT:
            assert any(self._accept(phy, row) for row in self._keys), phy.hex()
        else:
            assert kind in (*UP, *DOWN), phy.hex()
            self._data(phy, "up" if kind in UP else "down")

    def _request(self, phy: bytes, row: dict[str, str]) -> bool:
        try:
            request = foreign.parse_join_request(phy, bytes.fromhex(row["app_key"]))
        except PamojaError:
            return False
        if bytes(request.dev_eui).hex() != row["dev_eui"]:
            return False
        assert bytes(request.app_eui).hex() == row["join_eui"]
        nonces = self._nonces[row["dev_eui"]]
        assert request.dev_nonce not in nonces, "DevNonce used twice"
        nonces.append(request.dev_nonce)
        self.counts["join-request"] += 1
        return True

    def _accept(self, phy: bytes, row: dict[str, str]) -> bool:
        eui, join_eui = bytes.fromhex(row["dev_eui"]), bytes.fromhex(row["join_eui"])
        device = foreign.device(eui, join_eui, bytes.fromhex(row["app_key"]))
        if not self._nonces[row["dev_eui"]]:
            return False
        try:
            accepted = device.accept_join(phy, self._nonces[row["dev_eui"]][-1])
        except PamojaError:
            return False
        # Most often the session of keys.json; another one where the node joined again.
        self._sessions.setdefault(accepted.dev_addr, []).append(accepted.session())
        self.counts["join-accept"] += 1
        return True

    def _data(self, phy: bytes, direction: str) -> None:
        header = foreign.parse_header(phy)
        for session in self._sessions[header.dev_addr]:
            try:
                frame = session.decode(phy, header.fcnt)  # a day stays below 65 536 frames
            except PamojaError:
                continue
            assert str(frame.direction).lower().rsplit(".", 1)[-1].startswith(direction)
            self.counts[direction] += 1
            return
        raise AssertionError(f"no key fits {phy.hex()}")


def test_every_mic_verifies_with_the_keys_under_a_foreign_implementation(day: Day) -> None:
    ear = Ear(day.keys)
    for phy in day.frames:
        ear.take(phy)
    assert sum(ear.counts.values()) == len(day.frames)
    assert ear.counts["join-request"] >= ear.counts["join-accept"] >= len(day.keys)
    assert ear.counts["up"] >= 96
    assert ear.counts["down"] > 0


def test_a_changed_bit_is_noticed(morning: Day) -> None:
    for index, phy in enumerate(morning.frames[:12]):
        ear = Ear(morning.keys)
        for earlier in morning.frames[:index]:
            ear.take(earlier)
        with pytest.raises((AssertionError, PamojaError, KeyError)):
            ear.take(phy[:-1] + bytes([phy[-1] ^ 1]))


def test_frame_counters_rise_and_are_never_used_twice(day: Day) -> None:
    used: dict[tuple[int, bool], list[int]] = {}
    for phy in day.frames:
        kind = phy[0] >> 5
        if kind in (*UP, *DOWN):
            header = foreign.parse_header(phy)
            used.setdefault((header.dev_addr, kind in UP), []).append(header.fcnt)
    assert len(used) >= 2 * len(day.keys)
    for counters in used.values():
        assert counters == sorted(set(counters))


# The seed


def test_the_same_seed_gives_the_same_capture_and_another_seed_another(morning: Day, tmp_path: Path) -> None:
    again = live(tmp_path / "again", 2)
    assert again.capture == morning.capture
    assert again.keys == morning.keys
    other = live(tmp_path / "other", 2, seed=2)
    assert other.capture != morning.capture
    assert {row["app_key"] for row in other.keys}.isdisjoint(row["app_key"] for row in morning.keys)
