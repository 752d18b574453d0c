# SPDX-License-Identifier: MIT
"""Open a board's serial port: checked first, alone, and without resetting the board."""

from __future__ import annotations

from typing import Any

import serial

from communode.errors import CommunodeError
from communode.flash import check_port

CONSOLE_BAUD = 115200


def open_port(port: str, *, baud: int = CONSOLE_BAUD, timeout_s: float = 0.2) -> serial.SerialBase:
    """``port`` (a device or a pyserial URL), open. Raises ``flash.no_port``, ``flash.port_busy`` ...

    Both modem lines stay as opening leaves them: the usual circuit resets a board only while they differ.
    """
    check_port(port)
    try:
        options: dict[str, Any] = {} if "://" in port else {"exclusive": True}
        opened: serial.SerialBase = serial.serial_for_url(port, baudrate=baud, timeout=timeout_s, **options)
        return opened
    except serial.SerialException as error:
        reason = " ".join(str(error).split())
        if "exclusively lock" in reason or "Resource busy" in reason:
            raise CommunodeError("flash.port_busy", port=port, holder="?") from None
        raise CommunodeError("link.closed", port=port, reason=reason) from None
