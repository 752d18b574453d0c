# SPDX-License-Identifier: MIT
"""Time and order for virtual boards: a conservative discrete-event kernel, and its real-time twin.

Virtual time: every board's processor runs in a process of its own and owns a local clock, which runs ahead
as it pleases while it talks to its own chips. What another board could hear or cause - anything that touches
a radio - is *ordered*: it waits until no processor can still do something earlier. Events (a transmission's
end at a gateway, say) stand in the same order, so that the same seed gives the same day. Real time: the same
interface, requests are served when they come, and events when the wall clock says so.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import time
from collections.abc import Callable
from typing import Protocol

from communode.virtual.processor import Processor
from communode.virtual.protocol import Op, Request

NEVER = 1 << 62


class Member(Protocol):
    """What the kernel needs of a board."""

    processor: Processor | None
    time_us: int  # local time: no request of the running processor can be earlier
    backlog: list[Request]  # ordered requests that wait for their turn

    def is_ordered(self, request: Request) -> bool:
        """Whether the request could concern others than this board."""

    def serve(self, request: Request) -> None:
        """Do it, and answer unless it was posted."""

    def processor_ended(self) -> None:
        """The process is gone by itself: soft reset, or the prompt's end."""


class Kernel:
    """Virtual time for any number of boards."""

    realtime = False

    def __init__(self) -> None:
        self.current_us = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._members: list[Member] = []
        self._selector = selectors.DefaultSelector()
        self._watched: dict[Processor, Member] = {}
        self._ended: dict[Processor, Member] = {}  # gone, but what they posted is not yet served
        self.requests = 0
        self.events_run = 0

    def now_us(self) -> int:
        """World time of what is being done at present."""
        return self.current_us

    def call_at(self, time_us: int, function: Callable[[], None]) -> None:
        """Run ``function`` at ``time_us`` (at once in order, if that has passed)."""
        heapq.heappush(self._events, (time_us, next(self._order), function))

    def add(self, member: Member) -> None:
        """Take a board in."""
        self._members.append(member)

    def watch(self, member: Member, processor: Processor) -> None:
        """A processor of ``member`` has started."""
        self._selector.register(processor, selectors.EVENT_READ)
        self._watched[processor] = member

    def unwatch(self, processor: Processor) -> None:
        """A processor is about to be killed."""
        if self._watched.pop(processor, None) is not None:
            self._selector.unregister(processor)

    def run(self, until_us: int = NEVER) -> None:
        """Let the world go on until no processor runs and no event is due before ``until_us``."""
        while True:
            self._serve_arrived(0)
            horizon, turn = self._horizon()
            due = self._events[0][0] if self._events else NEVER
            waiting = turn.backlog[0].time_us if turn is not None else NEVER
            if due <= waiting and due < horizon:
                if due >= until_us and not self._watched and not self._ended:
                    return
                self._run_event()
            elif turn is not None and waiting < horizon:
                self._serve(turn, turn.backlog.pop(0))
                self._bury(turn)
            elif self._watched:
                self._serve_arrived(None)
            else:
                return

    def _horizon(self) -> tuple[int, Member | None]:
        """Earliest time at which a computing processor may still ask, and the board whose turn is next."""
        horizon, turn, first = NEVER, None, NEVER
        for member in self._members:
            if member.backlog:
                if member.backlog[0].time_us < first:
                    first, turn = member.backlog[0].time_us, member
            elif member.processor is not None:
                horizon = min(horizon, member.time_us)
        return horizon, turn

    def _run_event(self) -> None:
        due, _, function = heapq.heappop(self._events)
        self.current_us = due  # what boards did locally may lie ahead of it
        self.events_run += 1
        function()

    def _serve_arrived(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            processor = key.fileobj
            assert isinstance(processor, Processor)
            member = self._watched.get(processor)
            if member is None:
                continue
            request = processor.take()
            while request is not None and processor in self._watched:
                if member.backlog or member.is_ordered(request):
                    member.backlog.append(request)
                else:
                    self._serve(member, request)
                request = processor.buffered()
            if not processor.alive and processor in self._watched:
                self.unwatch(processor)
                self._ended[processor] = member
                self._bury(member)

    def _bury(self, member: Member) -> None:
        """Tell a board that its processor has ended, once everything that it had posted before is done."""
        if member.backlog or not self._ended:
            return
        for processor in [item for item, owner in self._ended.items() if owner is member]:
            del self._ended[processor]
            if member.processor is processor:
                member.processor_ended()

    def _serve(self, member: Member, request: Request) -> None:
        self.requests += 1
        self.current_us = request.time_us
        member.serve(request)


class RealtimeKernel:
    """The same interface at the pace of the wall clock; also turns the wheels of serial ends."""

    realtime = True

    def __init__(self, base_us: int | None = None) -> None:
        self.base_us = time.time_ns() // 1000 if base_us is None else base_us
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._selector = selectors.DefaultSelector()
        self._watched: dict[Processor, Member] = {}
        self._stopping = False

    def now_us(self) -> int:
        """Microseconds of wall-clock time since the kernel's base."""
        return time.time_ns() // 1000 - self.base_us

    def call_at(self, time_us: int, function: Callable[[], None]) -> None:
        """Run ``function`` when the wall clock reaches ``time_us``."""
        heapq.heappush(self._events, (time_us, next(self._order), function))

    def add(self, member: Member) -> None:
        """Take a board in."""

    def watch(self, member: Member, processor: Processor) -> None:
        """A processor of ``member`` has started."""
        self._watched[processor] = member

        def serve() -> None:
            request = processor.take()
            while request is not None and processor in self._watched:
                member.serve(request)
                request = processor.buffered()
            if not processor.alive and processor in self._watched:
                self.unwatch(processor)
                member.processor_ended()

        self._selector.register(processor, selectors.EVENT_READ, serve)

    def unwatch(self, processor: Processor) -> None:
        """A processor is about to be killed."""
        if self._watched.pop(processor, None) is not None:
            self._selector.unregister(processor)

    def watch_file(self, fileno: int, service: Callable[[], None]) -> None:
        """Call ``service`` whenever ``fileno`` is readable."""
        self._selector.register(fileno, selectors.EVENT_READ, service)

    def unwatch_file(self, fileno: int) -> None:
        """Forget ``fileno``."""
        self._selector.unregister(fileno)

    def stop(self) -> None:
        """Make `run` return soon, or at once when it has not begun (a signal may be that early)."""
        self._stopping = True

    def run(self, until_us: int = NEVER) -> None:
        """Serve until `stop` or ``until_us``."""
        try:
            self._serve_until(until_us)
        finally:
            self._stopping = False

    def _serve_until(self, until_us: int) -> None:
        while not self._stopping:
            now = self.now_us()
            if now >= until_us:
                return
            while self._events and self._events[0][0] <= now:
                heapq.heappop(self._events)[2]()
            next_us = min(self._events[0][0] if self._events else NEVER, until_us)
            timeout = min(0.2, max(0.0, (next_us - self.now_us()) / 1e6))
            for key, _ in self._selector.select(timeout):
                if key.fileobj in self._selector.get_map():
                    key.data()


ORDERED_ALWAYS = frozenset({Op.SLEEP, Op.IRQ_TAKE, Op.PIN_IRQ})
"""Operations whose answer depends on what others do: waiting for an interrupt."""
