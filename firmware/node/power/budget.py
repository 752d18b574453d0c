# SPDX-License-Identifier: MIT
# The node's own account of charge: time by phase, multiplied by the board's currents. Pure.
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

BOOT_MS = const(70)  # from waking to main.py, which the node cannot time itself (host: virtual/costs.toml)
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
