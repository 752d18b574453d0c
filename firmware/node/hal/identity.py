# SPDX-License-Identifier: MIT
# Who the node is: identity and keys, written to the `nvs` partition by `communode provision`, read-only here.

import esp32


class Identity:
    """dev_eui and join_eui (8 bytes, as printed), app_key (16 bytes); only the EUIs are ever printed."""

    def __init__(self, dev_eui: bytes, join_eui: bytes, app_key: bytes, command_key: bytes) -> None:
        self.dev_eui = dev_eui
        self.join_eui = join_eui
        self.app_key = app_key
        self.command_key = command_key


def read_identity() -> "Identity | None":
    """The identity, or None when the board has not been provisioned."""
    try:
        store = esp32.NVS("identity")
        parts = []
        for key, length in (("dev_eui", 8), ("join_eui", 8), ("app_key", 16), ("command_key", 16)):
            blob = bytearray(length)
            if store.get_blob(key, blob) != length:
                return None
            parts.append(bytes(blob))
    except OSError:
        return None
    return Identity(*parts)
