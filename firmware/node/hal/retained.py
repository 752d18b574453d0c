# SPDX-License-Identifier: MIT
# RTC memory as named sections under one checksum: a cache that survives deep sleep and resets, not power
# loss.
#
# Layout: crc32 u32 of the rest, then sections: id u8, length u16, bytes. Anything else is an empty cache.

import struct

import machine

from ..storage.crc import crc32

LIMIT = 2048


class Retained:
    """Read once at boot, written once before sleep."""

    def __init__(self) -> None:
        self._rtc = machine.RTC()
        self.sections: dict[int, bytes] = {}
        data = self._rtc.memory()
        if len(data) < 4 or struct.unpack_from("<I", data)[0] != crc32(data[4:]):
            return
        at = 4
        while at + 3 <= len(data):
            key, length = struct.unpack_from("<BH", data, at)
            self.sections[key] = bytes(data[at + 3 : at + 3 + length])
            at += 3 + length

    def save(self) -> None:
        """Write all sections; ValueError when they exceed what the RTC memory holds."""
        parts = [struct.pack("<BH", key, len(value)) + value for key, value in self.sections.items()]
        body = b"".join(parts)
        if len(body) + 4 > LIMIT:
            raise ValueError("RTC memory full")
        self._rtc.memory(struct.pack("<I", crc32(body)) + body)


class RetainedCell:
    """One section as the cache of the LoRaWAN store; it reaches the RTC memory at `Retained.save`."""

    def __init__(self, retained: Retained, key: int) -> None:
        self._retained = retained
        self._key = key

    def load(self) -> "bytes | None":
        """The section's bytes."""
        return self._retained.sections.get(self._key)

    def save(self, payload: bytes) -> None:
        """Replace them, at once: a reset between two saves must not bring back an older counter."""
        self._retained.sections[self._key] = payload
        self._retained.save()
