# SPDX-License-Identifier: MIT
# The bytes of SX1261/SX1262 commands, from units to wire. Pure: no bus, no state.
#
# Not here: when to send them (sx126x.py). Source: DS = SX1261/2 Rev 2.1; each function's result is checked
# against what Semtech's own sx126x_driver 2.3.2 puts on the bus.

from micropython import const

from .modem import RadioError

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from .modem import LoraParameters

MAX_SYMBOLS = const(248)  # DS 13.4.9: what the symbol counter can hold

_TCXO_MV = (1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300)  # DS table 13-35
_BANDWIDTHS = {62500: 3, 125000: 4, 250000: 5, 500000: 6}
# Upper edge in MHz and the two frequencies to calibrate the image rejection at (DS table 9-2).
_IMAGE_BANDS = ((440, 0x6B, 0x6F), (510, 0x75, 0x81), (787, 0xC1, 0xC5), (870, 0xD7, 0xDB), (960, 0xE1, 0xE9))
# Power in dBm, paDutyCycle, hpMax, and the SetTxParams code that gives that power (DS table 13-21).
PA_SX1262 = ((14, 2, 2, 22), (17, 2, 3, 22), (20, 3, 5, 22), (22, 4, 7, 22))
PA_SX1261 = ((10, 1, 0, 13), (14, 4, 0, 14), (15, 6, 0, 14))


def timer(duration_us: int) -> bytes:
    """24 bits in steps of 15.625 us, rounded up (DS 13.1.4); 0 and FFFFFF have meanings of their own."""
    steps = -(-duration_us * 8 // 125)
    return bytes((steps >> 16 & 0xFF, steps >> 8 & 0xFF, steps & 0xFF))


def set_tcxo(supply_mv: int, delay_us: int) -> bytes:
    """SetDIO3AsTcxoCtrl with the next voltage that is not below ``supply_mv``."""
    code = 0
    while code < 7 and _TCXO_MV[code] < supply_mv:
        code += 1
    return bytes((0x97, code)) + timer(delay_us)


def calibrate_image(frequency_hz: int) -> bytes:
    """CalibrateImage for the band of ``frequency_hz``."""
    for top_mhz, low, high in _IMAGE_BANDS:
        if frequency_hz <= top_mhz * 1000000:
            return bytes((0x98, low, high))
    raise RadioError("unsupported")


def set_frequency(frequency_hz: int) -> bytes:
    """SetRfFrequency: steps of 32 MHz / 2^25, to the nearest, within 31-bit integers."""
    whole, part = divmod(frequency_hz, 15625)
    word = (whole << 14) + ((part << 14) + 7812) // 15625
    return bytes((0x86, word >> 24, word >> 16 & 0xFF, word >> 8 & 0xFF, word & 0xFF))


def set_modulation(parameters: "LoraParameters") -> bytes:
    """SetModulationParams. RadioError ``unsupported`` for a bandwidth or spreading factor it lacks."""
    bandwidth = _BANDWIDTHS.get(parameters.bandwidth_hz)
    sf = parameters.spreading_factor
    if bandwidth is None or not 5 <= sf <= 12:
        raise RadioError("unsupported")
    return bytes((0x8B, sf, bandwidth, parameters.coding_rate - 4, 1 if parameters.low_data_rate else 0))


def set_packet(parameters: "LoraParameters", length: int) -> bytes:
    """SetPacketParams for a payload of ``length`` (or, receiving, the longest)."""
    preamble = parameters.preamble_symbols
    header = 1 if parameters.implicit else 0
    crc = 1 if parameters.crc else 0
    return bytes(
        (0x8C, preamble >> 8, preamble & 0xFF, header, length, crc, 1 if parameters.invert_iq else 0)
    )


def sync_words(sync_word: int) -> "tuple[int, int]":
    """The two register bytes of a one-byte sync word: a nibble each (0x34 -> 0x34, 0x44)."""
    return sync_word & 0xF0 | 4, sync_word << 4 & 0xF0 | 4


def set_power(power_dbm: int, small: bool) -> "tuple[bytes, bytes]":
    """SetPaConfig and SetTxParams (ramp 40 us), the efficient way to ``power_dbm``; ``small``: SX1261."""
    for limit, duty, hp_max, code in PA_SX1261 if small else PA_SX1262:
        if power_dbm <= limit:
            config = bytes((0x95, duty, hp_max, 1 if small else 0, 1))
            return config, bytes((0x8E, code - limit + power_dbm & 0xFF, 2))
    raise RadioError("unsupported")


def symbol_counter(symbols: int) -> "tuple[int, int]":
    """What SetLoRaSymbNumTimeout will count for at least ``symbols``, and the register that says it exactly.

    Mantissa * 2^(2 exponent + 1): steps of two up to 62, of eight up to MAX_SYMBOLS.
    """
    mantissa = (min(symbols, MAX_SYMBOLS) + 1) >> 1
    exponent = 0
    while mantissa > 31:
        mantissa = (mantissa + 3) >> 2
        exponent += 1
    return mantissa << (2 * exponent + 1), mantissa << 3 | exponent
