# SPDX-License-Identifier: MIT
"""A bench for chip models on CPython: MicroPython's bus objects over models, time that only sleep moves."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from communode.virtual.chips import SENSOR_CHIPS
from communode.virtual.chips.chip import I2cChip, Nack, OneWireChip, UartChip
from communode.virtual.ulp import MEMORY_BASE, Ulp

TWO_STEPS = {"EzoDo", "EzoEc", "EzoOrp", "EzoPh", "Pms5003"}  # whose first read() asks to be asked again
BYTE_US = 90  # nine bits at 100 kHz


class Still:
    """A world where nothing changes but what a test changes."""

    def __init__(self, **values: float) -> None:
        self.values = values

    def value(self, name: str, time_us: int) -> float:
        return self.values[name]


class Bench:
    """Environment of the chips, clock of the driver."""

    def __init__(self, world: Any, seed: int = 1) -> None:
        self.world = world
        self.seed = seed
        self.rng = random.Random(seed)
        self.time_us = 0
        self.slept_ms: list[int] = []

    def now_us(self) -> int:
        return self.time_us

    def call_at(self, time_us: int, function: Callable[[], None]) -> None:
        raise AssertionError("these models need no interrupts")

    def wait(self, seconds: float) -> None:
        self.time_us += round(seconds * 1e6)

    def sleep_ms(self, duration_ms: int) -> None:
        """What a driver gets; its waits within a call are bounded."""
        assert 0 <= duration_ms < 60
        self.slept_ms.append(duration_ms)
        self.wait(duration_ms / 1000)

    def chip(self, driver: str, powered_for_s: float = 2.0, **settings: Any) -> Any:
        """A model that has been powered for a while."""
        model = SENSOR_CHIPS[driver](self, **settings)
        self.wait(powered_for_s)
        return model

    def cycle(
        self,
        sensor: Any,
        known: dict[int, tuple[int | None, int]] | None = None,
        when_ready: Callable[[], None] = lambda: None,
    ) -> dict[int, tuple[int | None, int]]:
        """start, wait, read, stop: ``{code: (value, quality)}``.

        ``known`` is what other sensors measured; ``when_ready`` is called before the last read.
        """
        steps = [sensor.start()]
        while True:
            self.wait(steps[-1] / 1000)
            if hasattr(sensor, "use"):
                sensor.use(known or {})
            if len(steps) == (2 if type(sensor).__name__ in TWO_STEPS else 1):
                when_ready()
            readings = sensor.read()
            if not isinstance(readings, int):
                break
            steps.append(readings)
            assert len(steps) <= 3
        sensor.stop()
        assert isinstance(readings, tuple)
        assert all(value is None or isinstance(value, int) for _, value, _ in readings)
        return {code: (value, quality) for code, value, quality in readings}


class I2c:
    """``machine.I2C``: a chip that does not acknowledge is an OSError."""

    def __init__(self, bench: Bench, *chips: Any) -> None:
        self.bench = bench
        self.chips = list(chips)
        self.transfers = 0

    def _chip(self, address: int, size: int) -> Any:
        self.transfers += 1
        if any(chip.powered and chip.faults & {"stuck_sda", "held_sda"} for chip in self.chips):
            self.bench.time_us += 50_000  # machine.I2C's timeout
            raise OSError(116)
        self.bench.time_us += BYTE_US * (size + 1)
        for chip in self.chips:
            if address in chip.addresses and chip.powered:
                return chip
        raise OSError(19)

    def writeto(self, address: int, data: bytes) -> int:
        try:
            return self._chip(address, len(data)).i2c_write(address, bytes(data))
        except Nack as error:
            raise OSError(19) from error

    def readfrom_into(self, address: int, into: bytearray) -> None:
        try:
            into[:] = self._chip(address, len(into)).i2c_read(address, len(into))
        except Nack as error:
            raise OSError(19) from error

    def writeto_mem(self, address: int, register: int, data: bytes) -> None:
        self.writeto(address, bytes([register]) + bytes(data))

    def readfrom_mem(self, address: int, register: int, size: int) -> bytes:
        data = bytearray(size)
        self.readfrom_mem_into(address, register, data)
        return bytes(data)

    def readfrom_mem_into(self, address: int, register: int, into: bytearray) -> None:
        self.writeto(address, bytes([register]))
        self.readfrom_into(address, into)


class SmBus:
    """``smbus2.SMBus`` over the same models, for drivers that are not ours."""

    def __init__(self, bench: Bench, *chips: I2cChip) -> None:
        self._i2c = I2c(bench, *chips)

    def read_byte_data(self, address: int, register: int) -> int:
        return self.read_i2c_block_data(address, register, 1)[0]

    def write_byte_data(self, address: int, register: int, value: int) -> None:
        self._i2c.writeto_mem(address, register, bytes([value]))

    def write_i2c_block_data(self, address: int, register: int, data: list[int]) -> None:
        self._i2c.writeto_mem(address, register, bytes(data))

    def read_i2c_block_data(self, address: int, register: int, length: int) -> list[int]:
        data = bytearray(length)
        self._i2c.readfrom_mem_into(address, register, data)
        return list(data)


class Transceiver:
    """Transport of the package ``sensirion-i2c-driver`` (its API version 1) over the same models."""

    API_VERSION = 1
    channel_count = None
    description = "bench"

    def __init__(self, bench: Bench, *chips: I2cChip) -> None:
        self._bench = bench
        self._i2c = I2c(bench, *chips)

    def transceive(
        self,
        slave_address: int,
        tx_data: bytes | None,
        rx_length: int | None,
        read_delay: float,
        timeout: float,
    ) -> tuple[int, Exception | None, bytes]:
        received = bytearray(rx_length or 0)
        try:
            if tx_data is not None:
                self._i2c.writeto(slave_address, tx_data)
            self._bench.wait(read_delay)
            if rx_length:
                self._i2c.readfrom_into(slave_address, received)
        except OSError as error:
            return 2, error, b""
        return 0, None, bytes(received)


class Uart:
    """``machine.UART`` with a timeout of 0 and a receive buffer of 256 bytes."""

    def __init__(self, bench: Bench, chip: UartChip) -> None:
        self._bench = bench
        self._chip = chip
        self._since_us = bench.time_us

    def read(self) -> bytes | None:
        if not self._chip.powered:
            return None
        data = self._chip.uart_read(self._since_us, self._bench.time_us)[:256]
        self._since_us = self._bench.time_us
        return data or None

    def write(self, data: bytes) -> int:
        self._bench.time_us += len(data) * 1042
        self._chip.uart_write(bytes(data))
        return len(data)


class I2s:
    """``machine.I2S``: reading takes as long as what is heard."""

    def __init__(self, bench: Bench, chip: Any, rate_hz: int = 32_000) -> None:
        self._bench = bench
        self._chip = chip
        self._rate_hz = rate_hz

    def readinto(self, into: bytearray) -> int:
        count = len(into) // 4
        self._bench.time_us += count * 1_000_000 // self._rate_hz
        into[:] = bytes(len(into))
        if self._chip.powered:
            into[:] = self._chip.i2s_read(count, self._rate_hz, self._bench.time_us)
        return len(into)


class UlpHandle:
    """``node.hal.ulp.Ulp`` over the virtual coprocessor of an ESP32-S3, with a contact at GPIO2.

    It shares its supply with the contact; where the contact is ``nack``, nothing answers at all.
    """

    def __init__(self, bench: Bench, contact: Any, chip: str = "esp32s3") -> None:
        self._bench = bench
        self._contact = contact
        self._chip = chip
        self._powered: Callable[[bool], None] = contact.power
        contact.power = self._power
        self.is_wake = False
        self.coprocessor = self._new()

    def _new(self) -> Ulp:
        return Ulp(self._chip, self, random.Random(self._bench.time_us))

    def _power(self, on: bool) -> None:
        self._powered(on)
        self.coprocessor = self._new()

    def level(self, gpio: int, time_us: int) -> int:
        return int(self._contact.level(time_us))

    def next_change(self, gpio: int, time_us: int) -> int:
        return int(self._contact.next_change(time_us))

    def open(self) -> None:
        if not self._contact.powered or "nack" in self._contact.faults:
            raise OSError(19)

    def read(self, address: int) -> int:
        self.open()
        return self.coprocessor.read(MEMORY_BASE + address, self._bench.time_us)

    def write(self, address: int, value: int) -> None:
        self.open()
        self.coprocessor.write(MEMORY_BASE + address, value, self._bench.time_us)

    def load(self, program: bytes) -> None:
        self.coprocessor.load(0, program, self._bench.time_us)

    def run(self, entry: int, period_us: int) -> None:
        self.coprocessor.set_period(period_us)
        self.coprocessor.run(entry, self._bench.time_us)


class OneWire:
    """``onewire.OneWire`` of the stock image over models on one line."""

    def __init__(self, bench: Bench, *chips: OneWireChip) -> None:
        self._bench = bench
        self._chips = chips

    def reset(self) -> bool:
        self._bench.time_us += 960
        presence = [chip.reset() for chip in self._chips if chip.powered]  # each hears the pulse
        return any(presence)

    def writebit(self, bit: int) -> None:
        self._bench.time_us += 70
        for chip in self._chips:
            chip.write_bit(bit)

    def readbit(self) -> int:
        self._bench.time_us += 70
        return min([chip.read_bit() for chip in self._chips], default=1)

    def writebyte(self, byte: int) -> None:
        for n in range(8):
            self.writebit(byte >> n & 1)

    def readbyte(self) -> int:
        return sum(self.readbit() << n for n in range(8))

    def readinto(self, into: bytearray) -> None:
        for n in range(len(into)):
            into[n] = self.readbyte()
