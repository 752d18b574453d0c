# SPDX-License-Identifier: MIT
"""Who a node is on a LoRaWAN network: EUIs and root keys, made on the host.

Keys come from the operating system's generator and appear in no text of this module: `Identity` prints its
DevEUI only. Writing an identity into a board is `communode.provision`.

Sources: TS001-1.0.4 6.1.1 (DevEUI, JoinEUI, AppKey); IEEE "Guidelines for Use of EUI" (EUI-48 to EUI-64 by
FFFE in the middle). EUIs are big-endian here and in nvs; on air they are little-endian.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from communode.errors import CommunodeError

NO_JOIN_EUI = bytes(8)  # network servers that find a device by its DevEUI alone take zeros


@dataclass(frozen=True)
class Identity:
    """DevEUI and JoinEUI (8 bytes, big-endian), AppKey and command key (16 bytes)."""

    dev_eui: bytes
    join_eui: bytes
    app_key: bytes = field(repr=False)
    command_key: bytes = field(repr=False)  # authenticates commands end to end; the network does not know it

    def blobs(self) -> dict[str, bytes]:
        """The identity as the nvs namespace holds it."""
        return {
            "dev_eui": self.dev_eui,
            "join_eui": self.join_eui,
            "app_key": self.app_key,
            "command_key": self.command_key,
        }

    def reveal(self) -> dict[str, str]:
        """All of it in hex, keys included: for a keys file that the user asked for."""
        return {name: value.hex() for name, value in self.blobs().items()}


def dev_eui_from_mac(mac: bytes) -> bytes:
    """The EUI-64 of a 6-byte MAC address: FFFE goes into the middle."""
    if len(mac) != 6:
        raise ValueError(f"a MAC address has 6 bytes, not {len(mac)}")
    return mac[:3] + b"\xff\xfe" + mac[3:]


def parse_eui(text: str) -> bytes:
    """Eight bytes from 16 hex digits, with or without ``:`` or ``-``. Raises ``provision.bad_eui``."""
    digits = text.replace(":", "").replace("-", "")
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        value = b""
    if len(value) != 8 or len(digits) != 16:
        raise CommunodeError("provision.bad_eui", usage=True, value=text)
    return value


def new_identity(dev_eui: bytes, join_eui: bytes = NO_JOIN_EUI) -> Identity:
    """A new identity with fresh keys."""
    return Identity(
        dev_eui=dev_eui,
        join_eui=join_eui,
        app_key=secrets.token_bytes(16),
        command_key=secrets.token_bytes(16),
    )
