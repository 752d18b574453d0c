# SPDX-License-Identifier: MIT
# Fields of bits, most significant first, in bytes. Pure.


class BitWriter:
    """Collects fields; `to_bytes` pads the last byte with zeros."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._pending = 0
        self._count = 0

    def put(self, value: int, bits: int) -> None:
        """Append `value` in `bits` bits."""
        if value < 0 or value >> bits:
            raise ValueError("value does not fit its field")
        self._pending = self._pending << bits | value
        self._count += bits
        while self._count >= 8:
            self._count -= 8
            self._bytes.append(self._pending >> self._count & 0xFF)
        self._pending &= (1 << self._count) - 1

    def to_bytes(self) -> bytes:
        """All fields so far, padded."""
        tail = bytes((self._pending << (8 - self._count) & 0xFF,)) if self._count else b""
        return bytes(self._bytes) + tail


class BitReader:
    """Takes fields from `data`; raises ValueError beyond its end."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data = data
        self._at = start * 8

    def take(self, bits: int) -> int:
        """The next `bits` bits as an unsigned number."""
        end = self._at + bits
        if end > len(self._data) * 8:
            raise ValueError("payload too short")
        value = 0
        first = self._at >> 3
        last = end + 7 >> 3
        for byte in self._data[first:last]:
            value = value << 8 | byte
        value >>= last * 8 - end
        self._at = end
        return value & (1 << bits) - 1
