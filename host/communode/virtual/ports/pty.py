# SPDX-License-Identifier: MIT
"""A pseudo-terminal as the serial port of a virtual board: for the tools it is a device file.

It has no modem lines, so a tool cannot reset the board with it; but opening and closing are seen, by
inotify on Linux and by polling for a hang-up elsewhere. One descriptor of the tools' side stays open
where opening is seen by inotify: with none open, the kernel would forget the raw mode at each close.

Sources: pty(7), inotify(7), termios(3).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import selectors
import struct
import sys
import termios
import time
import tty
from collections.abc import Callable
from pathlib import Path

from communode.errors import CommunodeError
from communode.virtual.ports.end import SerialEnd
from communode.virtual.ports.pacing import Pacing

_IN_OPEN = 0x20
_IN_CLOSE = 0x08 | 0x10  # after writing, after reading only
_IN_NONBLOCK = os.O_NONBLOCK
_EVENT = struct.Struct("iIII")
_POLL_S = 0.02

_SPEEDS = {
    getattr(termios, name): int(name[1:]) for name in dir(termios) if name[0] == "B" and name[1:].isdigit()
}


class PtyEnd(SerialEnd):
    """A pty; ``path`` is the tools' side. With ``link``, a symbolic link to it, removed by `close`.

    Raises `CommunodeError` when the link cannot be made; one that leads nowhere is replaced.
    """

    def __init__(
        self,
        link: str | Path | None = None,
        *,
        pacing: Pacing | None = None,
        watch: str = "inotify" if sys.platform.startswith("linux") else "poll",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._master, slave = os.openpty()
        self.path = os.ttyname(slave)
        super().__init__(self.path, pacing, clock)
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        self._users = 0
        self._slave: int | None = slave
        self._notify: int | None = None
        self._next_poll: float | None = None
        if watch == "inotify":
            with contextlib.suppress(OSError):  # the kernel grants a user some 128 of them
                self._notify = _watch_opens(self.path)
        if self._notify is not None:
            self._inner.register(self._notify, selectors.EVENT_READ)
            self._inner.register(self._master, selectors.EVENT_READ)
        else:
            os.close(slave)
            self._slave = None
            self._next_poll = clock()
        self.link = None if link is None else Path(link)
        try:
            if self.link is not None:
                _make_link(self.link, self.path)
                self.url = str(self.link)
        except BaseException:
            self.link = None
            self.close()
            raise

    @property
    def baud(self) -> int:
        """The speed in the tools' termios; 115200 where it is not one of the named ones."""
        with contextlib.suppress(termios.error):
            return _SPEEDS.get(termios.tcgetattr(self._master)[4], 115200) or 115200
        return 115200

    def due(self) -> float | None:
        """As `SerialEnd.due`, and the next look for a hang-up where that has to be polled."""
        times = [time_s for time_s in (super().due(), self._next_poll) if time_s is not None]
        return min(times, default=None)

    def service(self) -> None:
        """See who opened and closed, take what was sent, send what waits."""
        if self._notify is not None:
            self._see_users(self._notify)
        else:
            self._poll_users()
        if self._users or self._slave is not None:
            self._drain()
        if self._backlog:
            self._flush_backlog()
        self._move_paced()

    def close(self) -> None:
        """Take the port away; tools that have it open see a hang-up."""
        if self.link is not None and self.link.is_symlink() and os.readlink(self.link) == self.path:
            self.link.unlink()
        super().close()
        for fd in (self._master, self._slave, self._notify):
            if fd is not None and fd >= 0:
                os.close(fd)
        self._master, self._slave, self._notify = -1, None, None

    def _put(self, data: bytes) -> int:
        try:
            return os.write(self._master, data)
        except OSError:  # full, or (polling) nobody has it open
            return 0

    def _wait_writable(self, wanted: bool) -> None:
        if self._master in self._inner.get_map():
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
            self._inner.modify(self._master, events)

    def _drain(self) -> None:
        while True:
            try:
                data = os.read(self._master, 1 << 16)
            except OSError:  # nothing to read, or (polling) nobody has it open
                return
            if not data:
                return
            self._received(data)

    def _see_users(self, notify: int) -> None:
        try:
            events = os.read(notify, 1 << 14)
        except BlockingIOError:
            return
        masks = [
            mask for _, mask, _, _ in _EVENT.iter_unpack(events)
        ]  # no names: it is the file that is watched
        for number, mask in enumerate(masks):
            if mask & _IN_OPEN:
                self._users += 1
                if self._users == 1:
                    self._opened()
            elif mask & _IN_CLOSE and self._users:
                self._users -= 1
                if self._users == 0:
                    # What the tool sent last is older than its leaving; but if the next one has come before
                    # we looked, what is there may be its first words, and the modes are its own.
                    if not any(later & _IN_OPEN for later in masks[number:]):
                        self._drain()
                        self._tidy()
                    self._closed()

    def _poll_users(self) -> None:
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        hung_up = any(event & select.POLLHUP for _, event in poll.poll(0))
        if not hung_up and not self._users:
            self._users = 1
            tty.setraw(self._master)
            self._inner.register(self._master, selectors.EVENT_READ)
            self._opened()
        elif hung_up and self._users:
            self._drain()
            self._users = 0
            self._inner.unregister(self._master)
            self._closed()
        self._next_poll = self._clock() + _POLL_S

    def _tidy(self) -> None:
        """Undo what the last tool may have left: unread output, its terminal modes, exclusive use."""
        if self._slave is None:
            return
        with contextlib.suppress(termios.error, OSError):
            fcntl.ioctl(self._slave, termios.TIOCNXCL)
            termios.tcflush(self._slave, termios.TCIFLUSH)
            tty.setraw(self._slave)


def _watch_opens(path: str) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    notify = int(libc.inotify_init1(_IN_NONBLOCK | os.O_CLOEXEC))
    if notify < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    if libc.inotify_add_watch(notify, path.encode(), _IN_OPEN | _IN_CLOSE) < 0:
        error = ctypes.get_errno()
        os.close(notify)
        raise OSError(error, "inotify_add_watch")
    return notify


def _make_link(link: Path, target: str) -> None:
    if link.is_symlink() and not link.exists():
        with contextlib.suppress(OSError):
            link.unlink()  # left by a board that could not tidy up
    try:
        link.symlink_to(target)
    except FileExistsError as error:
        raise CommunodeError("virtual_port.link_exists", path=link) from error
    except OSError as error:
        raise CommunodeError("virtual_port.link_failed", path=link, reason=error.strerror) from error
