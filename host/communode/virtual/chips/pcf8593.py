# SPDX-License-Identifier: MIT
"""PCF8593 as an event counter on a water meter's pulse output. DS = NXP PCF8593 Rev 04, October 2010.

Modelled: the registers, auto-increment, capture of the counters at the start of a read, event-counter mode in
six BCD digits, loss of everything with the supply. The clock modes are there only as what the chip wakes in:
their time stands still. The meter closes its contact whenever its register passes a whole litres_per_pulse.
"""

from __future__ import annotations

import math
from typing import Any

from communode.virtual.chips.chip import Environment, I2cChip, Nack, Violation
from communode.virtual.chips.sensing import SensorChip

_STOP, _MODE, _EVENT, _TEST = 0x80, 0x30, 0x20, 0x30
# Power-on reset: 32.768 kHz clock, 1 January, 00:00:00 (DS 7.14).
_POWER_ON = bytes([0, 0, 0, 0, 0, 0x01, 0x01, 0, *([0] * 8)])
WRAP = 1_000_000


def tolerance(name: str, value: float) -> float:
    """Error (L): the pulse that has not come yet."""
    if name != "water_index_l":
        raise KeyError(name)
    return 1.0


class Pcf8593(SensorChip, I2cChip):
    """PCF8593; setting litres_per_pulse. ``counting_since_l`` is the meter's register when counting began."""

    addresses = (0x51,)

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self._litres_per_pulse = int(settings.get("litres_per_pulse", 1))
        self.counting_since_l = 0.0
        self._begin()

    def _begin(self) -> None:
        self._registers = bytearray(_POWER_ON)
        self._pointer = 0
        self._passed = self._pulses()

    def power(self, on: bool) -> None:
        """Everything is volatile."""
        super().power(on)
        if on:
            self._begin()

    def _pulses(self) -> int:
        # All pulses that the meter has ever given.
        litres = self.env.world.value("water_index_l", self.env.now_us())
        return math.floor(litres / self._litres_per_pulse + 1e-9)

    def _count(self) -> None:
        # Bring the counter up to now.
        now = self._pulses()
        new, self._passed = now - self._passed, now
        if self._registers[0] & (_STOP | _MODE) != _EVENT or "stuck" in self.faults:
            return
        digits = f"{(self._counter() + new) % WRAP:06d}"
        self._registers[1:4] = bytes(int(digits[n : n + 2], 16) for n in (4, 2, 0))

    def _counter(self) -> int:
        low, middle, high = self._registers[1:4]
        return int(f"{high:02x}{middle:02x}{low:02x}")

    def i2c_write(self, address: int, data: bytes) -> int:
        """Word address, then registers."""
        if "nack" in self.faults:
            raise Nack
        self._count()
        if not data:
            return 0
        if data[0] > 0x0F:
            raise Violation(f"PCF8593: word address 0x{data[0]:02X}")
        self._pointer = data[0]
        for byte in data[1:]:
            self._write(self._pointer, byte)
            self._pointer = (self._pointer + 1) & 0x0F
        return len(data)

    def _write(self, register: int, byte: int) -> None:
        if register == 0:
            if byte & _MODE == _TEST:
                raise Violation("PCF8593: test mode")
            was_counting = self._registers[0] & (_STOP | _MODE) == _EVENT
            if byte & (_STOP | _MODE) == _EVENT and not was_counting:
                self.counting_since_l = self.env.world.value("water_index_l", self.env.now_us())
        elif register < 4:
            if not self._registers[0] & _STOP:
                raise Violation("PCF8593: a counter is set while it counts (DS 7.8)")
            if byte >> 4 > 9 or byte & 0x0F > 9:
                raise Violation(f"PCF8593: 0x{byte:02X} is not BCD")
        self._registers[register] = byte

    def i2c_read(self, address: int, count: int) -> bytes:
        """Registers from the word address on; the counters as they were at the start."""
        if "nack" in self.faults:
            raise Nack
        self._count()
        data = bytes(self._registers[(self._pointer + n) & 0x0F] for n in range(count))
        self._pointer = (self._pointer + count) & 0x0F
        return data
