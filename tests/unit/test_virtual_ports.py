# SPDX-License-Identifier: MIT
"""The serial ports of virtual boards, and the reset circuit behind DTR and RTS."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import sys
import termios
import threading
import time
from collections.abc import Callable

import pytest
import serial
from communode.errors import CommunodeError
from communode.virtual.ports import Pacing, PtyEnd, Rfc2217End, SerialEnd, SocketEnd
from communode.virtual.ports.pacing import PacedLine
from communode.virtual.reset_circuit import ResetCircuit


class Heard:
    """What an end has told, in order."""

    def __init__(self, end: SerialEnd) -> None:
        self.end = end
        self.events: list[object] = []
        self.data = bytearray()
        end.on_open = lambda: self.events.append("open")
        end.on_close = lambda: self.events.append("close")
        end.on_lines = lambda dtr, rts: self.events.append((bool(dtr), bool(rts)))
        end.on_bytes = self._take

    def _take(self, data: bytes) -> None:
        self.data += data
        self.events.append("bytes")

    def until(self, done: Callable[[], bool], limit_s: float = 5) -> None:
        """Serve the end as a loop would until ``done``."""
        ends_at = time.monotonic() + limit_s
        while not done():
            assert time.monotonic() < ends_at, (self.events, bytes(self.data[:99]))
            due = self.end.due()
            wait = 0.05 if due is None else min(0.05, max(0.0, due - time.monotonic()))
            select.select([self.end.fileno()], [], [], wait)
            self.end.service()

    def serve(self, for_s: float = 0.1) -> None:
        """Serve the end for a while."""
        ends_at = time.monotonic() + for_s
        self.until(lambda: time.monotonic() > ends_at)


@pytest.fixture(params=["inotify", "poll"])
def pty(request):
    end = PtyEnd(watch=request.param)
    yield end
    end.close()


def test_pty_tells_opening_bytes_and_closing_in_order(pty):
    heard = Heard(pty)
    heard.serve()
    assert heard.events == []
    for _ in range(2):
        with serial.Serial(pty.path, 115200, timeout=5) as port:
            heard.until(lambda: pty.is_open)
            port.write(b"\x03hello\r\n\x00\xff")
            heard.until(lambda: len(heard.data) == 10)
            pty.write(b">>> \n\xff\x00")
            heard.serve(0.05)
            assert port.read(7) == b">>> \n\xff\x00"
        heard.until(lambda: not pty.is_open)
        assert bytes(heard.data) == b"\x03hello\r\n\x00\xff"
        assert [event for event in heard.events if event != "bytes"] == ["open", "close"]
        assert heard.events[-1] == "close"
        heard.events.clear()
        heard.data.clear()


def test_last_words_before_closing_are_heard():
    end = PtyEnd()
    heard = Heard(end)
    fd = os.open(end.path, os.O_RDWR | os.O_NOCTTY)
    os.write(fd, b"bye")
    os.close(fd)
    heard.until(lambda: "close" in heard.events)
    assert heard.events == ["open", "bytes", "close"]
    assert heard.data == b"bye"
    end.close()


def test_what_is_written_while_nobody_listens_is_dropped(pty):
    heard = Heard(pty)
    pty.write(b"lost")
    assert pty.dropped == 4
    with serial.Serial(pty.path, timeout=0.2) as port:
        heard.until(lambda: pty.is_open)
        pty.write(b"found")
        heard.serve(0.05)
        assert port.read(100) == b"found"


def test_next_tool_does_not_read_what_the_last_one_left():
    end = PtyEnd()
    heard = Heard(end)
    with serial.Serial(end.path):
        heard.until(lambda: end.is_open)
        end.write(b"never read")
    heard.until(lambda: not end.is_open)
    with serial.Serial(end.path, timeout=0.2) as port:
        heard.until(lambda: end.is_open)
        assert port.read(100) == b""
    end.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs inotify")
def test_first_words_of_a_tool_that_comes_at_once_are_not_taken_for_the_last_ones_of_the_other():
    end = PtyEnd()
    heard = Heard(end)
    with serial.Serial(end.path):
        heard.until(lambda: end.is_open)
    with serial.Serial(end.path) as port:
        port.write(b"first words")
        heard.until(lambda: bool(heard.data))
        assert heard.events == ["open", "close", "open", "bytes"]
        assert heard.data == b"first words"
    end.close()


def test_reader_that_stalls_does_not_stall_the_board():
    end = PtyEnd()
    heard = Heard(end)
    with serial.Serial(end.path, timeout=5) as port:
        heard.until(lambda: end.is_open)
        sent = bytes(range(256)) * 400
        started = time.monotonic()
        end.write(sent)
        end.write(bytes(2 << 20))  # more than is kept
        assert time.monotonic() - started < 1
        assert 0 < end.dropped < 2 << 20
        got = bytearray()
        reader = threading.Thread(target=lambda: got.extend(port.read(len(sent))))
        reader.start()
        heard.until(lambda: not reader.is_alive())
        assert bytes(got) == sent
    end.close()


def test_modes_and_locks_of_one_tool_do_not_reach_the_next():
    end = PtyEnd()
    heard = Heard(end)
    fd = os.open(end.path, os.O_RDWR | os.O_NOCTTY)
    modes = termios.tcgetattr(fd)
    modes[3] |= termios.ECHO | termios.ICANON
    termios.tcsetattr(fd, termios.TCSANOW, modes)
    fcntl.ioctl(fd, termios.TIOCEXCL)
    os.close(fd)
    heard.until(lambda: "close" in heard.events)
    fd = os.open(end.path, os.O_RDWR | os.O_NOCTTY)
    heard.until(lambda: end.is_open)
    assert not termios.tcgetattr(fd)[3] & (termios.ECHO | termios.ICANON)
    end.write(b"x")
    assert select.select([fd], [], [], 2)[0]
    os.close(fd)
    end.close()


def test_baud_rate_of_the_tool_is_known():
    end = PtyEnd()
    with serial.Serial(end.path, 921600):
        assert end.baud == 921600
    end.close()


def test_link_is_made_used_and_removed(tmp_path):
    link = tmp_path / "board"
    end = PtyEnd(link)
    assert end.url == str(link)
    assert os.path.realpath(link) == end.path
    end.close()
    assert not link.is_symlink()


def test_stale_link_is_replaced_and_anything_else_is_not(tmp_path):
    link = tmp_path / "board"
    link.symlink_to("/dev/pts/no-such-board")
    end = PtyEnd(link)
    with pytest.raises(CommunodeError) as caught:
        PtyEnd(link)
    assert caught.value.code == "virtual_port.link_exists"
    end.close()
    link.write_text("mine")
    with pytest.raises(CommunodeError):
        PtyEnd(link)
    assert link.read_text() == "mine"
    with pytest.raises(CommunodeError) as caught:
        PtyEnd(tmp_path / "nowhere" / "board")
    assert caught.value.code == "virtual_port.link_failed"


def test_link_that_somebody_else_took_is_left_alone(tmp_path):
    link = tmp_path / "board"
    end = PtyEnd(link)
    link.unlink()
    link.symlink_to("/dev/null")
    end.close()
    assert link.is_symlink()


def test_socket_carries_bytes_for_one_client_at_a_time():
    end = SocketEnd()
    heard = Heard(end)
    address = (end.host, end.port)
    assert end.url == f"socket://127.0.0.1:{end.port}"
    with socket.create_connection(address, 5) as first:
        heard.until(lambda: end.is_open)
        with socket.create_connection(address, 5) as second:
            heard.serve(0.05)
            assert second.recv(10) == b""  # turned away, not kept waiting
        first.sendall(b"\xff\x00\x03")
        heard.until(lambda: len(heard.data) == 3)
        end.write(b"\xff\x01")
        assert first.recv(10) == b"\xff\x01"
    heard.until(lambda: not end.is_open)
    assert heard.events == ["open", "bytes", "close"]
    with socket.create_connection(address, 5):
        heard.until(lambda: end.is_open)
    end.close()


def test_new_client_may_come_with_the_old_ones_goodbye():
    end = SocketEnd()
    heard = Heard(end)
    first = socket.create_connection((end.host, end.port), 5)
    heard.until(lambda: end.is_open)
    first.close()
    second = socket.create_connection((end.host, end.port), 5)
    second.sendall(b"hi")
    heard.until(lambda: heard.data == b"hi")
    assert heard.events == ["open", "close", "open", "bytes"]
    second.close()
    end.close()


def test_address_in_use_is_an_error_in_words():
    end = SocketEnd()
    with pytest.raises(CommunodeError) as caught:
        SocketEnd(port=end.port)
    assert caught.value.code == "virtual_port.address"
    assert str(end.port) in str(caught.value)
    end.close()


@pytest.mark.filterwarnings("ignore:set:DeprecationWarning")  # pyserial's client: setDaemon(), setName()
def test_rfc2217_passes_bytes_rate_and_lines():
    end = Rfc2217End()
    heard = Heard(end)
    everything = bytes(range(256)) + b"\xff\xff\xff"
    failures: list[BaseException] = []

    def tool() -> None:
        try:
            with serial.serial_for_url(end.url, 460800, timeout=5) as port:
                port.write(everything)
                assert port.read(len(everything)) == everything[::-1]
                port.rts = False
                port.dtr = False
                port.rts = True
        except BaseException as error:
            failures.append(error)

    client = threading.Thread(target=tool)
    client.start()
    heard.until(lambda: len(heard.data) == len(everything))
    assert bytes(heard.data) == everything
    assert end.baud == 460800
    end.write(everything[::-1])
    heard.until(lambda: not client.is_alive(), 20)
    assert not failures
    heard.until(lambda: not end.is_open)
    lines = [event for event in heard.events if isinstance(event, tuple)]
    assert lines[-4:] == [(True, False), (False, False), (False, True), (False, False)]
    assert heard.events[-1] == "close"
    end.close()


# Pacing


def test_line_takes_ten_bits_a_byte():
    line = PacedLine()
    line.push(bytes(1152), 115200, 10.0)
    assert line.pop(10.0) == b""
    assert len(line.pop(10.05)) == 576
    assert len(line.pop(10.1)) == 576
    assert line.due() is None
    line.push(b"x", 115200, 20.0)
    assert line.due() == pytest.approx(20.0 + 10 / 115200)


def test_bridge_holds_short_packets_for_its_latency_timer():
    line = PacedLine(latency_s=0.016)
    line.push(bytes(70), 115200, 0.0)
    assert len(line.pop(0.0062)) == 62  # a full packet goes at once
    assert line.pop(0.010) == b""
    due = line.due()
    assert due is not None
    assert 0.016 < due < 0.023
    assert len(line.pop(due)) == 8


def test_paced_pty_takes_its_time_both_ways():
    end = PtyEnd(pacing=Pacing(baud=115200, latency_ms=1))
    heard = Heard(end)
    with serial.Serial(end.path, 115200, timeout=5) as port:
        heard.until(lambda: end.is_open)
        started = time.monotonic()
        port.write(bytes(1152))
        heard.until(lambda: len(heard.data) == 1152)
        assert 0.1 <= time.monotonic() - started < 1.5
        started = time.monotonic()
        end.write(bytes(1152))
        got = bytearray()
        reader = threading.Thread(target=lambda: got.extend(port.read(1152)))
        reader.start()
        heard.until(lambda: not reader.is_alive())
        assert len(got) == 1152
        assert 0.1 <= time.monotonic() - started < 1.5
    end.close()


# The reset circuit


class Board:
    """What a reset circuit has done, in order."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.circuit = ResetCircuit(self.log.append, lambda: self.log.append("hold"))

    def lines(self, *steps: tuple[int, int, float]) -> list[str]:
        """Feed (dtr, rts, time)."""
        for dtr, rts, now_s in steps:
            self.circuit.set_lines(bool(dtr), bool(rts), now_s)
        return self.log


def test_opening_a_port_resets_nothing():
    assert Board().lines((1, 0, 0), (1, 1, 0), (0, 0, 9)) == []


def test_one_line_at_a_time_leads_into_the_loader():
    steps = ((0, 0, 0), (0, 1, 0), (1, 1, 0.1), (1, 0, 0.1), (0, 0, 0.15))
    assert Board().lines(*steps) == ["hold", "rom"]


def test_both_lines_at_once_lead_into_the_loader():
    steps = ((0, 0, 0), (1, 1, 0), (0, 1, 0), (1, 0, 0.1), (0, 0, 0.15))
    assert Board().lines(*steps) == ["hold", "rom"]


def test_pulse_on_rts_starts_the_application():
    assert Board().lines((0, 0, 0), (0, 1, 0), (0, 0, 0.1)) == ["hold", "app"]


def test_hard_reset_with_dtr_still_asserted_does_nothing():
    """As on real boards: esptool's hard reset after --before no-reset leaves the loader running."""
    assert Board().lines((1, 0, 0), (1, 1, 1), (1, 0, 1.1)) == []


def test_chip_starts_by_itself_when_both_lines_stay_asserted():
    board = Board()
    board.lines((0, 1, 0), (1, 1, 1.0))
    assert board.circuit.held
    assert board.circuit.due() == 1.5
    board.circuit.advance(1.4)
    assert board.log == ["hold"]
    board.circuit.advance(1.5)
    assert board.log == ["hold", "app"]
    assert board.circuit.due() is None
    assert board.lines((1, 0, 2.0)) == ["hold", "app"]


def test_second_thoughts_while_en_rises_hold_the_chip_again():
    board = Board()
    assert board.lines((0, 1, 0), (1, 1, 0.1), (0, 1, 0.2), (0, 0, 0.9)) == ["hold", "app"]
