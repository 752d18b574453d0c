# SPDX-License-Identifier: MIT
"""What sensor models share: true values with bounded noise, and the faults that a test can switch on.

Faults (setting ``faults``, a set that may change while the model lives):
    nack        the chip is soldered but does not answer
    wrong_crc   what it sends is damaged
    stuck       it repeats its first value for ever
    warming_up  it never settles
    saturated   what it measures lies beyond its range
    stuck_sda   it holds the I2C data line low until it was clocked out of it: nobody on that bus is heard
    held_sda    the same, but only a power cycle helps
The last two are the wiring's business: see `communode.virtual.wiring`.
``absent`` is not a chip's: the board leaves the chip out. A model that cannot have a fault ignores it.
"""

from __future__ import annotations

from typing import Any

from communode.virtual.chips.chip import Chip, Environment


class SensorChip(Chip):
    """A chip that measures the world."""

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self.faults: set[str] = set(settings.get("faults", ()))
        self._first: dict[str, float] = {}

    def measured(self, name: str, time_us: int, noise: float, bias: float = 0.0) -> float:
        """What the chip makes of series ``name`` at ``time_us``: bias plus noise of at most 3 ``noise``."""
        true = self.env.world.value(name, time_us)
        value = true + bias + max(-3.0, min(3.0, self.env.rng.gauss(0.0, 1.0))) * noise
        if "stuck" in self.faults:
            return self._first.setdefault(name, value)
        self._first.clear()
        return value
