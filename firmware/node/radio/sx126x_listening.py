# SPDX-License-Identifier: MIT
# Listening before talking with an SX1261/SX1262: the strength on a channel, and channel activity detection.
# Apart from sx126x.py, which imports it at the first use: most regions never listen.
#
# Source: DS = SX1261/2 Rev 2.1.

from micropython import const

from .airtime import symbol_time_us
from .modem import RadioError
from .sx126x_chip import RECEIVING

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from .modem import LoraParameters
    from .sx126x import Sx126x

# IRQ flags, DS table 13-29.
_CAD_DONE = const(0x0080)
_CAD_DETECTED = const(0x0100)

_CAD_SYMBOLS = const(4)
# Detection peak by spreading factor from 5, for four symbols at 125 kHz (Semtech AN1200.48).
_CAD_PEAK = b"\x16\x16\x16\x16\x17\x18\x19\x1c"


def rssi_dbm(radio: "Sx126x") -> int:
    """As in Modem."""
    if radio._state != RECEIVING:
        radio._rest()
        radio._route(0, 1)
        radio._write(b"\x82\xff\xff\xff")
        radio._state = RECEIVING
        radio._wait_ready()
        radio._clock.sleep_us(500)  # the average needs some symbols of noise
    return -(radio._read(b"\x15\x00", 1)[0] >> 1)


def channel_activity(radio: "Sx126x", parameters: "LoraParameters") -> bool:
    """As in Modem."""
    radio._rest()
    radio._configure(parameters, 255)
    radio._write(set_cad(parameters.spreading_factor))
    radio._route(0, 1)
    radio._warm_up()
    radio._write(b"\xc5")
    span_us = _CAD_SYMBOLS * symbol_time_us(parameters.spreading_factor, parameters.bandwidth_hz)
    clock = radio._clock
    clock.sleep_us(span_us)
    for _ in range(50):
        flags = radio._take_flags()
        if flags & _CAD_DONE:
            radio._route(0, 0)
            return bool(flags & _CAD_DETECTED)
        clock.sleep_us(span_us // 16 + 100)
    radio._lost = True
    raise RadioError("cad_timeout")


def set_cad(spreading_factor: int) -> bytes:
    """SetCadParams: four symbols, then standby."""
    return bytes((0x88, 2, _CAD_PEAK[spreading_factor - 5], 10, 0, 0, 0, 0))
