# SPDX-License-Identifier: MIT
"""What the doctor looks at on this computer: the kernel's files, running programs, groups, the clock.

Everything is below one root, so that a test can hand in a computer that has other troubles. Looks only.

Sources: Linux ``Documentation/ABI/testing/sysfs-bus-usb``, proc(5), group(5); the vendor and product numbers
of bridges are those of the Linux drivers cp210x, ch341, ftdi_sio, pl2303 and cdc_acm.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

DRIVERS = {  # vendor, product -> kernel module that makes a serial port of it
    ("10c4", "ea60"): "cp210x",
    ("10c4", "ea70"): "cp210x",
    ("1a86", "7523"): "ch341",
    ("1a86", "5523"): "ch341",
    ("1a86", "55d3"): "cdc_acm",
    ("1a86", "55d4"): "cdc_acm",
    ("0403", "6001"): "ftdi_sio",
    ("0403", "6010"): "ftdi_sio",
    ("0403", "6015"): "ftdi_sio",
    ("067b", "2303"): "pl2303",
    ("303a", "1001"): "cdc_acm",
    ("303a", "4001"): "cdc_acm",
}


@dataclass(frozen=True)
class UsbDevice:
    """A USB device that has a known serial bridge in it. ``ports``: the device nodes made of it."""

    place: str  # as the kernel counts hubs and sockets: 1-1.4
    vendor: str
    product: str
    driver: str
    ports: tuple[str, ...]


@dataclass(frozen=True)
class Computer:
    """This computer, or one below another ``root``."""

    root: Path = Path("/")
    temp: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    platform: str = sys.platform

    def programs(self) -> set[str]:
        """Names of all running programs, where the system tells."""
        found = set()
        for comm in (self.root / "proc").glob("[0-9]*/comm"):
            try:
                found.add(comm.read_text("utf-8").strip())
            except OSError:
                continue  # it has ended
        return found

    def bridges(self) -> list[UsbDevice]:
        """Serial bridges on USB, with or without a driver."""
        found = []
        for folder in sorted((self.root / "sys/bus/usb/devices").glob("*")):
            number = _read(folder / "idVendor"), _read(folder / "idProduct")
            if number in DRIVERS:
                names = {path.name for path in folder.glob("*:*/tty*") if path.name != "tty"}
                names |= {path.name for path in folder.glob("*:*/tty/tty*")}
                found.append(UsbDevice(folder.name, *number, DRIVERS[number], tuple(sorted(names))))
        return found

    def refused_devices(self) -> list[str]:
        """USB sockets where something draws current and does not answer, by the kernel's own log file."""
        log = self.root / "var/log/kern.log"
        try:
            lines = log.read_text("utf-8", "replace").splitlines()[-2000:]
        except OSError:
            return []
        marks = ("device descriptor read/64, error", "unable to enumerate USB device")
        found = {line.split("usb ")[1].split(":")[0].split()[0] for line in lines if _has(line, marks)}
        return sorted(found)

    def latency_ms(self, port: str) -> tuple[int, Path] | None:
        """The latency timer of an FTDI bridge and its file; None for other ports."""
        file = self.root / "sys/bus/usb-serial/devices" / Path(port).name / "latency_timer"
        try:
            return int(_read(file)), file
        except ValueError:
            return None

    def groups(self) -> set[str] | None:
        """Groups that the user is a member of by the group file; None where there is none."""
        import pwd

        try:
            lines = (self.root / "etc/group").read_text("utf-8").splitlines()
            user = pwd.getpwuid(os.getuid()).pw_name
        except (OSError, KeyError):
            return None
        rows = [line.split(":") for line in lines if line.count(":") == 3]
        return {name for name, _, _, members in rows if user in members.split(",")}

    def leftovers(self, prefix: str) -> list[Path]:
        """Temporary folders that a killed process left."""
        return sorted(self.temp.glob(f"{prefix}*"))

    def clock_is_off(self, built_s: float) -> bool:
        """Whether the clock stands before the time at which this package was made."""
        return time.time() < built_s


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def _has(line: str, marks: tuple[str, ...]) -> bool:
    return "usb " in line and any(mark in line for mark in marks)
