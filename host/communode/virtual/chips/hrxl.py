# SPDX-License-Identifier: MIT
"""HRXL-MaxSonar-WR (MB7380), the ultrasonic distance sensor. DS = MaxBotix PD11500.

It sends by itself: a banner after power-up, then "R1234" and a return each 133 ms. Frames are made when
somebody looks, each at its own time. Below 300 mm it says 300, without echo 5000. Filtering is not modelled.
"""

from __future__ import annotations

import random
from typing import Any

from communode.virtual.chips.chip import Environment, UartChip, Violation
from communode.virtual.chips.sensing import SensorChip

_POWER_UP_US = 160_000
_BANNER = b"HRXL-MaxSonar-WR\rPN:MB7380\rCopyright 2011-2013\rMaxBotix Inc.\rRoHS 1.8b091  0713\rTempI\r"
_SLOT_US = 133_000
_BYTE_US = 10_000_000 / 9600
_NEAR_MM, _FAR_MM = 300, 5000
SERIES = "bin_distance_mm"


def tolerance(name: str, value: float) -> float:
    """Error: 1 % of the distance (DS); as fill level alike."""
    if name == "bin_distance_mm":
        return 2 + 0.01 * value
    if name == "bin_fill_pct":
        return 100 * (2 + 0.01 * (1500 - 13 * value)) / 1300
    raise KeyError(name)


class Hrxl(SensorChip, UartChip):
    """MB7380 with pin 4 high: it ranges freely."""

    baud_rate = 9600

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self._seed = env.rng.getrandbits(64)
        self._gain = 1 + env.rng.uniform(-0.004, 0.004)
        self._since_us = env.now_us()

    def power(self, on: bool) -> None:
        """The banner, then ranges."""
        super().power(on)
        self._since_us = self.env.now_us()

    def uart_write(self, data: bytes) -> None:
        """There is nothing to tell it."""
        raise Violation("HRXL: pin 4 stops ranging by its level, it takes no bytes")

    def uart_read(self, since_us: int, until_us: int) -> bytes:
        """What it finished sending in ``(since_us, until_us]``."""
        if not self.powered or "nack" in self.faults:
            return b""
        begin = self._since_us + _POWER_UP_US
        sent = bytearray(self._part(begin, _BANNER, since_us, until_us))
        first = begin + round(len(_BANNER) * _BYTE_US) + _SLOT_US
        slot = max(0, (since_us - first) // _SLOT_US - 1)
        while first + slot * _SLOT_US <= until_us:
            at = first + slot * _SLOT_US
            sent += self._part(at, self._frame(at, slot), since_us, until_us)
            slot += 1
        return bytes(sent)

    @staticmethod
    def _part(begin_us: int, data: bytes, since_us: int, until_us: int) -> bytes:
        ends = [begin_us + round((n + 1) * _BYTE_US) for n in range(len(data))]
        return bytes(byte for end, byte in zip(ends, data, strict=True) if since_us < end <= until_us)

    def _frame(self, time_us: int, slot: int) -> bytes:
        rng = random.Random(self._seed + slot)
        true = self.env.world.value(SERIES, time_us)
        distance = round(true * self._gain + max(-2.0, min(2.0, rng.gauss(0, 1))))
        if "stuck" in self.faults:
            distance = round(self._first.setdefault("distance", distance))
        if self.faults & {"warming_up", "saturated"} or distance >= _FAR_MM:
            distance = _FAR_MM
        text = b"R%04d\r" % max(_NEAR_MM, distance)
        return text.replace(b"R", b"\xd2") if "wrong_crc" in self.faults else text
