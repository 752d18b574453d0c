# SPDX-License-Identifier: MIT
# The I2S microphone; apart from the other buses, which every node loads.

from machine import I2S, Pin


def make_microphone(bus: "dict[str, int | str]", number: int) -> I2S:
    """I2S, receiving 32 bits of the left channel at the rate that node/dsp weighs; 125 ms of buffer."""
    pins = {"sck": Pin(bus["sck"]), "ws": Pin(bus["ws"]), "sd": Pin(bus["sd"])}
    return I2S(number, mode=I2S.RX, bits=32, format=I2S.MONO, rate=32000, ibuf=16000, **pins)
