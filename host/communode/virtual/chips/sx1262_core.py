# SPDX-License-Identifier: MIT
"""The inside of the SX1262 model: start, time, modes, flags, pins, energy.

Not here: SPI and commands (``sx1262``), what a receiver hears (``lora``), power tables (``sx1262_power``).

DS = SX1261/2 Rev 2.1. BUSY times: table 8-2 (the same numbers in ST RM0453 table 33: STM32WL has this radio).
"""

from __future__ import annotations

from typing import Any

from communode.virtual.chips import sx1262_power as power
from communode.virtual.chips.chip import Environment
from communode.virtual.chips.lora import Event, Receiver, Window, symbol_us
from communode.virtual.chips.lora_radio import LoraRadio
from communode.virtual.medium import Transmission

TX_DONE, RX_DONE, PREAMBLE, HEADER_VALID = 0x0001, 0x0002, 0x0004, 0x0010
HEADER_ERROR, CRC_ERROR, CAD_DONE, CAD_DETECTED, TIMEOUT = 0x0020, 0x0040, 0x0080, 0x0100, 0x0200
_EVENT_FLAGS = {"preamble": PREAMBLE, "header": HEADER_VALID, "header_error": HEADER_ERROR}

XOSC_START_ERROR = 0x0020

CAD_SYMBOLS = (1, 2, 4, 8, 16)
BUSY_COLD_US, BUSY_WARM_US = 3500, 340

# Registers that may be accessed, with their values after reset (DS table 12-1; 0x0706 and 0x029F.. as
# Semtech's driver uses them).
RESET_REGISTERS = {
    0x0706: 0x00, 0x0736: 0x0D, 0x0740: 0x14, 0x0741: 0x24, 0x0889: 0x01, 0x08AC: 0x94, 0x08D8: 0xC8,
    0x0902: 0x00, 0x0911: 0x05, 0x0912: 0x05, 0x0920: 0x00, 0x0944: 0x00, 0x0580: 0x00, 0x0583: 0x00,
    0x0584: 0x00, 0x0585: 0x00, **dict.fromkeys(range(0x029F, 0x02A8), 0),
}  # fmt: skip
OCP = 0x08E7
LOST_IN_SLEEP = (0x08AC, 0x0889, 0x0736)


class Sx1262Core(LoraRadio):
    """State that time alone changes. See `Sx1262` for settings."""

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self.kind: str = settings.get("chip", "sx1262")
        self._stuck = False
        self._busy_until = 0
        self.power(True)

    def stick_busy(self) -> None:
        """Fault: BUSY stays high until NRESET."""
        self._stuck = True

    def _forget(self) -> None:
        super()._forget()
        self._registers = dict(RESET_REGISTERS)
        self._registers[OCP] = power.DEFAULT_OCP[self.kind]
        self._buffer = bytearray(256)
        self._base = (0, 0)
        self._lora = False
        self._frequency_hz = 0
        self._band: tuple[int, int] | None = None
        self._modulation = (0, 0, 0, False)  # spreading factor, bandwidth, coding rate, low data rate
        self._packet = (0, False, 0, False, False)  # preamble, implicit, length, CRC, inverted IQ
        self._pa: tuple[int, int] | None = None
        self._code: int | None = None
        self._dio2 = False
        self._tcxo_us = 0
        self._tcxo_code = -1
        self._ldo = True
        self._calibrated = False
        self._stop_on_preamble = False
        self._fallback = "standby_rc"
        self._cad = (0, 0)
        self._irq = self._irq_mask = self._dio1_mask = 0
        self._errors = 0
        self._rx_status = (0, 0)
        self._packet_status = (0, 0, 0)
        self._tx_limit_us: int | None = None
        self._tx_current_ua = 0.0
        self._stray_timer_us: int | None = None

    def _restart(self, now: int, supplied: bool) -> None:
        self._stuck = False
        self._boot(now)

    def _boot(self, now: int) -> None:
        self._enter("standby_rc", now)
        self._busy_until = now + BUSY_COLD_US
        if self.tcxo_mv:
            self._errors = XOSC_START_ERROR  # it calibrates itself, and has no clock yet
        else:
            self._calibrated = True

    # Pins

    def pin(self, name: str) -> int:
        """BUSY or DIO1."""
        if not self.powered:
            return 0
        now = self.env.now_us()
        if name == "BUSY":
            sleeping = self.mode in ("sleep", "sleep_cold", "reset")
            return int(self._stuck or sleeping or now < self._busy_until)
        if name == "DIO1":
            self.settle()
            return int(bool(self._irq & self._dio1_mask))
        return super().pin(name)

    def next_change_us(self) -> int | None:
        """As in `LoraRadio`; BUSY is such a pin."""
        soonest = super().next_change_us()
        if self._busy_until <= self.env.now_us():
            return soonest
        return self._busy_until if soonest is None else min(soonest, self._busy_until)

    # Time

    def settle(self) -> None:
        """Bring modes, flags and energy up to now."""
        now = self.env.now_us()
        self._reach_next_mode(now)
        if self.mode == "tx" and self._next is None:
            self._settle_tx(now)
        elif self.mode == "rx" and self._receiver is not None:
            self._settle_rx(now, self._receiver)
        elif self.mode == "cad" and self._end_us is not None and now >= self._end_us:
            self._finish_cad(self._end_us)
        stray = self._stray_timer_us
        if stray is not None and now >= stray:
            self._stray_timer_us = None
            self._raise(TIMEOUT)
            if self.mode == "rx":
                self._receiver = None
                self._enter("standby_rc", stray)

    def _settle_tx(self, now: int) -> None:
        end, limit = self._end_us, self._tx_limit_us
        if end is None:
            return
        if limit is not None and limit < end and now >= limit:
            self._stop_radiating(limit)
            self._end_us = None
            self._enter("standby_rc", limit)
            self._raise(TIMEOUT)
        elif now >= end:
            self._sent = None
            self._end_us = None
            self._enter(self._fallback, end)
            self._raise(TX_DONE)

    def _settle_rx(self, now: int, receiver: Receiver) -> None:
        receiver.deaf = not self._hears_antenna() or not self._hears_iq()
        for event in receiver.advance(now):
            if event.kind == "done":
                self._take_packet(event, receiver.window)
            elif event.kind == "timeout":
                self._raise(TIMEOUT)
                self._enter("standby_rc", event.time_us)
            else:
                self._raise(_EVENT_FLAGS[event.kind])
        if receiver.finished:
            self._receiver = None

    def _take_packet(self, event: Event, window: Window) -> None:
        packet, reception = event.packet, event.reception
        assert packet is not None
        intact = reception is not None and reception.intact and self._same_layout(packet)
        payload = packet.payload if intact else self.damage(packet.payload)
        start = self._base[1]
        for index, byte in enumerate(payload):
            self._buffer[(start + index) & 0xFF] = byte
        self._rx_status = (len(payload), start)
        rssi = reception.rssi_dbm if reception else -120.0
        snr = reception.snr_db if reception else 0.0
        level = min(255, max(0, round(-2 * rssi)))
        self._packet_status = (level, max(-128, min(127, round(4 * snr))) & 0xFF, level)
        self._raise(RX_DONE | (CRC_ERROR if packet.crc and not intact else 0))
        if not window.continuous:
            self._enter(self._fallback, event.time_us)
            if window.implicit and window.timer_us is not None:
                self._stray_timer_us = window.timer_us  # DS 15.3

    def _same_layout(self, packet: Transmission) -> bool:
        """Whether our parameters decode it: low data rate flag, and what an implicit header leaves out."""
        needed = symbol_us(packet.spreading_factor, packet.bandwidth_hz) >= 16000
        if self._modulation[3] != needed:
            return False
        _, implicit, length, crc, _ = self._packet
        layout = (len(packet.payload), packet.crc, packet.coding_rate)
        return not implicit or layout == (length, crc, self._modulation[2])

    def _window(self, open_us: int) -> Window:
        """What we listen for, from ``open_us`` on, without an end."""
        sf, bandwidth_hz, _, _ = self._modulation
        high, low = self._registers[0x0740], self._registers[0x0741]
        return Window(
            open_us=open_us,
            frequency_hz=self._frequency_hz,
            spreading_factor=sf,
            bandwidth_hz=bandwidth_hz,
            invert_iq=self._packet[4],
            sync_word=high & 0xF0 | low >> 4,
            implicit=self._packet[1],
        )

    def _hears_iq(self) -> bool:
        """DS 15.4: bit 2 of the register must be 0 for inverted IQ and 1 otherwise."""
        if self.settings.get("iq_register_ignored"):
            return True
        return bool(self._registers[0x0736] & 4) != self._packet[4]

    def _finish_cad(self, at_us: int) -> None:
        self._end_us = None
        span_us = CAD_SYMBOLS[self._cad[0]] * symbol_us(*self._modulation[:2])
        window = self._window(int(at_us - span_us))
        self._raise(CAD_DONE | (CAD_DETECTED if self._detects(window, at_us) else 0))
        self._enter("standby_rc", at_us)

    def _raise(self, flags: int) -> None:
        self._irq |= flags & self._irq_mask

    def mode_current_ua(self) -> float:
        """Typical supply current, by mode, regulator and gain; with the TCXO while it runs."""
        if self.mode == "tx":
            return self._tx_current_ua + (power.TCXO_UA if self.tcxo_mv else 0)
        mode = {"cad": "rx"}.get(self.mode, self.mode)
        if mode == "rx" and self._registers[0x08AC] == 0x96:
            mode = "rx_boosted"
        clocked = mode in ("standby_xosc", "fs", "rx", "rx_boosted")
        return power.mode_current_ua(mode, self._ldo) + (power.TCXO_UA if clocked and self.tcxo_mv else 0)
