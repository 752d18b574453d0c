# SPDX-License-Identifier: MIT
"""Where ports come from: the system, a folder of links, or a list; and who was plugged in or out since.

Only names are looked at; no port is opened. A source is asked again and again, so it must be quick.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from communode.link.ports import list_ports

SETTLE_S = 0.3  # a device node is there before its permissions are (udev)


class PortSource(Protocol):
    """Says which ports there are now."""

    def ports(self) -> list[str]:
        """Names of ports, sorted."""


class SystemPorts:
    """All serial ports of this computer."""

    def ports(self) -> list[str]:
        """See `PortSource`."""
        return [port.name for port in list_ports()]


class FolderPorts:
    """The links in a folder that lead somewhere: ``/dev/serial/by-path``, or one for a bench of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ports(self) -> list[str]:
        """See `PortSource`."""
        if not self._folder.is_dir():
            return []
        return sorted(str(path) for path in self._folder.iterdir() if path.exists() and not path.is_dir())


class FixedPorts:
    """A list that somebody gave."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)

    def ports(self) -> list[str]:
        """See `PortSource`."""
        return list(self._names)


@dataclass(frozen=True)
class Change:
    """Ports that came and went since the last look."""

    arrived: tuple[str, ...]
    gone: tuple[str, ...]


class PortWatch:
    """Compares what a source says now with what it said before; a port counts once it has settled."""

    def __init__(
        self,
        source: PortSource,
        *,
        settle_s: float = SETTLE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._settle_s = settle_s
        self._clock = clock
        self._seen_s: dict[str, float] = {}
        self._known: set[str] = set()

    def look(self) -> Change:
        """What changed. A port that goes and comes back between two looks was never gone."""
        now_s = self._clock()
        present = set(self._source.ports())
        self._seen_s = {port: self._seen_s.get(port, now_s) for port in present}
        settled = {port for port, since_s in self._seen_s.items() if now_s - since_s >= self._settle_s}
        arrived, gone = settled - self._known, self._known - present
        self._known = (self._known | settled) & present
        return Change(tuple(sorted(arrived)), tuple(sorted(gone)))
