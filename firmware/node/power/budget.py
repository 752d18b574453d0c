# SPDX-License-Identifier: MIT
# The node's own account of charge: time by phase, multiplied by the board's currents. Pure.
#
# Nothing here is measured: times are the node's, currents are those of board.toml with their sources. Sensors are
# apart. It also answers whether a wait is better spent awake, in light sleep or in deep sleep.

import struct

from micropython import const

BOOT = const(0)
ACTIVE = const(1)
LIGHT_SLEEP = const(2)
DEEP_SLEEP = const(3)
TX = const(4)
RX = const(5)
PHASES = ("boot", "active", "light_sleep", "deep_sleep", "tx", "rx")
_FORMAT = "<6Q"

# Awake time that a light sleep costs by going in and out of it (ESP-IDF, "Sleep modes": about 1 ms).
_NAP_COST_MS = const(1)


class Budget:
    """Milliseconds by phase since power-on."""

    def __init__(self, data: "bytes | None" = None) -> None:
        self.ms = [0] * len(PHASES)
        if data is not None and len(data) == struct.calcsize(_FORMAT):
            self.ms = list(struct.unpack(_FORMAT, data))

    def to_bytes(self) -> bytes:
        """For RTC memory."""
        return struct.pack(_FORMAT, *self.ms)

    def add(self, phase: int, duration_ms: int) -> None:
        """`phase` lasted so long."""
        self.ms[phase] += max(0, duration_ms)

    def charge_mc(self, currents: dict) -> list:
        """Millicoulombs by phase; `currents` are microamperes by the names of PHASES (boot counts as active)."""
        active = currents["active"]
        return [ms * currents.get(name, active) // 1000000 for name, ms in zip(PHASES, self.ms)]


def nap_saves(wait_ms: int, active_ua: int, light_ua: int) -> bool:
    """Whether light sleep costs less than waiting awake for `wait_ms`."""
    return wait_ms * active_ua > _NAP_COST_MS * active_ua + wait_ms * light_ua


def deep_sleep_saves(wait_ms: int, wake_mc_x1000: int, light_ua: int, deep_ua: int) -> bool:
    """Whether deep sleep, with a waking that costs `wake_mc_x1000` microcoulombs, beats light sleep over `wait_ms`."""
    return wait_ms * (light_ua - deep_ua) // 1000 > wake_mc_x1000
