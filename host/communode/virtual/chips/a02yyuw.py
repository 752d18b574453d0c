# SPDX-License-Identifier: MIT
"""A02YYUW, the ultrasonic distance sensor. WIKI = DFRobot SEN0311, revision of December 2025.

It sends by itself: four bytes at 9600 baud each 100 ms to 300 ms (RX open: processed values). Frames are made
when somebody looks, each at its own time, so a sensor nobody reads costs nothing. 0 mm is its "no echo".
"""

from __future__ import annotations

import random
from typing import Any

from communode.virtual.chips.chip import Environment, UartChip, Violation
from communode.virtual.chips.sensing import SensorChip

STARTUP_US = 500_000  # until the first frame; an assumption
_SLOT_US = 200_000
_JITTER_US = 50_000  # frames 100 ms to 300 ms apart
_BYTE_US = 10_000_000 / 9600
_NEAR_MM, _FAR_MM = 30, 4500


def tolerance(name: str, value: float) -> float:
    """Error: 1 cm and 0.3 % of the distance (maker's figure for the family); as fill level alike."""
    if name == "bin_distance_mm":
        return 10 + 0.003 * value
    if name == "bin_fill_pct":
        return 100 * (10 + 0.003 * (1500 - 13 * value)) / 1300
    raise KeyError(name)


class A02yyuw(SensorChip, UartChip):
    """A02YYUW with its RX open."""

    baud_rate = 9600
    series = "bin_distance_mm"

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self._seed = env.rng.getrandbits(64)
        self._bias_mm = env.rng.uniform(-3, 3)
        self._since_us = env.now_us()

    def power(self, on: bool) -> None:
        """Frames begin half a second after the supply."""
        super().power(on)
        self._since_us = self.env.now_us()

    def uart_write(self, data: bytes) -> None:
        """There is nothing to tell it."""
        raise Violation("A02YYUW: its RX selects raw values by its level, it takes no bytes")

    def uart_read(self, since_us: int, until_us: int) -> bytes:
        """What it finished sending in ``(since_us, until_us]``."""
        if not self.powered or "nack" in self.faults:
            return b""
        first = self._since_us + STARTUP_US
        sent = bytearray()
        slot = max(0, (since_us - first) // _SLOT_US - 1)
        while first + slot * _SLOT_US - _JITTER_US <= until_us:
            # A frame's time and noise depend on its number alone, not on who looked when.
            rng = random.Random(self._seed + slot)
            begin_us = first + slot * _SLOT_US + rng.randint(-_JITTER_US, _JITTER_US)
            frame: bytes | None = None
            for n in range(4):
                end_us = begin_us + round((n + 1) * _BYTE_US)
                if since_us < end_us <= until_us:
                    frame = frame or self._frame(begin_us, rng)
                    sent.append(frame[n])
            slot += 1
        return bytes(sent)

    def _frame(self, time_us: int, rng: random.Random) -> bytes:
        true = self.env.world.value(self.series, time_us)
        distance = round(true + self._bias_mm + max(-2.0, min(2.0, rng.gauss(0, 1))) * 1.5)
        if "stuck" in self.faults:
            distance = round(self._first.setdefault("distance", distance))
        if self.faults & {"warming_up", "saturated"} or not _NEAR_MM <= distance <= _FAR_MM:
            distance = 0
        data = bytes([0xFF, distance >> 8, distance & 0xFF])
        return data + bytes([(sum(data) + ("wrong_crc" in self.faults)) & 0xFF])
