# SPDX-License-Identifier: MIT
# The console's input without waiting for it.

import select
import sys

from micropython import const

_MOST = const(256)  # at once: a line that never falls silent must not keep the node from its duties


class Terminal:
    """Characters that have been typed."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._poll.register(sys.stdin, select.POLLIN)
        self._closed = False

    def read(self) -> str:
        """What is there now; empty when there is nothing."""
        text = ""
        while len(text) < _MOST and not self._closed and self._poll.poll(0):
            character = sys.stdin.read(1)
            if not character:
                self._closed = True  # end of input: a console that is no terminal
                break
            text += character
        return text
