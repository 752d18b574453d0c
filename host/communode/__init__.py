# SPDX-License-Identifier: MIT
"""communode: municipal LoRaWAN sensor nodes on ESP32 - build, flash, provision, test, read.

The firmware is the subpackage ``communode.node``: the very files that run on the board.
"""

import sys

from communode import _micropython

__version__ = "0.1.0"

# The pure packages of the firmware say `from micropython import const`; on CPython this supplies it.
sys.modules.setdefault("micropython", _micropython)
