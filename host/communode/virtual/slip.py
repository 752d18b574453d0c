# SPDX-License-Identifier: MIT
"""SLIP framing as the ESP boot loaders speak it: 0xC0 before and after each frame.

Works on whole buffers, not byte by byte: a flash image is megabytes of it.
Source: RFC 1055; the leading 0xC0 from "Serial Protocol" of the esptool documentation v5.
"""

from __future__ import annotations

END = b"\xc0"
_MAX_FRAME = 1 << 18  # far above any command (64 KiB, escaped); more is noise


def encode(frame: bytes) -> bytes:
    """The bytes on the wire for one frame."""
    return END + frame.replace(b"\xdb", b"\xdb\xdd").replace(END, b"\xdb\xdc") + END


def decode(escaped: bytes) -> bytes:
    """Undo the escapes between two delimiters."""
    return escaped.replace(b"\xdb\xdc", END).replace(b"\xdb\xdd", b"\xdb")


class Decoder:
    """Takes bytes in any portions and gives whole frames; what lies between frames is dropped."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._inside = False

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that ``data`` completes."""
        frames = []
        for number, piece in enumerate(data.split(END)):
            if number:  # a delimiter came before this piece
                if self._inside and self._pending:
                    frames.append(decode(bytes(self._pending)))
                    self._inside = False
                else:
                    self._inside = True
                self._pending.clear()
            if self._inside and len(self._pending) < _MAX_FRAME:
                self._pending += piece
        return frames
