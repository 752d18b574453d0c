# SPDX-License-Identifier: MIT
# Exact time on air of a LoRa packet, in integers. Pure.
#
# Not here: duty cycle and dwell time (lorawan/airtime.py), which only need these numbers.
# Sources: DS = SX1261/2 Rev 2.1, 6.1.4 (SF5 and SF6 have two symbols more of preamble and no 8-bit header
# remainder); SX1276/77/78/79 Rev 7, 4.1.1.7.

from micropython import const

TYPE_CHECKING = const(0)  # the compiler drops the block below; mypy takes the name for true

if TYPE_CHECKING:
    from .modem import LoraParameters


def symbol_time_us(spreading_factor: int, bandwidth_hz: int) -> int:
    """Length of one symbol in us, rounded up (exact for 125, 250 and 500 kHz from SF5 on)."""
    return -(-(1000000 << spreading_factor) // bandwidth_hz)


def low_data_rate_needed(spreading_factor: int, bandwidth_hz: int) -> bool:
    """Whether a symbol lasts 16 ms or more, so that both ends must optimise for low rates (DS 6.1.1.4)."""
    return 1000 << spreading_factor >= 16 * bandwidth_hz


def payload_symbols(parameters: "LoraParameters", length: int, sx127x: bool = False) -> int:
    """Symbols of header, ``length`` payload bytes and CRC, that is all after the preamble and sync symbols.

    ``sx127x`` matters for SF6 alone, where the two families differ on air.
    """
    sf = parameters.spreading_factor
    bits = 8 * length - 4 * sf + (16 if parameters.crc else 0) + (0 if parameters.implicit else 20)
    if sf >= 7 or sx127x:
        bits += 8
    per_block = 4 * (sf - 2 if parameters.low_data_rate else sf)
    blocks = -(-bits // per_block) if bits > 0 else 0
    return 8 + blocks * parameters.coding_rate


def time_on_air_us(parameters: "LoraParameters", length: int, sx127x: bool = False) -> int:
    """Time on air in us, rounded up, of ``length`` bytes (PHYPayload) sent with ``parameters``."""
    sf = parameters.spreading_factor
    tail = 17 if sf >= 7 or sx127x else 25  # quarter symbols: sync word and start of frame, 4.25 or 6.25
    quarters = 4 * (parameters.preamble_symbols + payload_symbols(parameters, length, sx127x)) + tail
    return -(-((quarters * 250000) << sf) // parameters.bandwidth_hz)
