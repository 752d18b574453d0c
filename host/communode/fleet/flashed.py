# SPDX-License-Identifier: MIT
"""What the register learns when boards are flashed: their firmware, and that their memory was erased.

Nothing is noted of boards that the register does not know, and no register is made for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from communode.flash import Listener
from communode.fleet.register import Register


@contextmanager
def noting(register: Path, listener: Listener, version: str) -> Iterator[Listener]:
    """A listener for `communode.flash.Flasher`: passes events on, and keeps what they mean for the register.

    Erasing is noted when it begins: a board that dies then may have lost its DevNonces as well.
    """
    if not register.exists():
        yield listener
        return
    with Register(register) as opened:
        erased: set[str] = set()

        def listen(event: dict[str, Any]) -> None:
            mac = (event["mac"] or "").replace(":", "")
            if event["stage"] == "erase" and mac not in erased:
                erased.add(mac)
                opened.note_wiped(mac)
            if event["verdict"] == "good":
                opened.note_firmware(mac, version)
            listener(event)

        yield listen
