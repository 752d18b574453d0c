# SPDX-License-Identifier: MIT
"""LoRa time on air for the host side (server schedule, gateway), independent of the node's formula.

Source: AN1200.13 / SX1276 datasheet 4.1.1.7; low data rate optimisation when a symbol lasts 16 ms or
more.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

_LOW_RATE_SYMBOL = Fraction(16, 1000)


def symbol_time(spreading_factor: int, bandwidth_hz: int) -> Fraction:
    """Duration of a symbol in seconds, exact."""
    return Fraction(1 << spreading_factor, bandwidth_hz)


def time_on_air_us(
    spreading_factor: int,
    bandwidth_hz: int,
    length: int,
    *,
    coding_rate: int = 5,
    preamble_symbols: int = 8,
    crc: bool = True,
) -> int:
    """Time on air of ``length`` bytes with explicit header, in microseconds (rounded up).

    ``coding_rate`` is the denominator, 5 to 8; spreading factors 7 to 12.
    """
    symbol = symbol_time(spreading_factor, bandwidth_hz)
    low_rate = 2 if symbol >= _LOW_RATE_SYMBOL else 0
    bits = 8 * length - 4 * spreading_factor + 28 + (16 if crc else 0)
    groups = max(0, ceil(Fraction(bits, 4 * (spreading_factor - low_rate))))
    symbols = preamble_symbols + Fraction(17, 4) + 8 + groups * coding_rate
    return ceil(symbols * symbol * 1_000_000)
