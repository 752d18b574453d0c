# SPDX-License-Identifier: MIT
"""The two transistors that let DTR and RTS reset an ESP32 board into its application or its loader.

Asserted RTS pulls EN low and asserted DTR pulls GPIO0 low, each only while the other is not asserted.
EN rises slowly (a capacitor), so that tools which move one line at a time pass through "both asserted"
and still find GPIO0 low when the chip starts. Pure: time comes in as seconds of any clock. Not the
circuit of a native USB port, where the lines mean something else.

Sources: ESP32-DevKitC schematic V4 (auto program); reset sequences of esptool v5.
"""

from __future__ import annotations

from collections.abc import Callable

_SETTLE_S = 0.5  # both lines asserted for so long: EN has risen, with GPIO0 high


class ResetCircuit:
    """Calls ``reset_into("app")`` or ``reset_into("rom")`` as the chip starts, and ``hold()`` when EN falls.

    Feed it `set_lines` for every change of a line, and `advance` when `due` has come.
    """

    def __init__(self, reset_into: Callable[[str], object], hold: Callable[[], object] | None = None) -> None:
        self._reset_into = reset_into
        self._hold = hold or (lambda: None)
        self._held = False
        self._rises_at: float | None = None

    @property
    def held(self) -> bool:
        """Whether the chip is kept in reset."""
        return self._held

    def set_lines(self, dtr: bool, rts: bool, now_s: float) -> None:
        """The lines as the computer asserts them (True pulls the pin low)."""
        self.advance(now_s)
        if rts and not dtr:
            self._rises_at = None
            if not self._held:
                self._held = True
                self._hold()
        elif self._held:
            if dtr and rts:
                self._rises_at = now_s + _SETTLE_S
            else:
                self._start("rom" if dtr else "app")

    def advance(self, now_s: float) -> None:
        """Let time pass."""
        if self._rises_at is not None and now_s >= self._rises_at:
            self._start("app")

    def due(self) -> float | None:
        """When `advance` has something to do; None for never."""
        return self._rises_at

    def _start(self, where: str) -> None:
        self._held = False
        self._rises_at = None
        self._reset_into(where)
