# SPDX-License-Identifier: MIT
"""What the serial ports of a virtual board share: callbacks, backlog, one file descriptor to wait on.

An end is driven by the loop of whoever owns it: wait until `fileno` is readable or `due` has come, then
call `service`. Nothing here blocks and nothing runs by itself. Not a client: tools open the other end.
"""

from __future__ import annotations

import contextlib
import selectors
from abc import ABC, abstractmethod
from collections.abc import Callable

from communode.virtual.ports.pacing import PacedLine, Pacing

_BACKLOG = 1 << 20  # bytes kept for a reader that is slow; beyond that the newest are dropped
_PORTION = 1 << 16


class SerialEnd(ABC):
    """The board's end of a serial port.

    Set the callbacks ``on_bytes(data)``, ``on_lines(dtr, rts)``, ``on_open()`` and ``on_close()``.
    ``url`` is what a tool takes as its port. ``is_open`` tells whether somebody has it open; what is
    written while nobody has is dropped, as by a USB bridge.
    """

    def __init__(self, url: str, pacing: Pacing | None, clock: Callable[[], float]) -> None:
        self.url = url
        self.on_bytes: Callable[[bytes], object] = lambda data: None
        self.on_lines: Callable[[bool, bool], object] = lambda dtr, rts: None
        self.on_open: Callable[[], object] = lambda: None
        self.on_close: Callable[[], object] = lambda: None
        self.is_open = False
        self.dropped = 0  # bytes that nobody took
        self._pacing = pacing
        self._clock = clock
        self._to_host = PacedLine(pacing.latency_ms / 1000 if pacing else 0.0)
        self._to_board = PacedLine()
        self._backlog = bytearray()
        # One selector inside each end: its own descriptor is readable when anything in it is ready,
        # so that the owner registers an end once, however many descriptors come and go.
        self._inner = selectors.DefaultSelector()

    @property
    def baud(self) -> int:
        """The rate that the computer has set its port to, as far as this kind of port tells."""
        return 115200

    def fileno(self) -> int:
        """A descriptor that is readable when `service` has something to do."""
        descriptor = getattr(self._inner, "fileno", None)
        if descriptor is None:
            raise OSError("this platform has no selector that can be waited on")
        return int(descriptor())

    def due(self) -> float | None:
        """When `service` must be called even if nothing is readable (`time.monotonic`); None for never."""
        times = [time_s for line in (self._to_host, self._to_board) if (time_s := line.due()) is not None]
        return min(times, default=None)

    def write(self, data: bytes) -> None:
        """Send to whoever has the port open. Never blocks."""
        if not self.is_open:
            self.dropped += len(data)
        elif self._pacing is None:
            self._emit(data)
        elif len(self._to_host) + len(data) > _BACKLOG:
            self.dropped += len(data)
        else:
            self._to_host.push(data, self._rate(), self._clock())
            self._move_paced()

    @abstractmethod
    def service(self) -> None:
        """Do all there is to do now; calls the callbacks."""

    def close(self) -> None:
        """Take the port away."""
        self._inner.close()

    # For the kinds of ports

    @abstractmethod
    def _put(self, data: bytes) -> int:
        """Hand bytes to the operating system; return how many it took."""

    @abstractmethod
    def _wait_writable(self, wanted: bool) -> None:
        """Ask to be serviced when the operating system takes more."""

    def _received(self, data: bytes) -> None:
        if self._pacing is None:
            self.on_bytes(data)
        else:
            self._to_board.push(data, self._rate(), self._clock())

    def _move_paced(self) -> None:
        if self._pacing is None:
            return
        now_s = self._clock()
        data = self._to_board.pop(now_s)
        if data:
            self.on_bytes(data)
        data = self._to_host.pop(now_s)
        if data:
            self._emit(data)

    def _emit(self, data: bytes) -> None:
        """Bytes have come through the line; kinds of ports that escape them do it here."""
        self._send(data)

    def _send(self, data: bytes) -> None:
        if not self._backlog:
            data = data[self._put(data) :]
        if data:
            self._keep(data)

    def _keep(self, data: bytes) -> None:
        room = _BACKLOG - len(self._backlog)
        self.dropped += max(0, len(data) - room)
        self._backlog += data[:room]
        self._wait_writable(True)

    def _flush_backlog(self) -> None:
        while self._backlog:
            taken = self._put(bytes(self._backlog[:_PORTION]))
            del self._backlog[:taken]
            if taken == 0:
                return
        self._wait_writable(False)

    def _opened(self) -> None:
        self.is_open = True
        self.on_open()

    def _closed(self) -> None:
        self.is_open = False
        self.dropped += len(self._backlog) + len(self._to_host)
        self._backlog.clear()
        self._to_host.clear()
        with contextlib.suppress(OSError, KeyError, ValueError):
            self._wait_writable(False)
        self.on_close()

    def _rate(self) -> int:
        return self.baud if self._pacing is None or self._pacing.baud is None else self._pacing.baud
