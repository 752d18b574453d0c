# SPDX-License-Identifier: MIT
"""The kernel of virtual time: order, determinism, its stop rule; and that misuse of a chip stops a board.

Small orders are checked with members whose requests the test writes; determinism with real processors.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from communode.virtual.air import Air
from communode.virtual.kernel import Kernel, RealtimeKernel
from communode.virtual.medium import Transmission
from communode.virtual.processor import Processor
from communode.virtual.protocol import REQUEST, Op, Request
from program_board import RADIO_UP, ProgramBoard

pytestmark = pytest.mark.timeout(120)

FREE, ORDERED = Op.ADC_READ, Op.SPI_TRANSFER


class ScriptedProcessor(Processor):
    """Stands for a processor: the test writes its requests down a real socket."""

    def __init__(self) -> None:  # and starts no process
        self._socket, self.theirs = socket.socketpair()
        self._buffer = bytearray()
        self.alive = True

    def ask(self, op: Op, time_us: int) -> None:
        """The processor asks for ``op`` at its local time."""
        self.theirs.send(REQUEST.pack(op, 0, 0, 0, 0, time_us))

    def end(self) -> None:
        """The processor is gone; what it sent last can still be read."""
        self.theirs.close()

    def close(self) -> None:
        self._socket.close()
        self.theirs.close()


class ScriptedMember:
    """A board that notes what is served, and then has its processor ask for what the script says."""

    def __init__(
        self, kernel: Kernel, name: str, served: list[tuple[str, int]], *script: tuple[Op, int]
    ) -> None:
        self.processor: ScriptedProcessor | None = ScriptedProcessor()
        self.time_us = 0
        self.backlog: list[Request] = []
        self._kernel, self._name, self._served, self._script = kernel, name, served, list(script)
        kernel.add(self)  # type: ignore[arg-type]
        kernel.watch(self, self.processor)  # type: ignore[arg-type]
        self.go_on()

    def go_on(self) -> None:
        assert self.processor is not None
        if self._script:
            self.processor.ask(*self._script.pop(0))
        elif self.processor.theirs.fileno() >= 0:
            self.processor.end()

    def is_ordered(self, request: Request) -> bool:
        return request.op == ORDERED

    def serve(self, request: Request) -> None:
        self._served.append((self._name, request.time_us))
        self.time_us = request.time_us
        self.go_on()

    def processor_ended(self) -> None:
        assert self.processor is not None
        self.processor.close()
        self.processor = None


@pytest.fixture
def served() -> list[tuple[str, int]]:
    """Who was served, and for what time."""
    return []


def test_ordered_requests_are_served_in_the_worlds_order_whoever_asks_first(
    served: list[tuple[str, int]],
) -> None:
    kernel = Kernel()
    ScriptedMember(kernel, "early", served, (ORDERED, 5), (ORDERED, 70), (ORDERED, 90))
    ScriptedMember(kernel, "late", served, (FREE, 1), (ORDERED, 60), (ORDERED, 80))
    kernel.run()
    ordered = [item for item in served if item[1] != 1]
    assert ordered == [("early", 5), ("late", 60), ("early", 70), ("late", 80), ("early", 90)]


def test_free_requests_run_ahead_of_the_others(served: list[tuple[str, int]]) -> None:
    kernel = Kernel()
    ScriptedMember(kernel, "waits", served, (ORDERED, 1000))
    ScriptedMember(kernel, "runs", served, *[(FREE, at) for at in range(0, 2000, 100)], (ORDERED, 2000))
    kernel.run()
    assert served.index(("waits", 1000)) > served.index(("runs", 1100)), "which might have asked for 1000"
    assert served[-1] == ("runs", 2000)


def test_what_a_processor_posted_before_it_ended_is_still_done_in_its_turn(
    served: list[tuple[str, int]],
) -> None:
    kernel = Kernel()
    short = ScriptedMember(kernel, "short", served, (ORDERED, 50))
    assert short.processor is not None
    short.processor.ask(ORDERED, 60)
    short.processor.end()
    ScriptedMember(kernel, "long", served, (ORDERED, 10), (ORDERED, 55), (ORDERED, 70))
    kernel.run()
    assert served == [("long", 10), ("short", 50), ("long", 55), ("short", 60), ("long", 70)]
    assert short.processor is None


def test_requests_at_the_same_time_are_served_in_the_order_of_the_boards(
    served: list[tuple[str, int]],
) -> None:
    kernel = Kernel()
    for name in ("a", "b", "c"):
        ScriptedMember(kernel, name, served, (ORDERED, 10), (ORDERED, 20))
    kernel.run()
    assert served == [(name, at) for at in (10, 20) for name in ("a", "b", "c")]


def test_events_stand_in_the_same_order_and_run_while_processors_wait(served: list[tuple[str, int]]) -> None:
    kernel = Kernel()
    ScriptedMember(kernel, "board", served, (ORDERED, 10), (ORDERED, 30))
    for at in (40, 20, 30):
        kernel.call_at(at, lambda at=at: served.append(("event", at)))  # type: ignore[misc]
    kernel.run()
    assert served == [("board", 10), ("event", 20), ("event", 30), ("board", 30), ("event", 40)]
    assert kernel.now_us() == 40
    assert (kernel.requests, kernel.events_run) == (2, 3)


def test_events_of_one_time_run_in_the_order_they_were_asked_for() -> None:
    kernel, seen = Kernel(), []
    for number in range(5):
        kernel.call_at(7, lambda number=number: seen.append(number))  # type: ignore[misc]
    kernel.call_at(3, lambda: kernel.call_at(1, lambda: seen.append("overdue")))
    kernel.run()
    assert seen == ["overdue", 0, 1, 2, 3, 4]
    assert kernel.now_us() == 7, "the world's time never goes back"


def test_the_end_stops_at_the_time_given_and_leaves_the_rest(served: list[tuple[str, int]]) -> None:
    kernel = Kernel()
    for at in (10, 99, 100, 150):
        kernel.call_at(at, lambda at=at: served.append(("event", at)))  # type: ignore[misc]
    kernel.run(100)
    assert served == [("event", 10), ("event", 99)]
    kernel.run(200)
    assert served[2:] == [("event", 100), ("event", 150)]


def test_a_processor_that_still_runs_is_let_finish_beyond_the_end(served: list[tuple[str, int]]) -> None:
    kernel = Kernel()
    ScriptedMember(kernel, "board", served, (ORDERED, 90), (ORDERED, 110), (ORDERED, 120))
    kernel.call_at(115, lambda: served.append(("event", 115)))
    kernel.call_at(500, lambda: served.append(("event", 500)))
    kernel.run(100)
    assert served == [("board", 90), ("board", 110), ("event", 115), ("board", 120)]


# Real processors

CHATTER = (
    RADIO_UP
    + """
command(0x9D, 1)                                   # SetDIO2AsRfSwitchCtrl
command(0x95, 4, 7, 0, 1)                          # SetPaConfig
command(0x8E, 14, 4)                               # SetTxParams
command(0x8B, 7, 4, 1, 0)
command(0x8C, 0, 8, 0, 4, 1, 0)
command(0x8F, 0, 0)
from machine import deepsleep, reset_cause, unique_id
own = unique_id()[5]
for number in range(5):
    time.sleep_ms(own * 7 + number * 11)
    command(0x0E, 0, own, number, 0, 0)            # WriteBuffer
    command(0x83, 0, 0, 0)                         # SetTx
    time.sleep_ms(60)
if reset_cause() == 1:
    deepsleep(own * 1000)
"""
)


def chatter(folder: Path) -> list[tuple[str, int, int, bytes]]:
    """What three boards say on one air."""
    folder.mkdir()
    kernel, air, heard = Kernel(), Air(seed=5), list[Transmission]()
    air.subscribe(heard.append)
    with ExitStack() as stack:
        boards = [
            stack.enter_context(ProgramBoard(folder, CHATTER, kernel=kernel, air=air, number=number))
            for number in (1, 2, 3)
        ]
        for board in boards:
            assert board.body.power_on() is None
        kernel.run()
        for board in boards:
            assert board.body.violations == []
            assert board.printed == ""
            assert [cause for _, cause in board.body.boots] == [1, 4]
    return [(item.source, item.start_us, item.end_us, item.payload) for item in heard]


def test_three_boards_on_one_air_say_the_same_every_time(tmp_path: Path, micropython: str) -> None:
    first = chatter(tmp_path / "first")
    assert len(first) == 3 * 5 * 2
    assert len({source for source, *_ in first}) == 3
    ends = [end_us for _, _, end_us, _ in first]
    assert ends == sorted(ends)
    stop = threading.Event()

    def burn() -> None:  # the order in which processes get to run must not matter
        while not stop.is_set():
            sum(range(5000))

    burner = threading.Thread(target=burn)
    burner.start()
    try:
        assert chatter(tmp_path / "second") == first
    finally:
        stop.set()
        burner.join()


# Misuse

SETUP = """
import machine, time
from machine import I2C, SPI, Pin, UART
spi = SPI(1, 8_000_000, sck=Pin(9), mosi=Pin(10), miso=Pin(11))
link, ops = machine._link, machine.ops
"""


@pytest.mark.parametrize(
    ("misuse", "said"),
    [
        ("spi.init(8_000_000, polarity=1)", "SPI mode 0"),
        ("spi.init(8_000_000, phase=1)", "SPI mode 0"),
        ("link.call(ops.SPI_TRANSFER, 2, 0, b'0')", "before it is set up"),
        ("link.call(ops.I2C_READ, 0, 0x162)", "before it is set up"),
        ("link.call(ops.UART_ANY, 1)", "before it is set up"),
        ("Pin(13, Pin.OUT, value=1)", "BUSY of the radio drives it too"),
        ("Pin(14, Pin.OUT, value=0)", "DIO1 of the radio drives it too"),
        ("nss = Pin(8, Pin.OUT, value=0); spi.write(b'0123'); nss(1)", "Sx1262"),
    ],
)
def test_a_program_that_misuses_a_chip_stops_the_board(
    misuse: str, said: str, tmp_path: Path, micropython: str
) -> None:
    rest = "\ntime.sleep(1)\nPin(2).value()\nprint('went on')"
    with ProgramBoard(tmp_path, SETUP + misuse + rest) as board:
        assert "went on" not in board.run()
        assert len(board.body.violations) == 1
        assert said in board.body.violations[0]
        assert board.body.stopped
        assert board.body.processor is None


def test_the_same_program_without_misuse_goes_on(tmp_path: Path, micropython: str) -> None:
    with ProgramBoard(tmp_path, SETUP + "print('went on')") as board:
        assert board.run() == "went on\n"
        assert board.body.violations == []


# Real time


def test_real_time_runs_events_when_the_wall_clock_says_so() -> None:
    kernel = RealtimeKernel()
    begun = kernel.now_us()
    seen: list[tuple[int, int]] = []

    def note(wait_us: int) -> None:
        seen.append((wait_us, kernel.now_us() - begun))

    for wait_us in (60_000, 20_000, 40_000):
        kernel.call_at(begun + wait_us, partial(note, wait_us))
    kernel.call_at(begun + 80_000, kernel.stop)
    kernel.run()
    assert [wait_us for wait_us, _ in seen] == [20_000, 40_000, 60_000]
    assert all(at_us >= wait_us for wait_us, at_us in seen)


def test_a_stop_before_the_run_is_not_lost() -> None:
    kernel = RealtimeKernel()
    kernel.stop()
    begun = time.monotonic()
    kernel.run(kernel.now_us() + 30_000_000)
    assert time.monotonic() - begun < 5
    kernel.call_at(kernel.now_us() + 10_000, kernel.stop)
    kernel.run(kernel.now_us() + 30_000_000)
    assert time.monotonic() - begun < 10
