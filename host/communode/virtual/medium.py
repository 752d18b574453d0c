# SPDX-License-Identifier: MIT
"""What a radio chip model asks of the air: the protocol and the packet, no physics.

The air itself (path loss, collisions, loss) is ``virtual/air.py``; the chips in ``virtual/chips`` and the
gateway only know this page. Times are world time in integer microseconds, powers dBm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Transmission:
    """One LoRa packet on the air, complete from its first moment: what is sent is known when it starts.

    ``start_us`` is the first preamble symbol, ``end_us`` the end of the last symbol. ``coding_rate`` is 5..8,
    ``sync_word`` the one-byte form (0x34 public), ``power_dbm`` the EIRP (conducted + gain - loss).
    """

    source: str
    start_us: int
    end_us: int
    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    coding_rate: int
    preamble_symbols: int
    invert_iq: bool
    sync_word: int
    crc: bool
    implicit: bool
    payload: bytes
    power_dbm: float

    @property
    def symbol_us(self) -> float:
        """Length of one symbol."""
        return (1 << self.spreading_factor) * 1e6 / self.bandwidth_hz


@dataclass(frozen=True)
class Reception:
    """How one receiver hears one transmission. Not ``intact``: locked, but the bytes are damaged."""

    rssi_dbm: float
    snr_db: float
    intact: bool


class Medium(Protocol):
    """The air as seen by one radio. A chip gets it as its setting ``air``."""

    def transmit(self, transmission: Transmission) -> None:
        """Put a packet on the air. Its start may lie a few hundred us ahead (oscillator and PA ramp)."""

    def cut(self, transmission: Transmission, end_us: int) -> None:
        """The carrier stopped early (reset, power loss, standby): from ``end_us`` nothing is on the air and
        nobody receives the packet."""

    def transmissions(self, since_us: int, until_us: int, frequency_hz: int) -> list[Transmission]:
        """All that overlap ``[since_us, until_us)`` within 500 kHz of ``frequency_hz``, by start time."""

    def reception(self, transmission: Transmission, receiver: str) -> Reception | None:
        """How ``receiver`` hears it; None when it notices nothing (too weak, lost, itself sending).

        The answer does not depend on when it is asked, except that ``intact`` turns false (and stays so) once
        a collision begins, and that a packet that was cut is not intact. A chip asks at the lock and again
        at the end.
        """

    def noise_dbm(self, receiver: str, frequency_hz: int, time_us: int) -> float:
        """Thermal noise and other sources in 125 kHz at the receiver, LoRa packets not included."""
