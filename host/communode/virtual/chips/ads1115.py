# SPDX-License-Identifier: MIT
"""ADS1115, the 16-bit converter, with a 4-20 mA level probe on one input. DS = TI SBAS444E, December 2024.

Modelled: pointer and registers, single shot and continuous conversion with the internal clock's error,
multiplexer and range, the address pin. Not modelled: the comparator's output pin.
"""

from __future__ import annotations

from typing import Any

from communode.virtual.chips.chip import Environment, I2cChip, Nack, Violation
from communode.virtual.chips.loop_transmitter import LoopTransmitter
from communode.virtual.chips.loop_transmitter import tolerance as loop_tolerance
from communode.virtual.chips.sensing import SensorChip

_FULL_SCALE_V = (6.144, 4.096, 2.048, 1.024, 0.512, 0.256, 0.256, 0.256)
_RATES = (8, 16, 32, 64, 128, 250, 475, 860)
_INPUTS = ((0, 1), (0, 3), (1, 3), (2, 3), (0, None), (1, None), (2, None), (3, None))
_DEFAULT_CONFIG = 0x8583
_POWER_UP_US = 50  # DS 7.3.1


def tolerance(name: str, value: float) -> float:
    """Error (m) of a level from the probe, the shunt and the converter's own (0.15 % of reading, 3 LSB)."""
    return loop_tolerance(name, value)


class Ads1115(SensorChip, I2cChip):
    """ADS1115; settings: address, channel, full_scale_mm, shunt_mohm, as the driver's, and zero_mm."""

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self.addresses = (int(settings.get("address", 0x48)),)
        self.channel = int(settings.get("channel", 0))
        self.connect()
        self._gain = 1 + env.rng.uniform(-5e-4, 5e-4)
        self._offset_lsb = env.rng.randint(-2, 2)
        self._clock = 1 + env.rng.uniform(-0.1, 0.1)  # DS 5.5: data rate +-10 %
        self._begin()

    def connect(self) -> None:
        """What is wired to the inputs; other front ends override this, `begin_front_end` and `volts`."""
        self.probe = LoopTransmitter(self)
        self._shunt_ohm = (
            self.settings.get("shunt_mohm", 100_000) / 1000 * (1 + self.env.rng.uniform(-5e-4, 5e-4))
        )

    def begin_front_end(self) -> None:
        """The supply came on."""
        self.probe.begin()

    def _begin(self) -> None:
        self._pointer = 0
        self._config = _DEFAULT_CONFIG & 0x7FFF
        self._limits = {2: 0x8000, 3: 0x7FFF}
        self._code = 0
        self._started_us: int | None = None
        self._since_us = self.env.now_us()

    def power(self, on: bool) -> None:
        """Power-on reset: default configuration, no conversion."""
        super().power(on)
        if on:
            self._begin()
            self.begin_front_end()

    def _address(self) -> None:
        if "nack" in self.faults or self.env.now_us() < self._since_us + _POWER_UP_US:
            raise Nack

    def i2c_write(self, address: int, data: bytes) -> int:
        """Pointer, then a register."""
        self._address()
        if not data:
            return 0
        if data[0] > 3:
            raise Violation(f"ADS1115: pointer 0x{data[0]:02X}")
        self._pointer = data[0]
        if len(data) == 1:
            return 1
        if len(data) != 3:
            raise Violation(f"ADS1115: {len(data) - 1} bytes written to a 16-bit register")
        word = data[1] << 8 | data[2]
        if self._pointer == 0:
            raise Violation("ADS1115: the conversion register is read-only")
        if self._pointer == 1:
            self._configure(word)
        else:
            self._limits[self._pointer] = word
        return 3

    def i2c_read(self, address: int, count: int) -> bytes:
        """The register under the pointer."""
        self._address()
        if count > 2:
            raise Violation(f"ADS1115: {count} bytes read of a 16-bit register")
        self._settle()
        if self._pointer == 0:
            word = self._code & 0xFFFF
        elif self._pointer == 1:
            word = self._config | (0x8000 if self._started_us is None else 0)
        else:
            word = self._limits[self._pointer]
        return word.to_bytes(2, "big")[:count]

    def _configure(self, word: int) -> None:
        self._settle()
        converting = self._started_us is not None
        single_shot = word & 0x100
        self._config = word & 0x7FFF
        if not single_shot or (word & 0x8000 and not converting):
            self._started_us = self.env.now_us()

    def conversion_us(self) -> int:
        """Duration of one conversion at the configured rate."""
        return round(1e6 / _RATES[self._config >> 5 & 7] * self._clock)

    def _settle(self) -> None:
        # The last conversion that has ended since becomes the code.
        if self._started_us is None:
            return
        done = (self.env.now_us() - self._started_us) // self.conversion_us()
        if done < 1:
            return
        self._code = self._convert(self._started_us + done * self.conversion_us())
        self._started_us = None if self._config & 0x100 else self._started_us + done * self.conversion_us()

    def _convert(self, time_us: int) -> int:
        positive, negative = _INPUTS[self._config >> 12 & 7]
        volts = self._input(positive, time_us) - self._input(negative, time_us)
        lsb = _FULL_SCALE_V[self._config >> 9 & 7] / 32768
        code = round(volts * self._gain / lsb) + self._offset_lsb
        return max(-32768, min(32767, code))

    def _input(self, channel: int | None, time_us: int) -> float:
        return 0.0 if channel is None else self.volts(channel, time_us)

    def volts(self, channel: int, time_us: int) -> float:
        """Voltage at an input."""
        if channel != self.channel:
            return 0.0
        return self.probe.milliamperes(time_us) / 1000 * float(self._shunt_ohm)
