# SPDX-License-Identifier: MIT
# What all sensor drivers share. The contract:
#
#   sensor = module.Sensor(bus, sleep_ms, **settings)   settings are ints, judged by communode.profiles
#   sensor.start() -> int     begins a measurement; milliseconds until read() makes sense
#   sensor.read() -> tuple    of (quantity code, value in base units or None, quality)
#   sensor.stop()             leaves the chip at the lowest power that keeps its measurements good
#
# A driver that computes with what others measure has `use(readings)`, which is called before each read() with
# {code: (value, quality)} of the sensors that were read before it. read() may answer an int instead: so many
# milliseconds later it wants to be asked again (a second step, at most two of them).
#
# A fault of the bus or the chip never raises: its quantities come back without value, ABSENT when the chip
# did not answer start(), FAULT when it answered wrongly or stopped answering. Tries are counted; a wait
# inside a call goes through sleep_ms and stays below 60 ms. After a deep sleep a driver is built anew:
# what it must know of the time before, it asks the chip.

from micropython import const

from ..schema.quantities import ABSENT, FAULT

TYPE_CHECKING = const(0)  # the compiler drops the block below; mypy takes the name for true

if TYPE_CHECKING:
    from collections.abc import Callable

    Reading = tuple[int, int | None, int]  # quantity code, value in base units, quality
    Readings = dict[int, tuple[int | None, int]]  # what was measured so far
    SleepMs = Callable[[int], None]

    class I2c:
        """Handed in: ``machine.I2C``. Each call raises OSError when the chip does not acknowledge."""

        def writeto(self, address: int, data: "bytes | bytearray") -> int: ...
        def readfrom_into(self, address: int, into: bytearray) -> None: ...
        def writeto_mem(self, address: int, register: int, data: "bytes | bytearray") -> None: ...
        def readfrom_mem_into(self, address: int, register: int, into: bytearray) -> None: ...

    class Uart:
        """Handed in: ``machine.UART``, set up for the sensor, with a timeout of 0."""

        def read(self) -> "bytes | None": ...
        def write(self, data: "bytes | bytearray") -> int: ...

    class I2s:
        """Handed in: ``machine.I2S`` in receive mode, mono, 32 bits, blocking."""

        def readinto(self, into: bytearray) -> int: ...

    class OneWire:
        """Handed in: ``onewire.OneWire`` of the stock image."""

        def reset(self) -> bool: ...
        def writebyte(self, byte: int) -> None: ...
        def readinto(self, into: bytearray) -> None: ...

    class Ulp:
        """Handed in: the coprocessor and its memory; each call raises OSError where there is none."""

        is_wake: bool  # it has run since before this boot

        def open(self) -> None: ...
        def read(self, address: int) -> int: ...
        def write(self, address: int, value: int) -> None: ...
        def load(self, program: bytes) -> None: ...
        def run(self, entry: int, period_us: int) -> None: ...

    class Adc:
        """Handed in: ``machine.ADC``."""

        def read_uv(self) -> int: ...


TRIES = const(3)


class BadAnswer(OSError):
    # The chip answered, but not what it can have meant (checksum, identity, impossible value).
    pass


def without_value(codes: "tuple[int, ...]", quality: int) -> "tuple[Reading, ...]":
    return tuple([(code, None, quality) for code in codes])


def known(readings: "Readings", code: int, low: int, high: int) -> "int | None":
    # The value of `code` where it is good and within low..high, else None.
    value, quality = readings.get(code, (None, ABSENT))
    if value is None or quality or not low <= value <= high:
        return None
    return value


def bad_quality(error: OSError) -> int:
    # The quality of values lost to `error` in start().
    return FAULT if isinstance(error, BadAnswer) else ABSENT
