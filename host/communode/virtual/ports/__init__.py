# SPDX-License-Identifier: MIT
"""Serial ports of virtual boards: pseudo-terminal, raw TCP, and RFC 2217 with modem lines."""

from communode.virtual.ports.end import SerialEnd
from communode.virtual.ports.pacing import Pacing
from communode.virtual.ports.pty import PtyEnd
from communode.virtual.ports.tcp import Rfc2217End, SocketEnd

__all__ = ["Pacing", "PtyEnd", "Rfc2217End", "SerialEnd", "SocketEnd"]
