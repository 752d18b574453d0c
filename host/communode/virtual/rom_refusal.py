# SPDX-License-Identifier: MIT
"""Why the serial loader (`rom`) refuses a command. Sources: as there."""

from __future__ import annotations

# What went wrong: the code of the ROM (SP "ROM Loader Errors"), the code of the stub (ST commands.h).
BAD_LENGTH = (0x05, 0xC0)
BAD_CHECKSUM = (0x07, 0xC1)
UNKNOWN = (0x05, 0xC3)
FLASH_FAILED = (0x06, 0xC4)
READ_FAILED = (0x09, 0xC4)
WRITE_FAILED = (0x08, 0xC4)
NOT_STARTED = (0x06, 0xC6)
INFLATE_FAILED = (0x0B, 0xC7)
TOO_MUCH = (0x05, 0xC9)
NOT_HERE = (0x05, 0xFF)
TOO_LONG = (0x0A, 0xC0)


class Refused(Exception):
    """The command is answered with ``error``, a pair as above."""

    def __init__(self, error: tuple[int, int]) -> None:
        super().__init__(error)
        self.error = error
