# SPDX-License-Identifier: MIT
"""The wire between the application processor and the board around it: operations and frames.

The other end is ``device/link.py``, which runs on MicroPython; ``device/ops.py`` is made from `Op`.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

REQUEST = struct.Struct("<BBHiIQ")
REPLY = struct.Struct("<qQIHH")


class Op(enum.IntEnum):
    """What the processor can ask. ``a`` and ``b`` are the small arguments named in the comment."""

    PIN_MODE = 1  # a pin, b mode | pull << 4
    PIN_SET = 2  # a pin, b level; posted
    PIN_GET = 3  # a pin
    PIN_IRQ = 4  # a pin, b trigger (0 = off)
    IRQ_TAKE = 5  # -> mask bytes of pins whose interrupt is pending
    I2C_INIT = 10  # a bus, b frequency, data: scl, sda
    I2C_WRITE = 11  # a bus, b address | stop << 8, data -> bytes acknowledged
    I2C_READ = 12  # a bus, b address | count << 8 -> bytes
    SPI_INIT = 15  # a bus, b baud, data: sck, mosi, miso, polarity, phase
    SPI_TRANSFER = 16  # a bus, data -> same length
    SPI_WRITE = 17  # a bus, data; posted
    UART_INIT = 20  # a bus, b baud, data: tx, rx, bits, parity, stop
    UART_WRITE = 21  # a bus, data
    UART_READ = 22  # a bus, b most bytes -> bytes
    UART_ANY = 23  # a bus
    ADC_READ = 25  # a pin -> microvolts
    I2S_INIT = 26  # a bus, b rate, data: sck, ws, sd, bits, channels
    I2S_READ = 27  # a bus, b bytes -> bytes; takes as long as they sound
    WIRE_RESET = 28  # a pin -> presence
    WIRE_WRITE = 29  # a pin, data: bytes, LSB first
    WIRE_READ = 30  # a pin, b bits -> bytes
    FLASH_READ = 35  # b offset, a length -> bytes
    FLASH_PROGRAM = 36  # b offset, data
    FLASH_ERASE = 37  # b offset (one 4 KiB sector)
    NVS_GET = 40  # a kind, data: namespace NUL key -> blob or value
    NVS_SET = 41  # a kind, b value, data: namespace NUL key NUL blob
    NVS_ERASE = 42  # data: namespace NUL key
    NVS_COMMIT = 43
    RTC_GET = 45  # -> RTC memory
    RTC_PUT = 46  # data
    RTC_SET = 47  # data: new RTC microseconds, i64
    RANDOM = 50  # b count -> bytes
    RESET = 51  # a kind (0 hard, 1 watchdog)
    DEEP_SLEEP = 52  # data: ms u64, wake pins
    LIGHT_SLEEP = 53  # data: ms u64
    WDT_START = 54  # b ms
    WDT_FEED = 55
    SLEEP = 56  # data: us u64; ends early when an interrupt comes
    WAKE_PINS = 57  # a level, data: pins
    COUNTER = 58  # a pin, b 0 start, 1 read, 2 stop -> count
    BOOT = 60  # -> JSON: everything the processor must know at start
    READY = 61  # the image is up and turns to boot.py: from here on Ctrl-C means something; posted
    MEM_READ = 62  # b address of a word of RTC slow memory -> word
    MEM_WRITE = 63  # b address, data: word
    ULP_PERIOD = 64  # b us
    ULP_LOAD = 65  # b address, data: program
    ULP_RUN = 66  # b entry
    NOTE = 59  # a kind, data: a mark for the energy ledger; posted


POSTED = frozenset({Op.PIN_SET, Op.SPI_WRITE, Op.READY, Op.NOTE})


@dataclass(frozen=True)
class Request:
    """One frame from the processor."""

    op: Op
    seq: int
    a: int
    b: int
    time_us: int
    data: bytes


def device_ops() -> str:
    """Source of the MicroPython module ``ops``: the operations as constants."""
    return "".join(f"{op.name} = {op.value}\n" for op in Op)
