# SPDX-License-Identifier: MIT
"""What the calls of ESP-IDF's key-value store (NVS) fail with; numbers from ESP-IDF v5.x nvs.h."""

from __future__ import annotations

NOT_FOUND = 0x1102
NOT_ENOUGH_SPACE = 0x1105
INVALID_NAME = 0x1106
KEY_TOO_LONG = 0x1109
NO_FREE_PAGES = 0x110D
VALUE_TOO_LONG = 0x110E
NEW_VERSION_FOUND = 0x1110

_NAMES = {
    NOT_FOUND: "ESP_ERR_NVS_NOT_FOUND",
    NOT_ENOUGH_SPACE: "ESP_ERR_NVS_NOT_ENOUGH_SPACE",
    INVALID_NAME: "ESP_ERR_NVS_INVALID_NAME",
    KEY_TOO_LONG: "ESP_ERR_NVS_KEY_TOO_LONG",
    NO_FREE_PAGES: "ESP_ERR_NVS_NO_FREE_PAGES",
    VALUE_TOO_LONG: "ESP_ERR_NVS_VALUE_TOO_LONG",
    NEW_VERSION_FOUND: "ESP_ERR_NVS_NEW_VERSION_FOUND",
}


class NvsError(Exception):
    """What the ESP-IDF call would have returned: ``code`` (positive) and ``name``."""

    def __init__(self, code: int) -> None:
        super().__init__(_NAMES[code])
        self.code = code
        self.name = _NAMES[code]


class NvsNotFound(NvsError, KeyError):
    """No such namespace or key, or one of another type."""

    def __init__(self) -> None:
        super().__init__(NOT_FOUND)
