# SPDX-License-Identifier: MIT
"""The only file that imports esptool (GPL-2.0-or-later). It runs as a process of its own, one a port.

A job comes as one JSON object on stdin, so that nothing of it shows in the process list; events go to
stdout, one JSON object a line, and the last one is ``{"done": ...}`` or ``{"failed": ...}``. Whoever wants
to know more of a job reads `communode.flash.Job`. Nothing is written before chip, MAC, flash size and the
identity guard have been looked at.

Source: esptool documentation v5, "Embedding into Custom Scripts" (public API and custom logger).
"""

from __future__ import annotations

import base64
import json
import re
import sys
from typing import Any

import serial
from esptool.cmds import (
    attach_flash,
    detect_chip,
    detect_flash_size,
    erase_region,
    read_flash,
    reset_chip,
    run_stub,
    write_flash,
)
from esptool.logger import TemplateLogger, log
from esptool.util import FatalError

_CONNECT_BAUD = 115200
_LOCALLY_ADMINISTERED = 0x02
_WRITING_AT = re.compile(r"Writing at (0x[0-9a-f]+)")


class Refused(Exception):
    """The board is not what the job is for; nothing was written."""

    def __init__(self, code: str, **values: Any) -> None:
        super().__init__(code)
        self.code = code
        self.values = values


def emit(**values: Any) -> None:
    """One event for the parent."""
    print(json.dumps(values), flush=True)


class Progress(TemplateLogger):
    """Turns esptool's progress into a percentage over all regions; its words are not shown."""

    def __init__(self) -> None:
        self.regions: list[tuple[int, int]] = []
        self._shown = -1

    def progress_bar(
        self, cur_iter: int, total_iters: int, prefix: str = "", suffix: str = "", bar_length: int = 30
    ) -> None:
        """Called by esptool for every block: ``prefix`` holds the address."""
        found = _WRITING_AT.search(prefix)
        if not found or not self.regions:
            return
        address = int(found[1], 16)
        done = sum(min(max(address - start, 0), size) for start, size in self.regions)
        pct = 100 * done // sum(size for _, size in self.regions)
        if pct > self._shown:
            self._shown = pct
            emit(stage="write", pct=pct)

    def print(self, *args: Any, **kwargs: Any) -> None:
        """esptool talks to people; the parent has words of its own."""

    def note(self, message: str) -> None:
        """Not shown."""

    def warning(self, message: str) -> None:
        """Not shown: what matters ends as an exception."""

    def error(self, message: str) -> None:
        """Not shown: what matters ends as an exception."""

    def stage(self, finish: bool = False) -> None:
        """Not used."""

    def set_verbosity(self, verbosity: str) -> None:
        """Not used."""


def check_chip(esp: Any, job: dict[str, Any]) -> str:
    """Refuse the wrong chip and the wrong body; return the MAC address."""
    chip = esp.CHIP_NAME.replace("-", "").lower()
    mac = bytes(esp.read_mac())
    emit(stage="check", pct=0, mac=mac.hex(":"), chip=chip)
    if job["chip"] and chip != job["chip"]:
        raise Refused("flash.wrong_chip", found=chip, expected=job["chip"])
    # A sold chip has a universally administered address; a virtual board has not (boards/virtual/README.md).
    body = "virtual" if mac[0] & _LOCALLY_ADMINISTERED else "device"
    if job["body"] and body != job["body"]:
        raise Refused("flash.wrong_body", found=body, expected=job["body"])
    return mac.hex(":")


def check_flash_size(esp: Any, job: dict[str, Any]) -> None:
    """Refuse a flash chip of another size than the image was built for."""
    found = detect_flash_size(esp)
    size = int(found[:-2]) << 20 if found and found.endswith("MB") else 0
    if job["flash_size"] and size != job["flash_size"]:
        code = "flash.too_small" if size < job["flash_size"] else "flash.wrong_size"
        raise Refused(code, found=size >> 20, expected=job["flash_size"] >> 20)


def check_identity(esp: Any, guard: dict[str, int]) -> None:
    """Refuse to overwrite an identity: the nvs region must not hold one."""
    from communode.nvs_image import identity_in

    emit(stage="guard", pct=0)
    present = identity_in(read_flash(esp, guard["offset"], guard["size"], output=None, no_progress=True))
    if present is not None:
        raise Refused("provision.exists", dev_eui=present)


def run_job(job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Do one job; return what the parent is told of the board."""
    emit(stage="connect", pct=0)
    esp = detect_chip(job["port"], _CONNECT_BAUD, connect_attempts=job["attempts"])
    try:
        mac = check_chip(esp, job)
        esp = run_stub(esp)
        if job["baud"] > _CONNECT_BAUD:
            esp.change_baud(job["baud"])
        attach_flash(esp)
        check_flash_size(esp, job)
        if job["guard"]:
            check_identity(esp, job["guard"])
        for region in job["erase"]:
            emit(stage="erase", pct=0)
            erase_region(esp, region["offset"], region["size"])
        if job["write"]:
            data = [(item["offset"], base64.b64decode(item["data"])) for item in job["write"]]
            progress.regions = [(offset, len(content)) for offset, content in data]
            emit(stage="write", pct=0)
            write_flash(esp, data)  # verifies the MD5 of every region, and raises
            emit(stage="verify", pct=100)
        reset_chip(esp, "hard-reset")
        return {"mac": mac, "verified": [item["offset"] for item in job["write"]]}
    finally:
        esp._port.close()


def main() -> int:
    """Read one job, do it, say how it ended."""
    progress = Progress()
    log.set_logger(progress)
    job = json.loads(sys.stdin.read())
    try:
        emit(done=run_job(job, progress))
        return 0
    except Refused as refused:
        emit(failed={"code": refused.code, "values": refused.values})
    except (FatalError, serial.SerialException, OSError) as error:
        emit(failed={"code": "flash.link", "values": {"reason": " ".join(str(error).split())}})
    return 1


if __name__ == "__main__":
    sys.exit(main())
