# SPDX-License-Identifier: MIT
"""Several virtual boards, a process each, plugged into a folder of links: ``plugged_boards.py SPECIFICATION``.

The specification is a JSON file: ``{"air": [host, port], "gateway": [host, port], "boards": [{"link", "flash",
"mac", "board", "dies_after"}]}``; the first board has the gateway beside it. A board with ``dies_after`` loses
its power in the middle of its so-manieth write to flash, for good. Prints one line when all are ready. Whoever
started it kills its process group.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from communode.virtual.flash import FlashFile, PowerCut
from communode.virtual.processor import prepare
from communode.virtual.virtual_board import StationOptions, run_board


def let_die(after: int) -> None:
    """Make the flash chip of this process fail for good after ``after`` writes."""
    made = FlashFile.__init__
    programs = 0

    def make(flash: FlashFile, file: str | Path, size: int) -> None:
        made(flash, file, size)
        flash.on_operation = count

    def count(kind: str, offset: int, data: bytes) -> None:
        nonlocal programs
        programs += kind == "program"
        if programs > after:
            raise PowerCut

    FlashFile.__init__ = make  # type: ignore[method-assign]


def plug(specification: dict[str, Any], entry: dict[str, Any], ready: int) -> None:
    """Plug one board in and let it run; a byte into ``ready`` says that it does."""
    if entry.get("dies_after"):
        let_die(entry["dies_after"])
    first = entry is specification["boards"][0]
    options = StationOptions(
        entry["board"],
        profile="air",
        link=Path(entry["link"]),
        flash=Path(entry["flash"]),
        mac=entry["mac"],
        air=tuple(specification["air"]),
        gateway=tuple(specification["gateway"]) if first else None,
    )
    run_board(options, lambda facts, kernel: os.write(ready, b"."))


def main(arguments: list[str]) -> None:
    """Start the boards, each in a process: none keeps another from its receive window."""
    specification = json.loads(Path(arguments[0]).read_text("utf-8"))
    prepare()  # once for all
    started, ready = os.pipe()
    for entry in specification["boards"]:
        if os.fork() == 0:
            try:
                plug(specification, entry, ready)
            finally:
                os._exit(1)  # what a dying board raises is the point of it
    for _ in specification["boards"]:
        os.read(started, 1)
    print("ready", flush=True)
    while True:
        os.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
