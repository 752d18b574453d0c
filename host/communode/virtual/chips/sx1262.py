# SPDX-License-Identifier: MIT
"""A strict SX1262 (or SX1261): LoRa, judged by its datasheet, on a shared air.

What it honours: modes and which command each allows, BUSY by time, the oscillator (a TCXO that nobody
supplied does not start), register file and what sleep forgets, IRQ masks and DIO1, PA table, over-current
limit, antenna switch, symbol counter and RTC timer, and the known limitations of chapter 15. What silicon
would not understand raises Violation. What it does not model: FSK, LR-FHSS, duty-cycled reception, test
modes (all Violations), demodulator drift, temperature.

DS = SX1261/2 Rev 2.1. Wrong IQ polarity register (15.4): the datasheet says that long packets get lost; here
the receiver is deaf, so that no test passes by luck; `iq_register_ignored` forgives it, for foreign drivers
(several have the bit the wrong way round).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from communode.virtual.chips import sx1262_power as power
from communode.virtual.chips.chip import Environment
from communode.virtual.chips.lora import Receiver, symbol_us, time_on_air_us
from communode.virtual.chips.sx1262_configuration import Sx1262Configuration
from communode.virtual.chips.sx1262_core import (
    BUSY_WARM_US,
    CAD_SYMBOLS,
    LOST_IN_SLEEP,
    OCP,
    RESET_REGISTERS,
    XOSC_START_ERROR,
)
from communode.virtual.medium import Transmission

_TCXO_MV = (1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300)

# BUSY in us (DS table 8-2).
_TO_TX = {"standby_rc": 126, "standby_xosc": 105, "fs": 76, "rx": 92}
_TO_RX = {"standby_rc": 83, "standby_xosc": 62, "fs": 41, "rx": 41}
_BUSY_COMMAND_US, _BUSY_XOSC_US, _BUSY_FS_US = 2, 31, 50
_BUSY_CALIBRATE_US = 3500  # DS 13.1.12, all blocks
_FALLING_ASLEEP_US = 500  # DS 13.1.1
_RANDOM = range(0x0819, 0x081D)

_STANDBYS = ("standby_rc", "standby_xosc")
_RESTING = (*_STANDBYS, "fs")
_ALWAYS = (*_RESTING, "tx", "rx", "cad")
_STATUS_MODE = {"standby_rc": 2, "standby_xosc": 3, "fs": 4, "rx": 5, "cad": 5, "tx": 6}

_Handler = Callable[[bytes], None]


class Sx1262(Sx1262Configuration):
    """See the module. Settings beside those of `LoraRadio`: ``chip`` ("sx1262", "sx1261"), ``dio2_rf_switch``
    (whether the board's antenna switch hangs on DIO2), ``tcxo_startup_us``, ``iq_register_ignored``."""

    def __init__(self, env: Environment, **settings: Any) -> None:
        self._selected = self._waking = False
        self._mosi = bytearray()
        self._reply = b""
        self._slept_us = 0
        # opcode: name, parameter lengths, modes that allow it
        self._writes: dict[int, tuple[_Handler, tuple[int, ...], tuple[str, ...]]] = {
            0x84: (self._set_sleep, (1,), _STANDBYS),
            0x80: (self._set_standby, (1,), _ALWAYS),
            0xC1: (self._set_fs, (0,), _RESTING),
            0x83: (self._set_tx, (3,), (*_RESTING, "rx")),
            0x82: (self._set_rx, (3,), (*_RESTING, "rx")),
            0xC5: (self._set_cad, (0,), _RESTING),
            0x9F: (self._set_stop_on_preamble, (1,), _RESTING),
            0x96: (self._set_regulator, (1,), ("standby_rc",)),
            0x89: (self._calibrate, (1,), ("standby_rc",)),
            0x98: (self._calibrate_image, (2,), _STANDBYS),
            0x95: (self._set_pa, (4,), _RESTING),
            0x93: (self._set_fallback, (1,), _RESTING),
            0x08: (self._set_irq_params, (8,), _ALWAYS),
            0x02: (self._clear_irq, (2,), _ALWAYS),
            0x9D: (self._set_dio2, (1,), _RESTING),
            0x97: (self._set_tcxo, (4,), ("standby_rc",)),
            0x86: (self._set_frequency, (4,), _RESTING),
            0x8A: (self._set_packet_type, (1,), ("standby_rc",)),
            0x8E: (self._set_tx_params, (2,), _RESTING),
            0x8B: (self._set_modulation, (4, 8), _RESTING),
            0x8C: (self._set_packet, (6, 9), _RESTING),
            0x88: (self._set_cad_params, (7,), _RESTING),
            0x8F: (self._set_base, (2,), _RESTING),
            0xA0: (self._set_symbols, (1,), _RESTING),
            0x07: (self._clear_errors, (1, 2), _ALWAYS),
            0x00: (self._reset_stats, (0, 6), _ALWAYS),
        }
        self._reads: dict[int, Callable[[], bytes]] = {
            0x12: lambda: self._irq.to_bytes(2, "big"),
            0x13: lambda: bytes(self._rx_status),
            0x14: lambda: bytes(self._packet_status),
            0x15: lambda: bytes([min(255, max(0, round(-2 * self.rssi_now_dbm(self._frequency_hz))))]),
            0x17: lambda: self._errors.to_bytes(2, "big"),
            0x11: lambda: bytes([int(self._lora)]),
            0x10: lambda: bytes(6),
            0xC0: lambda: b"",
        }
        super().__init__(env, **settings)

    # SPI

    def select(self) -> None:
        """NSS falls; out of sleep this wakes the chip."""
        self._selected = True
        self._waking = False
        self._mosi.clear()
        self._reply = b""
        if not self.powered:
            return
        if self.mode in ("sleep", "sleep_cold"):
            now = self.env.now_us()
            self.forbid(now - self._slept_us < _FALLING_ASLEEP_US, "NSS fell within 500 us of SetSleep")
            self._wake(now)

    def transfer(self, mosi: bytes) -> bytes:
        """Clock bytes; the first of a transaction is the opcode."""
        self.forbid(not self._selected, "clocked without NSS")
        if not self.powered or self._waking or self.mode == "reset":
            return bytes(len(mosi))
        self.forbid(bool(self.pin("BUSY")), f"clocked {mosi[:4].hex()} while BUSY")
        self.settle()
        start = len(self._mosi)
        self._mosi += mosi
        if start == 0 and mosi and mosi[0] in self._reads:
            self._reply = self._reads[mosi[0]]()
        return bytes(self._miso(index) for index in range(start, len(self._mosi)))

    def deselect(self) -> None:
        """NSS rises: the command takes effect."""
        if not self._selected:
            return
        self._selected = False
        if not self._mosi:
            return
        command = bytes(self._mosi)
        opcode, parameters = command[0], command[1:]
        self._busy_until = self.env.now_us() + _BUSY_COMMAND_US
        if opcode in self._reads:
            return
        if opcode in (0x0D, 0x0E):
            self._write_memory(opcode, parameters)
            return
        if opcode in (0x1D, 0x1E):
            self.forbid(len(parameters) < (3 if opcode == 0x1D else 2), "read without an address")
            return
        entry = self._writes.get(opcode)
        if entry is None:
            self.forbid(True, f"opcode {opcode:#04x} is unknown or not modelled")
            return
        handler, lengths, modes = entry
        name = handler.__name__.lstrip("_")
        self.forbid(len(parameters) not in lengths, f"{name} with {len(parameters)} parameters")
        self.forbid(self.mode not in modes, f"{name} in mode {self.mode}")
        handler(parameters)

    def _miso(self, index: int) -> int:
        opcode = self._mosi[0]
        if index == 0:
            return self._status()
        if opcode == 0x1D and index >= 4:
            return self._read_register((self._mosi[1] << 8 | self._mosi[2]) + index - 4)
        if opcode == 0x1E and index >= 3:
            return self._buffer[(self._mosi[1] + index - 3) & 0xFF]
        if opcode in self._reads and index >= 2:
            return self._reply[index - 2] if index - 2 < len(self._reply) else 0
        return self._status()

    def _status(self) -> int:
        return _STATUS_MODE.get(self.mode, 0) << 4 | 0x02

    def _read_register(self, address: int) -> int:
        if address in _RANDOM:
            return self.env.rng.randrange(256)
        self.forbid(address not in self._registers, f"register {address:#06x} is not documented")
        return self._registers[address]

    def _write_memory(self, opcode: int, parameters: bytes) -> None:
        if opcode == 0x0E:
            self.forbid(len(parameters) < 2, "WriteBuffer without data")
            for index, byte in enumerate(parameters[1:]):
                self._buffer[(parameters[0] + index) & 0xFF] = byte
            return
        self.forbid(len(parameters) < 3, "WriteRegister without data")
        address = parameters[0] << 8 | parameters[1]
        for index, byte in enumerate(parameters[2:]):
            self.forbid(
                address + index not in self._registers, f"register {address + index:#06x} is not documented"
            )
            self._registers[address + index] = byte
        if address == 0x0902 and not parameters[2]:
            self._stray_timer_us = None  # DS 15.3: the timer is stopped

    # Modes

    def _set_sleep(self, parameters: bytes) -> None:
        now = self.env.now_us()
        self._slept_us = now
        self._buffer = bytearray(b"\xa5" * 256)  # lost either way
        self._stray_timer_us = None
        self._enter("sleep" if parameters[0] & 4 else "sleep_cold", now)

    def _wake(self, now: int) -> None:
        self._waking = True
        if self.mode == "sleep_cold":
            self._forget()
            self._boot(now)
            return
        kept = {
            self._registers[at] << 8 | self._registers[at + 1]
            for at in range(0x02A0, 0x02A0 + 2 * min(self._registers[0x029F], 4), 2)
        }
        for address in LOST_IN_SLEEP:
            if address not in kept:
                self._registers[address] = RESET_REGISTERS[address]
        self._enter("standby_rc", now)
        self._busy_until = now + BUSY_WARM_US

    def _set_standby(self, parameters: bytes) -> None:
        now = self.env.now_us()
        self._stop_radiating(now)
        self._receiver = self._next = self._end_us = None
        if parameters[0] and not self._clock_runs():
            delay = self._start_clock(now)
            if delay is not None:
                self._enter("standby_xosc", now)
                self._busy_until = now + _BUSY_XOSC_US + delay
            return
        self._enter("standby_xosc" if parameters[0] else "standby_rc", now)

    def _clock_runs(self) -> bool:
        return self.mode in ("standby_xosc", "fs", "tx", "rx", "cad")

    def _start_clock(self, now: int) -> int | None:
        """Extra us that the oscillator takes (TCXO: as configured); None when it does not start."""
        if not self.tcxo_mv:
            return 0
        self._busy_until = now + self._tcxo_us + _BUSY_XOSC_US
        supplied = _TCXO_MV[self._tcxo_code] if self._tcxo_code >= 0 else 0
        needed_us = int(self.settings.get("tcxo_startup_us", 2000))
        if supplied < self.tcxo_mv or self._tcxo_us < needed_us:
            self._errors |= XOSC_START_ERROR
            self._enter("standby_rc", now)
            return None
        return self._tcxo_us

    def _set_fs(self, parameters: bytes) -> None:
        now = self.env.now_us()
        delay = 0 if self._clock_runs() else self._start_clock(now)
        if delay is not None:
            self._enter("fs", now)
            self._busy_until = now + _BUSY_FS_US + delay

    def _start(self, mode: str, switch: dict[str, int]) -> int | None:
        """Leave for ``mode``; the time at which it is reached, or None when the clock does not start."""
        now = self.env.now_us()
        self.forbid(not self._lora, "SetPacketType(LoRa) is missing")
        self.forbid(not self._modulation[0], "SetModulationParams is missing")
        self.forbid(not self._packet[0], "SetPacketParams is missing")
        self.forbid(not self._frequency_hz, "SetRfFrequency is missing")
        self.forbid(not self._calibrated, "not calibrated since its TCXO was configured (DS 13.3.6)")
        if not any(low <= self._frequency_hz / 1e6 <= high for low, high in [self._band or (902, 928)]):
            self.note("image rejection is not calibrated for this band")
        delay = 0 if self._clock_runs() else self._start_clock(now)
        if delay is None:
            return None
        ready = now + switch[self.mode] + delay
        self._receiver = None
        self._enter("fs", now)
        self._next = (ready, mode)
        self._busy_until = ready
        return ready

    def _set_tx(self, parameters: bytes) -> None:
        self.forbid(self._pa is None or self._code is None, "SetPaConfig or SetTxParams is missing")
        ready = self._start("tx", _TO_TX)
        if ready is None:
            return
        assert self._pa is not None
        assert self._code is not None
        sf, bandwidth_hz, coding_rate, slow = self._modulation
        preamble, implicit, length, crc, inverted = self._packet
        window = self._window(ready)
        payload = bytes(self._buffer[(self._base[0] + index) & 0xFF] for index in range(length))
        packet = Transmission(
            self.name, ready, ready, self._frequency_hz, sf, bandwidth_hz, coding_rate, preamble,
            inverted, window.sync_word, crc, implicit, payload, 0.0,
        )  # fmt: skip
        self._end_us = ready + time_on_air_us(packet, slow)
        steps = int.from_bytes(parameters, "big")
        self._tx_limit_us = ready + steps * 125 // 8 if steps else None
        out = power.output(self.kind, *self._pa, self._code, self._registers[OCP])
        self._tx_current_ua = out.current_ua
        if out.limited:
            self.note("over-current protection limits the power")
        if not out.tabulated:
            self.note("PA setting is not one of DS table 13-21")
        if slow != (symbol_us(sf, bandwidth_hz) >= 16000):
            self.note("low data rate optimisation does not fit the symbol time")
        if bool(self._registers[0x0889] & 4) != (bandwidth_hz != 500000):
            self.note("DS 15.1: modulation quality register does not fit the bandwidth")
        if self.kind == "sx1262" and self._registers[0x08D8] & 0x1E != 0x1E:
            self.note("DS 15.2: PA clamping is not relaxed")
        self._radiate(replace(packet, end_us=self._end_us), out.conducted_dbm)

    def _sends_to_antenna(self) -> bool:
        return super()._sends_to_antenna() and (self._dio2 or not self.settings.get("dio2_rf_switch"))

    def _set_rx(self, parameters: bytes) -> None:
        ready = self._start("rx", _TO_RX)
        if ready is None:
            return
        steps = int.from_bytes(parameters, "big")
        timed = steps not in (0, 0xFFFFFF)
        counter = self._registers[0x0706]
        window = replace(
            self._window(ready),
            continuous=steps == 0xFFFFFF,
            symbols=counter >> 3 << (2 * (counter & 7) + 1),
            timer_us=ready + steps * 125 // 8 if timed else None,
            stop_on_preamble=self._stop_on_preamble,
        )
        self._receiver = Receiver(self.air, self.name, window)

    def _set_cad(self, parameters: bytes) -> None:
        ready = self._start("cad", _TO_RX)
        if ready is None:
            return
        sf, bandwidth_hz = self._modulation[:2]
        self._end_us = round(ready + (CAD_SYMBOLS[self._cad[0]] + 0.5) * symbol_us(sf, bandwidth_hz))

    # Calibration

    def _calibrate(self, parameters: bytes) -> None:
        now = self.env.now_us()
        delay = self._start_clock(now)
        if delay is None:
            return
        self._busy_until = now + _BUSY_CALIBRATE_US + delay
        if parameters[0] & 0x7F == 0x7F:
            self._calibrated = True
            self._band = None

    def _calibrate_image(self, parameters: bytes) -> None:
        now = self.env.now_us()
        low, high = parameters
        self.forbid(low > high, "CalibrateImage with its frequencies the wrong way round")
        delay = 0 if self._clock_runs() else self._start_clock(now)
        if delay is None:
            return
        self._busy_until = now + _BUSY_CALIBRATE_US + delay
        self._band = (4 * low, 4 * high)
