# SPDX-License-Identifier: MIT
"""PMS5003, the particle counter. DS = Plantower PMS5003 manual V2.3, June 2016.

Modelled: frames of 32 bytes, active and passive mode, sleep, commands with their sums, the 30 s after waking
in which values are not stable (here: low). An answer comes some milliseconds after the question; the time of
an active frame (1 s, the manual says 200 ms to 800 ms when the air changes) is an assumption.
"""

from __future__ import annotations

from typing import Any

from communode.virtual.chips.chip import Environment, UartChip, Violation
from communode.virtual.chips.sensing import SensorChip

_BOOT_US = 1_000_000
_PERIOD_US = 1_000_000
_ANSWER_US = 8_000
_BYTE_US = 10_000_000 / 9600
_SETTLED_US = 30_000_000
_SIZES = ("pm1_ug_m3", "pm25_ug_m3", "pm10_ug_m3")


def tolerance(name: str, value: float) -> float:
    """Consistency error (ug/m3): 10 up to 100, then 10 % (DS, technical index)."""
    if name not in _SIZES:
        raise KeyError(name)
    return 10.0 if value <= 100 else 0.1 * value


class Pms5003(SensorChip, UartChip):
    """PMS5003 with SET high."""

    baud_rate = 9600

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self._gain = 1 + env.rng.uniform(-0.04, 0.04)
        self._begin()

    def _begin(self) -> None:
        self.asleep = False
        self.passive = False
        self._awake_us = self.env.now_us()
        self._next_us = self.env.now_us() + _BOOT_US  # the next active frame
        self._heard = b""
        self._sent: list[tuple[int, int]] = []  # (end of the byte, byte)

    def power(self, on: bool) -> None:
        """Active mode after the supply."""
        super().power(on)
        if on:
            self._begin()

    def uart_write(self, data: bytes) -> None:
        """Commands of seven bytes."""
        now = self.env.now_us()
        if "nack" in self.faults or (now < self._awake_us + _BOOT_US and not self.asleep):
            return  # it does not listen while it boots
        self._stream(now)
        self._heard += data
        while len(self._heard) >= 7:
            frame, self._heard = self._heard[:7], self._heard[7:]
            if frame[:2] != b"\x42\x4d" or sum(frame[:5]) != int.from_bytes(frame[5:], "big"):
                raise Violation(f"PMS5003: {frame.hex()} is no command")
            self._do(frame[2], frame[4], now)

    def _do(self, command: int, value: int, now: int) -> None:
        if command == 0xE4:
            if self.asleep and value:
                self._awake_us = now
                self._next_us = now + _BOOT_US
            self.asleep = not value
        elif self.asleep:
            return
        elif command == 0xE1:
            if self.passive and value:
                self._next_us = now + _PERIOD_US
            self.passive = not value
        elif command == 0xE2:
            if self.passive:
                self._frame(now + _ANSWER_US)
        else:
            raise Violation(f"PMS5003: unknown command 0x{command:02X}")

    def _stream(self, until_us: int) -> None:
        while not self.asleep and not self.passive and self._next_us <= until_us:
            self._frame(self._next_us)
            self._next_us += _PERIOD_US

    def uart_read(self, since_us: int, until_us: int) -> bytes:
        """What it finished sending in ``(since_us, until_us]``."""
        if not self.powered or "nack" in self.faults:
            return b""
        self._stream(until_us)
        data = bytes(byte for end, byte in self._sent if since_us < end <= until_us)
        self._sent = [(end, byte) for end, byte in self._sent if end > until_us]
        return data

    def _frame(self, begin_us: int) -> None:
        settled = min(1.0, (begin_us - self._awake_us) / _SETTLED_US)
        masses = [self._mass(name, begin_us, settled) for name in _SIZES]
        error = 0x01 if "warming_up" in self.faults else 0
        words = [28, *masses, *masses, 0, 0, 0, 0, 0, 0, 0x9100 | error]
        frame = b"\x42\x4d" + b"".join(word.to_bytes(2, "big") for word in words)
        total = sum(frame) + ("wrong_crc" in self.faults)
        for n, byte in enumerate(frame + total.to_bytes(2, "big")):
            self._sent.append((begin_us + round((n + 1) * _BYTE_US), byte))

    def _mass(self, name: str, time_us: int, settled: float) -> int:
        if "saturated" in self.faults:
            return 1500
        return max(0, round(self.measured(name, time_us, 0.4) * self._gain * settled))
