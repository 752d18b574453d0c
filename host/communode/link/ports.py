# SPDX-License-Identifier: MIT
"""Serial ports: which there are, which name means which device, and who holds one.

Finding out is all this module does: it opens no port. Holders are named where the system tells (Linux:
``/proc``); elsewhere a busy port is still recognised when it is opened.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

_STARTING_S = 0.05


@dataclass(frozen=True)
class Port:
    """A serial port that the system knows of."""

    name: str
    title: str
    serial_number: str | None


@dataclass(frozen=True)
class Holder:
    """A process that has a port open."""

    pid: int
    command: str


def list_ports() -> list[Port]:
    """All serial ports with a device behind them, sorted by name."""
    from serial.tools import list_ports as pyserial_ports

    found = [
        Port(name=info.device, title=info.description, serial_number=info.serial_number)
        for info in pyserial_ports.comports()
        if info.hwid != "n/a"  # the legacy ttyS* that most computers have without hardware behind them
    ]
    return sorted(found, key=lambda port: port.name)


def is_url(port: str) -> bool:
    """Whether ``port`` is a pyserial URL (``socket://``, ``rfc2217://``) rather than a device."""
    return "://" in port


def identity(port: str) -> str:
    """One text for one device, whichever of its names (symlinks, ``/dev/serial/by-id``) was given."""
    return port if is_url(port) else os.path.realpath(port)


def holders(port: str) -> list[Holder]:
    """Other processes that have ``port`` open; empty where the system does not say.

    A pseudo-terminal has two ends: a process that holds the far one is the board, not a rival.
    """
    target = identity(port)
    if is_url(port) or not os.path.isdir("/proc"):
        return []
    rivals = [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()]
    rivals = [pid for pid in rivals if _holds(pid, target)]
    if rivals:
        # A process that is being started has its parent's files open for a moment.
        time.sleep(_STARTING_S)
    return [Holder(pid, _command(Path("/proc", str(pid)))) for pid in rivals if _holds(pid, target)]


def _holds(pid: int, target: str) -> bool:
    process = Path("/proc", str(pid))
    return _has_open(process, target) and not _is_far_end(process, target)


def _open_files(process: Path) -> dict[str, str]:
    """Descriptor -> path, for what ``process`` has open right now; empty for a process of somebody else."""
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(process / "fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                found[name] = os.readlink(process / "fd" / name)
    return found


def _has_open(process: Path, target: str) -> bool:
    return target in _open_files(process).values()


def _is_far_end(process: Path, target: str) -> bool:
    """Whether ``process`` holds the controlling side of the pseudo-terminal ``target``."""
    index = target.removeprefix("/dev/pts/")
    for name, path in _open_files(process).items():
        if path.endswith("/ptmx"):
            with contextlib.suppress(OSError):
                info = (process / "fdinfo" / name).read_text("ascii").split()
                if "tty-index:" in info and info[info.index("tty-index:") + 1] == index:
                    return True
    return False


def _command(process: Path) -> str:
    try:
        return (process / "comm").read_text("utf-8").strip()
    except OSError:
        return "?"
