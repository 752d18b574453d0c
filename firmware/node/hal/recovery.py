# SPDX-License-Identifier: MIT
# An I2C bus that frees itself: what its callers see is a transfer that worked, or an OSError.
#
# A target that was interrupted in the middle of a byte (the node was reset, its supply dipped) holds SDA low
# and waits for clocks. UM10204 (I2C specification) 3.1.16: nine clocks, then STOP. If that does not help, and
# where a target stretches the clock for ever, the supply of the sensors does, if the board can switch it.
# ESP-IDF's driver does neither: every transfer runs into its timeout. Recoveries are counted: a bus that is
# shorted must not cost the battery.

import time

from machine import I2C, Pin
from micropython import const

_PULSES = const(9)
_TRIES = const(3)  # a waking
_HALF_US = const(5)
_OFF_MS = const(100)


class RecoveringI2c:
    """machine.I2C on the pins of `bus`; `gate` is the power gate of its sensors, if there is one."""

    def __init__(
        self, number: int, bus: "dict[str, int | str]", gate: "dict[str, int] | None" = None
    ) -> None:
        self._number = number
        self._bus = bus
        self._gate = gate
        self._left = _TRIES
        self.recoveries = 0
        self._open()

    def _open(self) -> None:
        bus = self._bus
        self._i2c = I2C(self._number, scl=Pin(bus["scl"]), sda=Pin(bus["sda"]), freq=bus["frequency_hz"])

    def is_stuck(self) -> bool:
        """Whether somebody holds a line low while nothing is transferred."""
        return not (Pin(self._bus["sda"]).value() and Pin(self._bus["scl"]).value())

    def recover(self) -> bool:
        """Free the bus if it is stuck; whether a transfer is worth another try."""
        if not self._left or not self.is_stuck():
            return False
        self._left -= 1
        scl = Pin(self._bus["scl"], Pin.OPEN_DRAIN, value=1)
        sda = Pin(self._bus["sda"], Pin.OPEN_DRAIN, value=1)
        for _ in range(_PULSES):
            scl.value(0)
            time.sleep_us(_HALF_US)
            scl.value(1)
            time.sleep_us(_HALF_US)
        if sda.value() and scl.value():
            sda.value(0)
            time.sleep_us(_HALF_US)
            sda.value(1)  # STOP: SDA rises while SCL is high
        elif self._gate is not None:
            supply = Pin(self._gate["pin"], Pin.OUT, value=1 - self._gate["on_level"])
            time.sleep_ms(_OFF_MS)
            supply.value(self._gate["on_level"])
            time.sleep_ms(_OFF_MS)
        free = bool(sda.value() and scl.value())
        self._open()
        self.recoveries += free
        return free

    def writeto(self, address: int, data: "bytes | bytearray") -> int:
        """As machine.I2C's."""
        try:
            return self._i2c.writeto(address, data)
        except OSError:
            if not self.recover():
                raise
        return self._i2c.writeto(address, data)

    def readfrom_into(self, address: int, into: bytearray) -> None:
        """As machine.I2C's."""
        try:
            return self._i2c.readfrom_into(address, into)
        except OSError:
            if not self.recover():
                raise
        return self._i2c.readfrom_into(address, into)

    def writeto_mem(self, address: int, register: int, data: "bytes | bytearray") -> None:
        """As machine.I2C's."""
        try:
            return self._i2c.writeto_mem(address, register, data)
        except OSError:
            if not self.recover():
                raise
        return self._i2c.writeto_mem(address, register, data)

    def readfrom_mem_into(self, address: int, register: int, into: bytearray) -> None:
        """As machine.I2C's."""
        try:
            return self._i2c.readfrom_mem_into(address, register, into)
        except OSError:
            if not self.recover():
                raise
        return self._i2c.readfrom_mem_into(address, register, into)
