# SPDX-License-Identifier: MIT
"""What every chip model shares: its environment, its pins, and strictness.

A model is judged by its datasheet, not by our driver: what a real chip would not understand is a
`Violation`, which stops the virtual board loudly. Models own no clock: time is asked of the
environment, and state is brought up to date when somebody looks.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol


class Violation(Exception):
    """The firmware did something that the datasheet forbids or leaves undefined."""


class Nack(Exception):
    """The addressed I2C chip did not acknowledge (absent, unpowered, or busy by its datasheet)."""


class World(Protocol):
    """What there is to be measured, as functions of time."""

    def value(self, name: str, time_us: int) -> float:
        """The true value of series ``name`` (say ``co2_ppm``) at world time ``time_us``."""


class Environment(Protocol):
    """What a chip may ask of the board it sits on."""

    world: World
    rng: random.Random  # seeded by board and chip: same seed, same noise

    def now_us(self) -> int:
        """World time in microseconds; never goes back."""

    def call_at(self, time_us: int, function: Callable[[], None]) -> None:
        """Run ``function`` at a later world time (an interrupt line that rises, say)."""


class Chip:
    """Base of all models. Pins are named as in the datasheet."""

    def __init__(self, env: Environment, **settings: Any) -> None:
        self.env = env
        self.settings = settings
        self.powered = True

    def power(self, on: bool) -> None:
        """The supply goes on or off: off loses all volatile state (override and call super)."""
        self.powered = on

    def set_pin(self, name: str, level: int) -> None:
        """The board drives the chip's input pin ``name``."""
        raise Violation(f"{type(self).__name__} has no input pin {name}")

    def pin(self, name: str) -> int:
        """Level of the chip's output pin ``name``."""
        raise Violation(f"{type(self).__name__} has no output pin {name}")


class I2cChip(Chip, ABC):
    """A target on an I2C bus. Each call is one START..STOP (or repeated START) part of a transfer."""

    addresses: tuple[int, ...] = ()

    @abstractmethod
    def i2c_write(self, address: int, data: bytes) -> int:
        """Take ``data``; return how many bytes were acknowledged. Raise `Nack` if the address is not."""

    @abstractmethod
    def i2c_read(self, address: int, count: int) -> bytes:
        """Give ``count`` bytes. Raise `Nack` if the address is not acknowledged."""


class SpiChip(Chip, ABC):
    """A device on an SPI bus: select, any number of transfers, deselect."""

    @abstractmethod
    def select(self) -> None:
        """NSS goes low."""

    @abstractmethod
    def transfer(self, mosi: bytes) -> bytes:
        """Clock bytes out and in, full duplex, same length."""

    @abstractmethod
    def deselect(self) -> None:
        """NSS goes high: the command takes effect."""


class UartChip(Chip, ABC):
    """A device on a UART. Bytes carry the time at which their stop bit ended."""

    baud_rate: int = 9600

    @abstractmethod
    def uart_write(self, data: bytes) -> None:
        """The board sends ``data``."""

    @abstractmethod
    def uart_read(self, since_us: int, until_us: int) -> bytes:
        """All bytes that the chip finished sending in ``(since_us, until_us]``."""


class I2sChip(Chip, ABC):
    """A microphone on an I2S bus, the left channel."""

    @abstractmethod
    def i2s_read(self, count: int, rate_hz: int, until_us: int) -> bytes:
        """``count`` words of 32 bits (little endian), the last of which ended at ``until_us``."""


class OneWireChip(Chip, ABC):
    """A device on a 1-Wire bus, addressed bit by bit."""

    rom: bytes  # 8 bytes: family code, serial, CRC

    @abstractmethod
    def reset(self) -> bool:
        """A reset pulse; return presence."""

    @abstractmethod
    def write_bit(self, bit: int) -> None:
        """The controller writes one slot."""

    @abstractmethod
    def read_bit(self) -> int:
        """The controller reads one slot (1 = released)."""
