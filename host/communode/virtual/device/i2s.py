# SPDX-License-Identifier: MIT
# `machine.I2S` as the ESP32 port of MicroPython 1.27 has it, receiving, blocking.

import ops
from link import LINK as _link


class I2S:
    RX = 9
    TX = 10
    STEREO = 0
    MONO = 1

    def __init__(self, id, *, sck, ws, sd, mck=None, mode=9, bits=16, format=0, rate=22050, ibuf=0):
        if mode != I2S.RX:
            raise ValueError("the virtual I2S receives only")
        self._bus = id
        channels = 1 if format == I2S.MONO else 2
        pins = [pin if isinstance(pin, int) else pin.id for pin in (sck, ws, sd)]
        _link.call(ops.I2S_INIT, id, rate, bytes(pins + [bits, channels]))

    def readinto(self, buf):
        if len(buf):
            _link.call(ops.I2S_READ, self._bus, len(buf), None, buf)
        return len(buf)

    def deinit(self):
        pass
