# SPDX-License-Identifier: MIT
"""One air shared by several processes in real time (here several links in one process, over real sockets)."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest
from communode.virtual.air_link import AirLink
from event_timeline import packet

PATIENCE_S = 10.0


class WallTimeline:
    """World time that started when the object was made; `call_at` is left to the test."""

    def __init__(self) -> None:
        self.base_us = time.time_ns() // 1000
        self.waiting: list[Callable[[], None]] = []

    def now_us(self) -> int:
        return time.time_ns() // 1000 - self.base_us

    def call_at(self, time_us: int, function: Callable[[], None]) -> None:
        self.waiting.append(function)

    def turn(self) -> None:
        due, self.waiting = self.waiting, []
        for function in due:
            function()


class Station:
    """A process' end of the link, and what its subscribers were told."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.timeline = WallTimeline()
        self.link = AirLink(address, self.timeline, seed=1)
        assert self.link.wait(PATIENCE_S)
        self.heard: list[bytes] = []
        self.link.subscribe(lambda sent: self.heard.append(sent.payload))

    def send(self, payload: bytes) -> None:
        self.link.transmit(packet(f"station-{id(self)}", self.timeline.now_us(), payload=payload))

    def hears(self, payload: bytes) -> bool:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self.timeline.turn()
            if payload in self.heard:
                return True
            time.sleep(0.002)
        return False


@pytest.fixture
def address() -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()


@pytest.fixture
def stations(address):
    opened: list[Station] = []

    def open_station() -> Station:
        opened.append(Station(address))
        return opened[-1]

    yield open_station
    for station in opened:
        station.link.close()


def test_three_stations_hear_each_other(stations):
    a, b, c = stations(), stations(), stations()
    assert [station.link.serving for station in (a, b, c)] == [True, False, False]
    b.send(b"from b")
    assert a.hears(b"from b")
    assert c.hears(b"from b")
    a.send(b"from a")
    assert b.hears(b"from a")
    assert b.heard.count(b"from b") == 1, "its own packet does not come back"


def test_world_times_are_translated(stations):
    a = stations()
    time.sleep(0.05)
    b = stations()
    start_us = a.timeline.now_us()
    a.link.transmit(packet("a", start_us, payload=b"now"))
    assert b.hears(b"now")
    moved = b.link.transmissions(-(10**9), 10**12, 868_100_000)[0]
    shift_us = a.timeline.base_us - b.timeline.base_us
    assert abs(moved.start_us - (start_us + shift_us)) < 2_000
    assert moved.end_us - moved.start_us == 61_696


def test_a_cut_reaches_the_others(stations):
    a, b = stations(), stations()
    sent = packet("a", a.timeline.now_us(), payload=b"broken off")
    a.link.transmit(sent)
    a.link.cut(sent, sent.start_us + 5_000)
    assert b.hears(b"broken off")
    deadline = time.monotonic() + PATIENCE_S
    there = b.link.transmissions(-(10**9), 10**12, 868_100_000)[0]
    while not b.link.was_cut(there) and time.monotonic() < deadline:
        b.timeline.turn()
        time.sleep(0.002)
    assert b.link.was_cut(there)


def test_when_the_serving_station_dies_another_takes_over_and_says_so(stations, capfd):
    a, b, c = stations(), stations(), stations()
    a.link.close()
    deadline = time.monotonic() + PATIENCE_S
    while not (b.link.serving or c.link.serving) and time.monotonic() < deadline:
        time.sleep(0.01)
    sender, listener = (b, c) if b.link.serving else (c, b)
    for attempt in range(100):  # until the other one has found the new server
        sender.send(b"again %d" % attempt)
        time.sleep(0.02)
        listener.timeline.turn()
        if listener.heard:
            break
    assert listener.heard
    assert "shared air" in capfd.readouterr().err


def test_nonsense_on_the_port_harms_nobody(stations, address):
    a, b = stations(), stations()
    with socket.create_connection(address) as stranger:
        stranger.sendall(b'GET / HTTP/1.1\r\n\r\n{}\n[1]\n{"transmit": {"payload": 5}}\n\xff\n{"cut": []}\n')
        stranger.sendall(b"x" * 20_000)
    a.send(b"still here")
    assert b.hears(b"still here")
