# SPDX-License-Identifier: MIT
# The wired buses of `machine` in front of the virtual board: SPI, I2C and UART.

import time as _time

import ops
from link import LINK as _link


def _pin_number(pin):
    if pin is None:
        return 255
    return pin if isinstance(pin, int) else pin.id


def _memory_address(memaddr, addrsize):
    return bytes([(memaddr >> shift) & 0xFF for shift in range(addrsize - 8, -8, -8)])


class SPI:
    MSB = 0
    LSB = 1
    CONTROLLER = 1

    def __init__(
        self, id, baudrate=1000000, *, polarity=0, phase=0, bits=8, firstbit=0, sck=None, mosi=None, miso=None
    ):
        self._bus = int(id) if id is not None else 9
        self._pins = [_pin_number(p) for p in (sck, mosi, miso)]
        self.init(baudrate, polarity=polarity, phase=phase)

    def init(
        self, baudrate=1000000, *, polarity=0, phase=0, bits=8, firstbit=0, sck=None, mosi=None, miso=None
    ):
        for index, pin in enumerate((sck, mosi, miso)):
            if pin is not None:
                self._pins[index] = _pin_number(pin)
        if bits != 8 or firstbit:
            raise ValueError("the virtual SPI has 8 bits, MSB first")
        _link.call(ops.SPI_INIT, self._bus, baudrate, bytes(self._pins + [polarity, phase]))

    def deinit(self):
        pass

    def write(self, buf):
        _link.post(ops.SPI_WRITE, self._bus, 0, buf)

    def read(self, nbytes, write=0):
        return _link.call(ops.SPI_TRANSFER, self._bus, 0, bytes([write]) * nbytes) if nbytes else b""

    def readinto(self, buf, write=0):
        if len(buf):
            _link.call(ops.SPI_TRANSFER, self._bus, 0, bytes([write]) * len(buf), buf)

    def write_readinto(self, write_buf, read_buf):
        if len(write_buf) != len(read_buf):
            raise ValueError("buffers must be the same length")
        if len(read_buf):
            _link.call(ops.SPI_TRANSFER, self._bus, 0, write_buf, read_buf)


class SoftSPI(SPI):
    def __init__(self, baudrate=500000, **keywords):
        super().__init__(None, baudrate, **keywords)


class I2C:
    def __init__(self, id=None, *, scl=None, sda=None, freq=400000, timeout=50000):
        self._bus = int(id) if id is not None else 9
        _link.call(ops.I2C_INIT, self._bus, freq, bytes((_pin_number(scl), _pin_number(sda))))

    def scan(self):
        found = []
        for address in range(8, 0x78):
            try:
                _link.call(ops.I2C_WRITE, self._bus, address | 0x100)
                found.append(address)
            except OSError:
                pass
        return found

    def writeto(self, addr, buf, stop=True):
        return _link.call(ops.I2C_WRITE, self._bus, addr | (0x100 if stop else 0), buf)

    def writevto(self, addr, vector, stop=True):
        return self.writeto(addr, b"".join(bytes(part) for part in vector), stop)

    def readfrom_into(self, addr, buf, stop=True):
        if len(buf):
            _link.call(ops.I2C_READ, self._bus, addr | len(buf) << 8, None, buf)

    def readfrom(self, addr, nbytes, stop=True):
        buf = bytearray(nbytes)
        self.readfrom_into(addr, buf, stop)
        return bytes(buf)

    def writeto_mem(self, addr, memaddr, buf, *, addrsize=8):
        self.writeto(addr, _memory_address(memaddr, addrsize) + bytes(buf))

    def readfrom_mem_into(self, addr, memaddr, buf, *, addrsize=8):
        self.writeto(addr, _memory_address(memaddr, addrsize), False)
        self.readfrom_into(addr, buf)

    def readfrom_mem(self, addr, memaddr, nbytes, *, addrsize=8):
        buf = bytearray(nbytes)
        self.readfrom_mem_into(addr, memaddr, buf, addrsize=addrsize)
        return bytes(buf)


class SoftI2C(I2C):
    def __init__(self, scl, sda, *, freq=400000, timeout=50000):
        super().__init__(None, scl=scl, sda=sda, freq=freq)


class UART:
    INV_TX = 32
    INV_RX = 4

    def __init__(self, id, baudrate=115200, bits=8, parity=None, stop=1, *, tx=None, rx=None, **keywords):
        if id == 0:
            raise ValueError("UART0 is the console")
        self._bus = id
        self._timeout_ms = 0
        self._pins = [_pin_number(tx), _pin_number(rx)]
        self.init(baudrate, bits, parity, stop, **keywords)

    def init(self, baudrate=115200, bits=8, parity=None, stop=1, *, tx=None, rx=None, timeout=0, **keywords):
        for index, pin in enumerate((tx, rx)):
            if pin is not None:
                self._pins[index] = _pin_number(pin)
        self._timeout_ms = timeout
        mode = bytes(self._pins + [bits, 2 if parity is None else parity, stop])
        _link.call(ops.UART_INIT, self._bus, baudrate, mode)

    def deinit(self):
        pass

    def any(self):
        return _link.call(ops.UART_ANY, self._bus)

    def _wait(self, count):
        end = _time.ticks_add(_time.ticks_ms(), self._timeout_ms)
        while self.any() < count and _time.ticks_diff(end, _time.ticks_ms()) > 0:
            _time.sleep_ms(1)

    def read(self, nbytes=None):
        if self._timeout_ms:
            self._wait(nbytes or 1)
        data = _link.call(ops.UART_READ, self._bus, -1 if nbytes is None else nbytes)
        return data if data else None

    def readinto(self, buf, nbytes=None):
        data = self.read(len(buf) if nbytes is None else nbytes)
        if data is None:
            return None
        buf[: len(data)] = data
        return len(data)

    def readline(self):
        line = b""
        while not line.endswith(b"\n"):
            byte = self.read(1)
            if byte is None:
                break
            line += byte
        return line or None

    def write(self, buf):
        _link.call(ops.UART_WRITE, self._bus, 0, buf)
        return len(buf)

    def flush(self):
        pass
