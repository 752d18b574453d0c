# SPDX-License-Identifier: MIT
"""A virtual board that runs a MicroPython program of the test instead of the node's: main.py as text.

The image is that of a real build; only its file system is another one.
"""

from __future__ import annotations

import functools
import os
import re
import textwrap
from pathlib import Path
from types import TracebackType

from communode.boards import load_board
from communode.build import Build, build
from communode.profiles import load_profile
from communode.virtual.air import Air
from communode.virtual.board import BoardSettings, VirtualProcessorBoard
from communode.virtual.flash import FlashFile
from communode.virtual.kernel import NEVER, Kernel, RealtimeKernel
from communode.virtual.world import World
from littlefs import LittleFS

_PROMPT = re.compile(r'MicroPython .*; linux .*\nType "help.*\n>>> \n?')


# The SX1262 of the virtual board as far as its frequency; `command` speaks with it.
RADIO_UP = """\
import time
from machine import Pin, SPI
spi = SPI(1, 8_000_000, sck=Pin(9), mosi=Pin(10), miso=Pin(11))
nss, reset = Pin(8, Pin.OUT, value=1), Pin(12, Pin.OUT, value=1)
busy = Pin(13, Pin.IN)
def command(*data):
    while busy():
        time.sleep_us(20)
    nss(0)
    spi.write(bytes(data))
    nss(1)
reset(0)
time.sleep_ms(1)
reset(1)
time.sleep_ms(5)
command(0x80, 0)                                   # SetStandby RC
command(0x97, 2, 0, 1, 0x40)                       # SetDIO3AsTcxoCtrl 1.8 V, 5 ms
command(0x89, 0x7F)                                # Calibrate
time.sleep_ms(10)
command(0x8A, 1)                                   # SetPacketType LoRa
command(0x86, 0x36, 0x41, 0x99, 0x9A)              # SetRfFrequency 868.1 MHz
"""


@functools.cache
def image(board: str) -> Build:
    """A build of ``board``, once a process."""
    return build(load_board(board), load_profile("air"), body="virtual")


def file_system(files: dict[str, bytes], size: int) -> bytes:
    """A LittleFS of ``size`` bytes."""
    system = LittleFS(
        block_size=4096, block_count=size // 4096, read_size=32, prog_size=32, disk_version=0x20000
    )
    for name, content in files.items():
        with system.open(name, "wb") as file:
            file.write(content)
    return bytes(system.context.buffer)


class ProgramBoard:
    """One board with ``program`` as its main.py; ``printed`` is all it has written to its console."""

    def __init__(
        self,
        folder: Path,
        program: str,
        *,
        kernel: Kernel | RealtimeKernel | None = None,
        board: str = "virtual",
        profile: str | None = "air",
        air: Air | None = None,
        number: int = 1,
        drift_ppm: float = 0.0,
    ) -> None:
        self.kernel = kernel or Kernel()
        self.until_us = NEVER
        built = image(board)
        path = folder / f"board{number}.flash"
        self.flash = FlashFile(path, load_board(board).flash_size)
        for region in built.regions:
            if region.name != "vfs":
                self.flash.program(region.offset, region.data)
        vfs = built.partition("vfs")
        files = {"boot.py": b"", "main.py": textwrap.dedent(program).encode()}
        self.flash.program(vfs.offset, file_system(files, vfs.size))
        settings = BoardSettings(
            mac=bytes((2, 0, 0, 0, 0, number)),
            drift_ppm=drift_ppm,
            radio_settings={"air": air or Air(seed=1)},
        )
        given = load_profile(profile) if profile else None
        self.body = VirtualProcessorBoard(
            load_board(board), given, self.flash, self.kernel, World(), settings
        )
        self.body.may_wake = lambda wake_us: wake_us < self.until_us
        self._log = folder / f"board{number}.log"
        self._console = os.open(self._log, os.O_CREAT | os.O_RDWR | os.O_TRUNC)
        self._nothing = os.open(os.devnull, os.O_RDONLY)
        self.body.console = (self._nothing, self._console)

    def __enter__(self) -> ProgramBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.body.halt()
        self.flash.close()
        os.close(self._console)
        os.close(self._nothing)

    @property
    def printed(self) -> str:
        """What came to the console, without the prompts that follow a program's end."""
        return _PROMPT.sub("", self._log.read_text("utf-8"))

    def run(self, until_us: int = NEVER) -> str:
        """Power on and let the world go on; return what was printed. Who sleeps past the end stays off."""
        self.until_us = until_us
        before = len(self.printed)
        assert self.body.power_on() is None
        self.kernel.run(until_us)
        return self.printed[before:]


def run_program(folder: Path, program: str, **options: object) -> list[str]:
    """Run ``program`` on a board of its own in virtual time; return the lines it printed."""
    with ProgramBoard(folder, program, **options) as board:  # type: ignore[arg-type]
        lines = board.run().splitlines()
        assert board.body.violations == []
    return lines
