# SPDX-License-Identifier: MIT
"""VL53L1X, the time-of-flight distance sensor. DS = ST DS12385; UM = UM2356, UM2510 (ST's API).

Modelled: boot, identification, 16-bit register addresses with auto-increment, the block of configuration that
must be written before it can range, ranging with the timing budget of its registers, new-range flag with its
polarity, range status. Not modelled: photons, regions of interest, crosstalk.
"""

from __future__ import annotations

from typing import Any

from communode.virtual.chips.chip import Environment, I2cChip, Nack, Violation
from communode.virtual.chips.sensing import SensorChip

_BOOT_US = 1_200  # DS 3.6
_CONFIGURATION = range(0x2D, 0x88)
_MODEL = bytes([0xEA, 0xCC, 0x10])
# RANGE_CONFIG__TIMEOUT_MACROP_A_HI: timing budget, long distance then short (UM2510).
_BUDGETS_US = {
    0x001E: 20_000, 0x0060: 33_000, 0x00AD: 50_000, 0x01CC: 100_000, 0x02D9: 200_000, 0x048F: 500_000,
    0x001D: 15_000, 0x0051: 20_000, 0x00D6: 33_000, 0x01AE: 50_000, 0x02E1: 100_000, 0x03E1: 200_000,
    0x0591: 500_000,
}  # fmt: skip
_WRITABLE = {0x00, 0x01, 0x08, 0x0B, *range(0x16, 0x26), *_CONFIGURATION}
_VALID, _SIGNAL_FAIL = 9, 4
_FAR_MM = 4000


def tolerance(name: str, value: float) -> float:
    """Error: 25 mm in the dark (DS table 10); as fill level alike."""
    if name == "bin_distance_mm":
        return 25.0
    if name == "bin_fill_pct":
        return 100 * 25 / 1300
    raise KeyError(name)


class Vl53l1x(SensorChip, I2cChip):
    """VL53L1X; setting address (0x29 after power-on)."""

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self.addresses = (int(settings.get("address", 0x29)),)
        self._bias_mm = env.rng.uniform(-10, 10)
        self._begin()

    def _begin(self) -> None:
        self._since_us = self.env.now_us()
        self._registers: dict[int, int] = dict.fromkeys(range(0x200), 0)
        self._registers[0x30] = 0x01
        for n, byte in enumerate(_MODEL):
            self._registers[0x10F + n] = byte
        self._registers[0xE5] = 0x03
        self._pointer = 0
        self._configured: set[int] = set()
        self._next_us: int | None = None
        self._fresh = False

    def power(self, on: bool) -> None:
        """It boots without configuration."""
        super().power(on)
        if on:
            self._begin()

    def _addressed(self) -> None:
        if "nack" in self.faults or self.env.now_us() < self._since_us + _BOOT_US:
            raise Nack

    def i2c_write(self, address: int, data: bytes) -> int:
        """Register address (two bytes), then registers."""
        self._addressed()
        if not data:
            return 0
        if len(data) < 2:
            raise Violation("VL53L1X: half a register address")
        self._settle()
        self._pointer = data[0] << 8 | data[1]
        for n, byte in enumerate(data[2:]):
            self._write(self._pointer + n, byte)
        return len(data)

    def _write(self, register: int, byte: int) -> None:
        if register not in _WRITABLE:
            raise Violation(f"VL53L1X: register 0x{register:04X} is not for writing")
        self._registers[register] = byte
        if register in _CONFIGURATION:
            self._configured.add(register)
        if register == 0x86 and byte & 1:
            self._fresh = False
        elif register == 0x87:
            self._start(byte)

    def _start(self, mode: int) -> None:
        if mode not in (0x00, 0x10, 0x21, 0x40):
            raise Violation(f"VL53L1X: mode 0x{mode:02X}")
        if not mode:
            self._next_us = None
            return
        if len(self._configured) < len(_CONFIGURATION):
            raise Violation("VL53L1X: ranging is started before the configuration was written (UM2510 2.1)")
        self._next_us = self.env.now_us() + self._budget_us()

    def _budget_us(self) -> int:
        code = self._registers[0x5E] << 8 | self._registers[0x5F]
        if code not in _BUDGETS_US:
            raise Violation(f"VL53L1X: no timing budget has the code 0x{code:04X}")
        return _BUDGETS_US[code]

    def _settle(self) -> None:
        if self._next_us is None or self.env.now_us() < self._next_us or "warming_up" in self.faults:
            return
        lasts = self._budget_us()
        at = self._next_us + (self.env.now_us() - self._next_us) // lasts * lasts
        self._next_us = at + lasts
        distance = round(self.measured("bin_distance_mm", at, 2.0, self._bias_mm))
        far = "saturated" in self.faults or not 0 <= distance <= _FAR_MM
        self._registers[0x89] = _SIGNAL_FAIL if far else _VALID
        distance = max(0, min(0xFFFF, distance))
        self._registers[0x96], self._registers[0x97] = distance >> 8, distance & 0xFF
        self._fresh = True

    def i2c_read(self, address: int, count: int) -> bytes:
        """Registers from the address on."""
        self._addressed()
        self._settle()
        data = bytearray()
        for n in range(count):
            register = self._pointer + n
            if register not in self._registers:
                raise Violation(f"VL53L1X: there is no register 0x{register:04X}")
            data.append(self._flag() if register == 0x31 else self._registers[register])
        return bytes(data)

    def _flag(self) -> int:
        # Bit 4 of GPIO_HV_MUX__CTRL: interrupt active low.
        active_low = self._registers[0x30] >> 4 & 1
        return self._registers[0x31] & 0xFE | (int(self._fresh) ^ active_low)
