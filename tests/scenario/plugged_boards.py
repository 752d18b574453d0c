# SPDX-License-Identifier: MIT
"""Several virtual boards in one process, plugged into a folder of links: ``plugged_boards.py SPECIFICATION``.

The specification is a JSON file: ``{"air": [host, port], "gateway": [host, port] or null, "boards": [{"link",
"flash", "mac", "board", "dies_after"}]}``. A board with ``dies_after`` loses its power in the middle of its
so-manieth write to flash, for good. Prints one line when all are ready; ends with its standard input.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from communode.virtual.flash import FlashFile, PowerCut
from communode.virtual.virtual_board import VirtualBoard


def let_die(path: Path, after: int) -> None:
    """Make the flash chip in file ``path`` fail for good after ``after`` writes."""
    made = FlashFile.__init__
    state = {"programs": 0}

    def make(flash: FlashFile, file: str | Path, size: int) -> None:
        made(flash, file, size)
        if Path(file) == path:
            flash.on_operation = count

    def count(kind: str, offset: int, data: bytes) -> None:
        state["programs"] += kind == "program"
        if state["programs"] > after:
            raise PowerCut

    FlashFile.__init__ = make  # type: ignore[method-assign]


def plug(stack: ExitStack, specification: dict[str, Any], entry: dict[str, Any], first: bool) -> None:
    """Plug one board in."""
    flash = Path(entry["flash"])
    if entry.get("dies_after"):
        let_die(flash, entry["dies_after"])
    gateway = specification["gateway"] if first else None
    board = VirtualBoard(
        entry["board"],
        profile="air",
        link=Path(entry["link"]),
        flash=flash,
        mac=entry["mac"],
        air=tuple(specification["air"]),
        gateway=tuple(gateway) if gateway else None,
    )
    stack.enter_context(board)


def main(arguments: list[str]) -> None:
    """Run until standard input ends. What a dying board raises in its thread is the point of it."""
    specification = json.loads(Path(arguments[0]).read_text("utf-8"))
    sys.setswitchinterval(0.0005)  # a thread a board: none may keep another from its receive window
    with ExitStack() as stack:
        for number, entry in enumerate(specification["boards"]):
            plug(stack, specification, entry, first=number == 0)
        print("ready", flush=True)
        sys.stdin.read()
        os._exit(0)  # boards that died hold their threads


if __name__ == "__main__":
    main(sys.argv[1:])
