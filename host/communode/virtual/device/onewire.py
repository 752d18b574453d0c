# SPDX-License-Identifier: MIT
# `onewire` with the interface of the stock image's frozen module (micropython-lib onewire 0.1).

import ops
from link import LINK as _link
from machine import _pin_number


class OneWireError(Exception):
    pass


class OneWire:
    SEARCH_ROM = 0xF0
    MATCH_ROM = 0x55
    SKIP_ROM = 0xCC

    def __init__(self, pin):
        self.pin = pin
        self._number = _pin_number(pin)
        pin.init(pin.OPEN_DRAIN, pin.PULL_UP)

    def reset(self, required=False):
        present = bool(_link.call(ops.WIRE_RESET, self._number))
        if required and not present:
            raise OneWireError
        return present

    def readbit(self):
        return _link.call(ops.WIRE_READ, self._number, 1)[0]

    def readbyte(self):
        return _link.call(ops.WIRE_READ, self._number, 8)[0]

    def readinto(self, buf):
        for index in range(len(buf)):
            buf[index] = self.readbyte()

    def writebit(self, value):
        _link.call(ops.WIRE_WRITE, self._number, 1, bytes([1 if value else 0]))

    def writebyte(self, value):
        _link.call(ops.WIRE_WRITE, self._number, 8, bytes([value]))

    def write(self, buf):
        for value in buf:
            self.writebyte(value)

    def select_rom(self, rom):
        self.reset()
        self.writebyte(self.MATCH_ROM)
        self.write(rom)

    def crc8(self, data):
        crc = 0
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = (crc >> 1) ^ (0x8C if crc & 1 else 0)
        return crc

    def scan(self):
        devices = []
        rom = None
        last = 0
        for _ in range(64):
            if not self.reset():
                break
            self.writebyte(self.SEARCH_ROM)
            found = bytearray(8)
            mark = 0
            for bit in range(64):
                one = self.readbit()
                zero = self.readbit()
                if one and zero:
                    return devices
                if one != zero:
                    choice = one
                elif bit + 1 < last:
                    choice = (rom[bit >> 3] >> (bit & 7)) & 1
                else:
                    choice = 1 if bit + 1 == last else 0
                if one == zero and not choice:
                    mark = bit + 1
                found[bit >> 3] |= choice << (bit & 7)
                self.writebit(choice)
            devices.append(found)
            rom = found
            last = mark
            if not last:
                break
        return devices
