# SPDX-License-Identifier: MIT
# The node's own account of charge: time by phase, multiplied by the board's currents. Pure. And what follows
# from the same figures: how long a wait must be to be worth light sleep, and how long to be worth deep sleep.
#
# Nothing here is measured: times are the node's, currents are those of board.toml with their sources. Sensors
# are apart.

import struct

from micropython import const

BOOT = const(0)
SENSE = const(1)
COMPUTE = const(2)
TX = const(3)
RX = const(4)
SLEEP = const(5)
PHASES = ("boot", "sense", "compute", "tx", "rx", "sleep")  # those of the daily status
_FORMAT = "<6Q"

# What the node cannot time itself, on the stock image (host: virtual/costs.toml): from waking to main.py 70 ms,
# from there to the first line of a waking 81 ms of imports.
BOOT_MS = const(151)
_SENDER_MS = const(36)  # imports and state of the LoRaWAN stack, lost in deep sleep as well (the same source)
_NAP_MS = const(10)  # estimate: into light sleep, with the console's last characters, and out of it
TX_UA = const(45000)  # SX1262 at 14 dBm, DC-DC (SX1261/2 Rev 2.1, table 3-7 and AN1200.59)
RX_UA = const(5300)  # SX1262, LoRa 125 kHz, boosted, DC-DC (SX1261/2 Rev 2.1, table 3-8)
RX_WINDOW_MS = const(50)  # one empty window at SF7 with the default lead


class Budget:
    """Microcoulombs by phase since power-on."""

    def __init__(self, data: "bytes | None" = None) -> None:
        self.uc = [0] * len(PHASES)
        if data is not None and len(data) == struct.calcsize(_FORMAT):
            self.uc = list(struct.unpack(_FORMAT, data))

    def to_bytes(self) -> bytes:
        """For RTC memory."""
        return struct.pack(_FORMAT, *self.uc)

    def add(self, phase: int, duration_ms: int, current_ua: int) -> None:
        """`phase` lasted so long at this current."""
        self.uc[phase] += max(0, duration_ms) * current_ua // 1000

    def charge_mc(self) -> "list[int]":
        """Millicoulombs by phase."""
        return [uc // 1000 for uc in self.uc]


def sleeps_from_ms(currents: "dict[str, int]") -> "tuple[int, int]":
    """Shortest waits (ms) that are cheaper in light sleep than awake, and in deep sleep than in light sleep.

    `currents` are the board's, in uA. Deep sleep costs beginning anew, at the current of being awake.
    """
    active, light = currents["active"], currents["light_sleep"]
    saved_ua = max(1, light - currents["deep_sleep"])
    anew_ms = BOOT_MS + _SENDER_MS - _NAP_MS
    return _NAP_MS * active // (active - light) + 1, anew_ms * active // saved_ua + 1
