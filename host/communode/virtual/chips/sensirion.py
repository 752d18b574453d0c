# SPDX-License-Identifier: MIT
"""The I2C interface of Sensirion's word-oriented sensors (SCD4x, SPS30), as their datasheets describe it.

A transfer is a 16-bit command, then arguments of 16-bit words, each with its CRC-8; an answer is read in a
transfer of its own after the command's execution time. SCD4x datasheet 1.3 section 3.3, SPS30 1.0 section 6.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from communode.virtual.chips.chip import Environment, I2cChip, Nack, Violation
from communode.virtual.chips.sensing import SensorChip


def crc8(data: bytes) -> int:
    """CRC-8 by long division: x^8 + x^5 + x^4 + 1 over data, initial value 0xFF."""
    remainder = 0xFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder <<= 1
            if remainder > 0xFF:
                remainder ^= 0x131
    return remainder


@dataclass(frozen=True)
class Command:
    """One row of a datasheet's command table."""

    name: str
    modes: tuple[str, ...]  # in which it is understood
    execution_ms: int = 0  # until then the chip does not answer
    words: tuple[int, ...] = (0,)  # how many argument words it may have


class WordChip(SensorChip, I2cChip):
    """Takes commands apart, keeps the chip busy, puts answers together. Subclasses are the commands."""

    commands: ClassVar[dict[int, Command]] = {}

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self.mode = "idle"
        self.busy_until_us = 0
        self._answer: bytes | None = None

    def busy(self) -> bool:
        """Whether a command is still executing."""
        return self.env.now_us() < self.busy_until_us

    def i2c_write(self, address: int, data: bytes) -> int:
        """A command with its arguments."""
        if "nack" in self.faults:
            raise Nack
        self.on_addressed(data)
        if self.busy():
            raise Nack
        if not data:
            return 0  # the address alone, as a scan does
        if len(data) < 2:
            raise Violation(f"{type(self).__name__}: half a command {data.hex()}")
        code = int.from_bytes(data[:2], "big")
        command = self.commands.get(code)
        if command is None:
            raise Violation(f"{type(self).__name__}: unknown command 0x{code:04X}")
        words = self._words(command.name, data[2:])
        if len(words) not in command.words:
            raise Violation(f"{type(self).__name__}: {command.name} with {len(words)} words")
        self._answer = None
        if self.mode not in command.modes:
            self.on_refused(command)
        self.busy_until_us = self.env.now_us() + command.execution_ms * 1000
        result = self.execute(command.name, words)
        if result is not None:
            self._answer = self._framed(result)
        return len(data)

    def i2c_read(self, address: int, count: int) -> bytes:
        """The answer to the last command."""
        if "nack" in self.faults:
            raise Nack
        self.on_addressed(b"")
        if self.busy() or self._answer is None:
            raise Nack
        if count > len(self._answer):
            raise Violation(f"{type(self).__name__}: {count} bytes read of an answer of {len(self._answer)}")
        answer, self._answer = self._answer[:count], None
        return answer

    def _words(self, name: str, data: bytes) -> list[int]:
        if len(data) % 3:
            raise Violation(f"{type(self).__name__}: {name}: arguments are not words with a CRC")
        for n in range(0, len(data), 3):
            if crc8(data[n : n + 2]) != data[n + 2]:
                raise Violation(f"{type(self).__name__}: {name}: wrong CRC of an argument")
        return [int.from_bytes(data[n : n + 2], "big") for n in range(0, len(data), 3)]

    def _framed(self, words: list[int]) -> bytes:
        framed = bytearray()
        for word in words:
            pair = word.to_bytes(2, "big")
            framed += pair + bytes([crc8(pair) ^ (0x55 if "wrong_crc" in self.faults else 0)])
        return bytes(framed)

    def on_addressed(self, data: bytes) -> None:
        """Called first in each transfer: raise `Nack` where the interface is asleep or starting."""

    def on_refused(self, command: Command) -> None:
        """A command in a mode that does not have it."""
        raise Violation(f"{type(self).__name__}: {command.name} while {self.mode}")

    @abstractmethod
    def execute(self, name: str, words: list[int]) -> list[int] | None:
        """Do a command; return the words of its answer, if it has one."""
