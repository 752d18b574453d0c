# SPDX-License-Identifier: MIT
"""DS18B20, the 1-Wire thermometer, bit by bit. DS = Maxim 19-7487 Rev 6, July 2019.

Modelled: ROM commands with search, function commands, scratchpad and EEPROM, conversion time by resolution,
the 85 degC after power-up. External supply; alarm search finds alarms after a conversion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from communode.virtual.chips.chip import Environment, OneWireChip, Violation
from communode.virtual.chips.sensing import SensorChip

_POWER_ON = 0x0550
_CONVERSION_US = (93_750, 187_500, 375_000, 750_000)
_COPY_US = 10_000
_FUNCTIONS = (0x44, 0x4E, 0x48, 0xBE, 0xB8, 0xB4)

Slots = Iterator[int | Callable[[], int] | None]


def tolerance(name: str, value: float) -> float:
    """Stated error (degC): DS electrical characteristics, +-0.5 from -10 to 85."""
    if name != "water_temperature_c":
        raise KeyError(name)
    return 0.5 if -10 <= value <= 85 else 2.0


def crc8(data: bytes) -> int:
    """Maxim's CRC-8, x^8 + x^5 + x^4 + 1, low bit first, as the shift register of DS figure 11."""
    register = 0
    for byte in data:
        for n in range(8):
            feedback = (register ^ byte >> n) & 1
            register = register >> 1 ^ (0x8C if feedback else 0)
    return register


class Ds18b20(SensorChip, OneWireChip):
    """A DS18B20 with its own supply pin."""

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        serial = bytes(env.rng.randrange(256) for _ in range(6))
        self.rom = bytes([0x28]) + serial
        self.rom += bytes([crc8(self.rom)])
        self._bias_c = env.rng.uniform(-0.15, 0.15)
        self._eeprom = bytes([0x4B, 0x46, 0x7F])  # TH, TL, configuration: as delivered
        self._begin()

    def _begin(self) -> None:
        self._raw = _POWER_ON
        self._registers = self._eeprom
        self._converting_until_us: int | None = None
        self._copying_until_us = 0
        self._slots: Slots | None = None
        self._incoming = 0

    def power(self, on: bool) -> None:
        """Without supply the scratchpad is lost."""
        super().power(on)
        if on:
            self._begin()

    # The bus: a generator yields None where it wants a written bit, a bit where it answers, and a function
    # where the bit depends on when it is read.

    def reset(self) -> bool:
        """Whatever was going on ends (a conversion goes on); the chip shows that it is there."""
        if "nack" in self.faults:
            return False
        self._slots = self._protocol()
        self._pending = next(self._slots)
        return True

    def write_bit(self, bit: int) -> None:
        """A write slot."""
        if self._slots is None:
            return
        if self._pending is not None:
            raise Violation("DS18B20: a write slot where it sends")
        self._incoming = bit & 1
        self._advance()

    def read_bit(self) -> int:
        """A read slot; 1 where it does not send."""
        if self._slots is None:
            return 1
        if self._pending is None:
            raise Violation("DS18B20: a read slot in the middle of a command")
        bit = self._pending if isinstance(self._pending, int) else self._pending()
        self._advance()
        return bit

    def _advance(self) -> None:
        assert self._slots is not None
        try:
            self._pending = next(self._slots)
        except StopIteration:
            self._slots = None

    def _byte(self) -> Slots:
        # Take a byte into _taken.
        taken = 0
        for n in range(8):
            yield None
            taken |= self._incoming << n
        self._taken = taken

    @staticmethod
    def _send(data: bytes) -> Iterator[int]:
        for byte in data:
            for n in range(8):
                yield byte >> n & 1

    def _protocol(self) -> Slots:
        yield from self._byte()
        command = self._taken
        if command == 0x33:
            yield from self._send(self.rom)
        elif command == 0x55:
            for byte in self.rom:
                yield from self._byte()
                if self._taken != byte:
                    return
        elif command in (0xF0, 0xEC):
            if command == 0xEC and not self._alarm():
                return
            for byte in self.rom:
                for n in range(8):
                    bit = byte >> n & 1
                    yield bit
                    yield 1 - bit
                    yield None
                    if self._incoming != bit:
                        return
            return
        elif command != 0xCC:
            raise Violation(f"DS18B20: unknown ROM command 0x{command:02X}")
        yield from self._function()

    def _function(self) -> Slots:
        yield from self._byte()
        command = self._taken
        if command not in _FUNCTIONS:
            raise Violation(f"DS18B20: unknown function command 0x{command:02X}")
        self._settle()
        if command == 0x44:
            yield from self._convert()
        elif command == 0x4E:
            registers = bytearray()
            for _ in range(3):
                yield from self._byte()
                registers.append(self._taken)
            registers[2] = registers[2] & 0x60 | 0x1F
            self._registers = bytes(registers)
        elif command == 0x48:
            self._eeprom = self._registers
            self._copying_until_us = self.env.now_us() + _COPY_US
            while True:
                yield lambda: int(self.env.now_us() >= self._copying_until_us)
        elif command == 0xBE:
            yield from self._send(self._scratchpad())
        elif command == 0xB8:
            self._registers = self._eeprom
            while True:
                yield 1
        else:
            yield 1  # external supply

    def _convert(self) -> Slots:
        if self._converting_until_us is not None:
            raise Violation("DS18B20: a conversion is started while one is running")
        duration = _CONVERSION_US[self._registers[2] >> 5 & 3]
        self._converting_until_us = self.env.now_us() + duration
        while True:
            yield self._converted

    def _converted(self) -> int:
        self._settle()
        return int(self._converting_until_us is None)

    def _settle(self) -> None:
        # A conversion that has ended since becomes the value.
        end = self._converting_until_us
        if end is None or self.env.now_us() < end:
            return
        self._converting_until_us = None
        if "warming_up" in self.faults:
            return  # brown-out in the conversion: the power-on value stays
        celsius = self.measured("water_temperature_c", end, 0.02, self._bias_c)
        raw = round((150.0 if "saturated" in self.faults else celsius) * 16)
        raw = max(-55 * 16, min(125 * 16, raw))
        unused = 3 - (self._registers[2] >> 5 & 3)
        self._raw = raw >> unused << unused

    def _alarm(self) -> bool:
        whole = self._raw >> 4
        return whole >= self._registers[0] or whole <= self._registers[1]

    def _scratchpad(self) -> bytes:
        data = (self._raw & 0xFFFF).to_bytes(2, "little") + self._registers + b"\xff\x0c\x10"
        return data + bytes([crc8(data) ^ (0x55 if "wrong_crc" in self.faults else 0)])
