# SPDX-License-Identifier: MIT
# The I2C dialect of Sensirion's SCD4x and SPS30: 16-bit commands, 16-bit words, a CRC-8 after each word.
# Not a driver. Source: SCD4x datasheet 1.3 sections 3.3 and 3.11 (polynomial 0x31, initial value 0xFF,
# 0xBEEF -> 0x92).

from micropython import const

from .reading import TYPE_CHECKING, BadAnswer

if TYPE_CHECKING:
    from .reading import I2c, SleepMs

_POLYNOMIAL = const(0x31)


def crc8(data: "bytes | bytearray", start: int, end: int) -> int:
    # CRC-8 of data[start:end].
    crc = 0xFF
    for n in range(start, end):
        crc ^= data[n]
        for _ in range(8):
            crc = (crc << 1 ^ _POLYNOMIAL if crc & 0x80 else crc << 1) & 0xFF
    return crc


class Words:
    # One chip's words. Raises OSError when the chip does not acknowledge, BadAnswer on a wrong CRC.

    def __init__(self, i2c: "I2c", address: int, sleep_ms: "SleepMs") -> None:
        self._i2c = i2c
        self._address = address
        self._sleep_ms = sleep_ms

    def send(self, command: int, word: "int | None" = None) -> None:
        # Send a command, with an argument word if it takes one.
        data = bytearray(2 if word is None else 5)
        data[0] = command >> 8
        data[1] = command & 0xFF
        if word is not None:
            data[2] = word >> 8
            data[3] = word & 0xFF
            data[4] = crc8(data, 2, 4)
        self._i2c.writeto(self._address, data)

    def tell(self, command: int) -> bool:
        # Send a command that may rightly go unheard; return whether it was acknowledged.
        try:
            self.send(command)
        except OSError:
            return False
        return True

    def fetch(self, command: int, count: int, delay_ms: int) -> bytearray:
        # Send a command and read `count` words `delay_ms` later, as big-endian bytes without the CRCs.
        self.send(command)
        self._sleep_ms(delay_ms)
        data = bytearray(3 * count)
        self._i2c.readfrom_into(self._address, data)
        words = bytearray(2 * count)
        for n in range(count):
            if crc8(data, 3 * n, 3 * n + 2) != data[3 * n + 2]:
                raise BadAnswer
            words[2 * n] = data[3 * n]
            words[2 * n + 1] = data[3 * n + 1]
        return words
