# SPDX-License-Identifier: MIT
"""The only file that imports esptool (GPL-2.0-or-later). It runs as a process of its own, one a port.

A job comes as one JSON line on stdin, so that nothing of it shows in the process list; events go to
stdout, one JSON object a line, and the last one is ``{"done": ...}`` or ``{"failed": ...}``. Whoever wants
to know more of a job reads `communode.flash.Job`. Nothing is written before chip, MAC, flash size and the
identity guard have been looked at, nor, where the job says ``ask``, before a second line has come from
stdin: what else to write, now that it is known which board this is.

What the flash holds already is not written again: whole regions by their MD5, and of a region that differs
only what lies between the first and the last `_PIECE` that differ. So a write that was cut short goes on.

Source: esptool documentation v5, "Embedding into Custom Scripts" (public API and custom logger).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import time
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
_PIECE = 64 << 10  # the largest unit that flash chips erase at once
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
        self._regions: list[tuple[int, int]] = []
        self._began_s = 0.0
        self._shown = -1

    def begin(self, regions: list[tuple[int, int]]) -> None:
        """``regions`` (offset, size) are about to be written."""
        self._regions, self._began_s = regions, time.monotonic()

    def progress_bar(
        self, cur_iter: int, total_iters: int, prefix: str = "", suffix: str = "", bar_length: int = 30
    ) -> None:
        """Called by esptool for every block: ``prefix`` holds the address."""
        found = _WRITING_AT.search(prefix)
        if not found or not self._regions:
            return
        address = int(found[1], 16)
        done = sum(min(max(address - start, 0), size) for start, size in self._regions)
        pct = 100 * done // sum(size for _, size in self._regions)
        if pct > self._shown:
            self._shown = pct
            passed_s = max(time.monotonic() - self._began_s, 0.001)
            emit(stage="write", pct=pct, speed_bps=int(8 * done / passed_s))

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


def check_chip(esp: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Refuse the wrong chip and the wrong body; return the MAC address and the chip's name."""
    chip = esp.CHIP_NAME.replace("-", "").lower()
    mac = bytes(esp.read_mac())
    emit(stage="check", pct=0, mac=mac.hex(":"), chip=chip)
    if job["chip"] and chip != job["chip"]:
        raise Refused("flash.wrong_chip", found=chip, expected=job["chip"])
    # A sold chip has a universally administered address; a virtual board has not (boards/virtual/README.md).
    body = "virtual" if mac[0] & _LOCALLY_ADMINISTERED else "device"
    if job["body"] and body != job["body"]:
        raise Refused("flash.wrong_body", found=body, expected=job["body"])
    return {"mac": mac.hex(":"), "chip": chip}


def check_flash_size(esp: Any, job: dict[str, Any]) -> int:
    """Refuse a flash chip of another size than the image was built for; its size in bytes."""
    found = detect_flash_size(esp)
    size = int(found[:-2]) << 20 if found and found.endswith("MB") else 0
    if job["flash_size"] and size != job["flash_size"]:
        code = "flash.too_small" if size < job["flash_size"] else "flash.wrong_size"
        raise Refused(code, found=size >> 20, expected=job["flash_size"] >> 20)
    return size


def read_identity(esp: Any, where: dict[str, int]) -> str | None:
    """The DevEUI (hex) of the identity in the nvs region ``where``; None if there is none."""
    from communode.nvs_image import identity_in

    emit(stage="guard", pct=0)
    return identity_in(read_flash(esp, where["offset"], where["size"], output=None, no_progress=True))


def holds(esp: Any, offset: int, data: bytes) -> bool:
    """Whether the flash holds ``data`` at ``offset``, by the MD5 that the chip computes."""
    return bool(esp.flash_md5sum(offset, len(data)) == hashlib.md5(data, usedforsecurity=False).hexdigest())


def lacking(esp: Any, offset: int, data: bytes) -> tuple[int, bytes] | None:
    """The part of ``data`` that must be written, as offset and bytes; None if all of it is there."""
    if holds(esp, offset, data):
        return None
    starts = range(0, len(data), _PIECE)
    first, last = 0, len(starts) - 1
    while first < last and holds(esp, offset + starts[first], data[starts[first] :][:_PIECE]):
        first += 1
    while last > first and holds(esp, offset + starts[last], data[starts[last] :][:_PIECE]):
        last -= 1
    return offset + starts[first], data[starts[first] : starts[last] + _PIECE]


def write(esp: Any, regions: list[tuple[int, bytes]], progress: Progress) -> int:
    """Bring the flash to what ``regions`` say; return how many bytes had to be written. Raises FatalError."""
    emit(stage="compare", pct=0)
    wanted = [(region, lacking(esp, *region)) for region in regions]
    parts = [part for _, part in wanted if part is not None]
    if parts:
        progress.begin([(offset, len(data)) for offset, data in parts])
        emit(stage="write", pct=0)
        write_flash(esp, parts)  # verifies the MD5 of what it has written, and raises
    emit(stage="verify", pct=100)
    for (offset, data), part in wanted:
        if part is not None and part[1] != data and not holds(esp, offset, data):
            raise FatalError(f"MD5 of the region at 0x{offset:x} does not match")
    return sum(len(data) for _, data in parts)


def ask(esp: Any, job: dict[str, Any], seen: dict[str, Any]) -> list[dict[str, Any]]:
    """Tell the parent which board this is; what it wants written besides the job's own."""
    emit(seen=seen)
    answer = sys.stdin.readline()
    if not answer:
        sys.exit(1)  # the parent is gone, or has something against this board and has said so itself
    return list(json.loads(answer)["write"])


def run_job(job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Do one job; return what the parent is told of the board."""
    emit(stage="connect", pct=0)
    esp = detect_chip(job["port"], _CONNECT_BAUD, connect_attempts=job["attempts"])
    try:
        seen = check_chip(esp, job)
        esp = run_stub(esp)
        if job["baud"] > _CONNECT_BAUD:
            esp.change_baud(job["baud"])
        attach_flash(esp)
        seen["flash_mb"] = check_flash_size(esp, job) >> 20
        if job["look"]:
            seen["flash_id"] = f"{esp.flash_id():06x}"
        if job["guard"] or job["look"]:
            seen["dev_eui"] = read_identity(esp, job["guard"] or job["look"])
            if job["guard"] and seen["dev_eui"] is not None:
                raise Refused("provision.exists", dev_eui=seen["dev_eui"])
        if job["blank"]:
            where = job["blank"]
            seen["blank"] = holds(esp, where["offset"], b"\xff" * where["size"])
        wanted = [*job["write"], *(ask(esp, job, seen) if job["ask"] else [])]
        for region in job["erase"]:
            emit(stage="erase", pct=0)
            erase_region(esp, region["offset"], region["size"])
        regions = [(item["offset"], base64.b64decode(item["data"])) for item in wanted]
        written = write(esp, regions, progress) if regions else 0
        reset_chip(esp, "hard-reset")
        return {**seen, "verified": [offset for offset, _ in regions], "written": written}
    finally:
        esp._port.close()


def main() -> int:
    """Read one job, do it, say how it ended."""
    progress = Progress()
    log.set_logger(progress)
    job = json.loads(sys.stdin.readline())
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
