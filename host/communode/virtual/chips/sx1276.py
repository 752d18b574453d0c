# SPDX-License-Identifier: MIT
"""A strict SX1276 (77, 78, 79; RFM95): LoRa, judged by its datasheet, on a shared air.

What it honours: registers and their fields, modes and the time between them, the FIFO and its pointers, IRQ
flags (cleared by writing ones) and their mask, DIO mapping, symbol timeout, PA pins and over-current limit,
inverted IQ in both its registers. What silicon would not understand raises Violation. What it does not
model: FSK (a Violation beyond idling), frequency hopping, automatic gain, spreading factor 6.

DS = SX1276/77/78/79 Rev 7; ERR = errata note Rev 1: what the cures prevent ends in ``notes``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from communode.virtual.chips import sx1276_power as power
from communode.virtual.chips.chip import Environment
from communode.virtual.chips.lora import Event, Receiver, Window, symbol_us, time_on_air_us
from communode.virtual.chips.lora_radio import LoraRadio
from communode.virtual.medium import Transmission

RX_TIMEOUT, RX_DONE, CRC_ERROR, VALID_HEADER, TX_DONE, CAD_DONE, CAD_DETECTED = (
    0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x01
)  # fmt: skip

SLEEP, STANDBY, FS_TX, TX, FS_RX, RX_CONTINUOUS, RX_SINGLE, CAD = range(8)
_MODES = ("sleep", "standby", "fs", "tx", "fs", "rx", "rx", "cad")

FIFO, OP_MODE, FRF, PA_CONFIG, OCP, LNA = 0x00, 0x01, 0x06, 0x09, 0x0B, 0x0C
FIFO_ADDR_PTR, FIFO_TX_BASE, FIFO_RX_BASE, FIFO_RX_CURRENT = 0x0D, 0x0E, 0x0F, 0x10
IRQ_MASK, IRQ_FLAGS, RX_NB_BYTES, PKT_SNR, PKT_RSSI, RSSI = 0x11, 0x12, 0x13, 0x19, 0x1A, 0x1B
HOP_CHANNEL, CONFIG_1, CONFIG_2, SYMB_TIMEOUT, PREAMBLE, PAYLOAD_LENGTH = 0x1C, 0x1D, 0x1E, 0x1F, 0x20, 0x22
CONFIG_3, IF_FREQ_2, DETECT_OPTIMIZE, INVERT_IQ, HIGH_BW_1 = 0x26, 0x2F, 0x31, 0x33, 0x36
DETECTION_THRESHOLD, SYNC_WORD, HIGH_BW_2, INVERT_IQ_2 = 0x37, 0x39, 0x3A, 0x3B
DIO_MAPPING_1, VERSION, PA_DAC = 0x40, 0x42, 0x4D

# DS table 41: values after reset, LoRa page. Not listed: reads as 0.
_RESET_REGISTERS = {
    OP_MODE: 0x09, FRF: 0x6C, FRF + 1: 0x80, PA_CONFIG: 0x4F, 0x0A: 0x09, OCP: 0x2B, LNA: 0x20,
    FIFO_TX_BASE: 0x80, CONFIG_1: 0x72, CONFIG_2: 0x70, SYMB_TIMEOUT: 0x64, PREAMBLE + 1: 0x08,
    PAYLOAD_LENGTH: 0x01, 0x23: 0xFF, CONFIG_3: 0x04, IF_FREQ_2: 0x20, DETECT_OPTIMIZE: 0xC3,
    INVERT_IQ: 0x27, HIGH_BW_1: 0x03, DETECTION_THRESHOLD: 0x0A, SYNC_WORD: 0x12, HIGH_BW_2: 0x64,
    INVERT_IQ_2: 0x1D, VERSION: 0x12, 0x4B: 0x09, PA_DAC: 0x84,
}  # fmt: skip
_READ_ONLY = {FIFO_RX_CURRENT, RX_NB_BYTES, *range(0x14, 0x1D), 0x25, 0x28, 0x29, 0x2A, 0x2C, VERSION}
_BANDWIDTHS = (7800, 10400, 15600, 20800, 31250, 41700, 62500, 125000, 250000, 500000)

_OSCILLATOR_US, _SYNTHESISER_US = 250, 60  # DS table 10: TS_OSC, TS_FS
_TO_TX_US, _TO_RX_US = 180, 131  # standby to sending (with PA ramp, 4.2.5.1) and to receiving (table 22)
_BOOT_US = 5000  # DS 7.2.2: after a reset
_HF_HZ = 779e6

# RegDioMapping1: for DIO0, DIO1 and DIO3 the flag that each value shows (None: something else).
_DIO = {
    "DIO0": (6, (RX_DONE, TX_DONE, CAD_DONE, None)),
    "DIO1": (4, (RX_TIMEOUT, None, CAD_DETECTED, None)),
    "DIO3": (0, (CAD_DONE, VALID_HEADER, CRC_ERROR, None)),
}


class Sx1276(LoraRadio):
    """See the module; settings are those of `LoraRadio`, and ``pa_boost`` (the antenna hangs on PA_BOOST)."""

    mode_in_reset = "sleep"

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self._address: int | None = None
        self._selected = self._writing = False
        self._ready_us = 0
        self.power(True)

    # Supply and reset

    def _restart(self, now: int, supplied: bool) -> None:
        self._enter("standby", now)
        self._ready_us = now + (2 * _BOOT_US if supplied else _BOOT_US)  # 10 ms from power-on

    def _forget(self) -> None:
        super()._forget()
        self._registers = bytearray(0x71)
        for address, value in _RESET_REGISTERS.items():
            self._registers[address] = value
        self._fifo = bytearray(256)
        self._output = power.Output(0.0, 0.0, False)

    def pin(self, name: str) -> int:
        """DIO0, DIO1 or DIO3, as mapped."""
        if name not in _DIO:
            return super().pin(name)
        if not self.powered:
            return 0
        self.settle()
        shift, flags = _DIO[name]
        flag = flags[self._registers[DIO_MAPPING_1] >> shift & 3]
        return int(flag is not None and bool(self._registers[IRQ_FLAGS] & flag))

    # SPI

    def select(self) -> None:
        """NSS falls."""
        self._selected = True
        self._address = None

    def deselect(self) -> None:
        """NSS rises."""
        self._selected = False

    def transfer(self, mosi: bytes) -> bytes:
        """Address byte (bit 7: write), then data; the address counts up except at the FIFO."""
        self.forbid(not self._selected, "clocked without NSS")
        if not self.powered or self._reset_since is not None:
            return bytes(len(mosi))
        self.forbid(self.env.now_us() < self._ready_us, "clocked within 5 ms of reset (10 ms of power-on)")
        self.settle()
        miso = bytearray()
        for byte in mosi:
            if self._address is None:
                self._address, self._writing = byte & 0x7F, bool(byte & 0x80)
                miso.append(0)
                continue
            self.forbid(
                self._address >= len(self._registers), f"register {self._address:#04x} does not exist"
            )
            miso.append(0 if self._writing else self._read(self._address))
            if self._writing:
                self._write(self._address, byte)
            if self._address != FIFO:
                self._address += 1
        return bytes(miso)

    def _read(self, address: int) -> int:
        if address == FIFO:
            return self._fifo_step(None)
        if address == RSSI:
            return self._indicator(self.rssi_now_dbm(self._frequency_hz()))
        return self._registers[address]

    def _write(self, address: int, value: int) -> None:
        lora = bool(self._registers[OP_MODE] & 0x80)
        if address == FIFO:
            self._fifo_step(value)
        elif address == OP_MODE:
            self._set_mode(value)
        elif address == IRQ_FLAGS:
            self._registers[IRQ_FLAGS] &= ~value & 0xFF
        elif address in _READ_ONLY and lora:
            self.forbid(True, f"register {address:#04x} is read-only")
        else:
            self._registers[address] = value

    def _fifo_step(self, value: int | None) -> int:
        self.forbid(self.mode == "sleep", "the FIFO cannot be accessed in sleep (DS 4.1.2.3)")
        pointer = self._registers[FIFO_ADDR_PTR]
        self._registers[FIFO_ADDR_PTR] = (pointer + 1) & 0xFF
        if value is not None:
            self._fifo[pointer] = value
        return self._fifo[pointer]

    # Modes

    def _set_mode(self, value: int) -> None:
        now = self.env.now_us()
        old = self._registers[OP_MODE]
        if (value ^ old) & 0x80 and old & 7 != SLEEP and value & 7 != SLEEP:
            self.note("LongRangeMode written outside sleep is ignored (DS 4.1.2.1)")
            value ^= 0x80
        elif (value ^ old) & 0x80 and old & 7 != SLEEP:
            value ^= 0x80  # this write only goes to sleep
        lora = bool(value & 0x80)
        mode = value & 7
        self._registers[OP_MODE] = value
        self.forbid(not lora and mode not in (SLEEP, STANDBY), "FSK is not modelled beyond sleep and standby")
        self._stop_radiating(now)
        was_asleep = self.mode == "sleep"
        self._receiver = self._next = self._end_us = None
        if mode == SLEEP:
            self._fifo = bytearray(b"\xa5" * 256)  # DS 4.1.2.3: cleared
            self._enter("sleep", now)
            return
        start_us = now + (_OSCILLATOR_US if was_asleep else 0)
        self._enter("standby", now)
        if mode == TX:
            self._begin_tx(start_us + _TO_TX_US)
        elif mode in (RX_CONTINUOUS, RX_SINGLE):
            self._begin_rx(start_us + _TO_RX_US, mode == RX_CONTINUOUS)
        elif mode == CAD:
            self._next = (start_us + _TO_RX_US, "cad")
            sf, bandwidth_hz = self._spreading_factor(), self._bandwidth_hz()
            # DS 4.1.6: a symbol of listening, then under one of computing.
            self._end_us = round(start_us + _TO_RX_US + 1.85 * symbol_us(sf, bandwidth_hz))
        elif mode in (FS_TX, FS_RX):
            self._next = (start_us + _SYNTHESISER_US, "fs")

    def _begin_tx(self, ready: int) -> None:
        length = self._registers[PAYLOAD_LENGTH]
        start = self._registers[FIFO_TX_BASE]
        payload = bytes(self._fifo[(start + index) & 0xFF] for index in range(length))
        self.forbid(not length, "an empty payload cannot be sent (DS 4.1.2.3: PayloadLength 0)")
        config_1, config_2 = self._registers[CONFIG_1], self._registers[CONFIG_2]
        bandwidth_hz = self._bandwidth_hz()
        inverted = not self._registers[INVERT_IQ] & 1
        packet = Transmission(
            self.name, ready, ready, self._frequency_hz(), self._spreading_factor(), bandwidth_hz,
            (config_1 >> 1 & 7) + 4, self._registers[PREAMBLE] << 8 | self._registers[PREAMBLE + 1],
            inverted, self._registers[SYNC_WORD], bool(config_2 & 4), bool(config_1 & 1), payload, 0.0,
        )  # fmt: skip
        self._check_notes(bandwidth_hz)
        if (self._registers[INVERT_IQ_2] == 0x19) != inverted:
            self.note("RegInvertIQ2 does not fit RegInvertIQ")
        self._next = (ready, "tx")
        self._end_us = ready + time_on_air_us(packet, bool(self._registers[CONFIG_3] & 8))
        self._output = power.output(self._registers[PA_CONFIG], self._registers[PA_DAC], self._registers[OCP])
        if self._output.limited:
            self.note("over-current protection limits the power")
        if bool(self._registers[PA_CONFIG] & 0x80) != bool(self.settings.get("pa_boost", True)):
            self.note("transmitted on the PA pin that has no antenna")
            return
        self._radiate(replace(packet, end_us=self._end_us), self._output.conducted_dbm)

    def _begin_rx(self, ready: int, continuous: bool) -> None:
        symbols = (self._registers[CONFIG_2] & 3) << 8 | self._registers[SYMB_TIMEOUT]
        self.forbid(not continuous and symbols < 4, "SymbTimeout below 4 symbols (DS 4.1.5)")
        self._check_notes(self._bandwidth_hz())
        window = replace(self._window(ready), continuous=continuous, symbols=0 if continuous else symbols)
        self._receiver = Receiver(self.air, self.name, window)
        self._next = (ready, "rx")

    def _window(self, open_us: int) -> Window:
        return Window(
            open_us=open_us,
            frequency_hz=self._frequency_hz(),
            spreading_factor=self._spreading_factor(),
            bandwidth_hz=self._bandwidth_hz(),
            invert_iq=bool(self._registers[INVERT_IQ] & 0x40),
            sync_word=self._registers[SYNC_WORD],
            implicit=bool(self._registers[CONFIG_1] & 1),
        )

    def _frequency_hz(self) -> int:
        return round(int.from_bytes(self._registers[FRF : FRF + 3], "big") * 32e6 / (1 << 19))

    def _bandwidth_hz(self) -> int:
        code = self._registers[CONFIG_1] >> 4
        self.forbid(code >= len(_BANDWIDTHS), f"bandwidth {code} does not exist")
        return _BANDWIDTHS[code]

    def _spreading_factor(self) -> int:
        sf = self._registers[CONFIG_2] >> 4
        self.forbid(not 7 <= sf <= 12, f"spreading factor {sf} does not exist or is not modelled")
        return sf

    def _check_notes(self, bandwidth_hz: int) -> None:
        high = self._frequency_hz() >= _HF_HZ
        wide = bandwidth_hz == 500000
        cured = (0x02, 0x64 if high else 0x7F)
        if wide and (self._registers[HIGH_BW_1], self._registers[HIGH_BW_2]) != cured:
            self.note("ERR 2.1: sensitivity at 500 kHz")
        if bool(self._registers[DETECT_OPTIMIZE] & 0x80) != wide:
            self.note("ERR 2.3: spurious reception")
        if bool(self._registers[OP_MODE] & 8) == high:
            self.note("LowFrequencyModeOn does not fit the band")
        slow = symbol_us(self._spreading_factor(), bandwidth_hz) >= 16000
        if bool(self._registers[CONFIG_3] & 8) != slow:
            self.note("low data rate optimisation does not fit the symbol time")

    # Time

    def settle(self) -> None:
        """Bring modes, flags and energy up to now."""
        now = self.env.now_us()
        self._reach_next_mode(now)
        end = self._end_us
        if self.mode == "tx" and end is not None and now >= end:
            self._sent = None
            self._rest(end, TX_DONE)
        elif self.mode == "cad" and end is not None and now >= end:
            self._finish_cad(end)
        elif self.mode == "rx" and self._receiver is not None:
            self._settle_rx(now, self._receiver)

    def _rest(self, at_us: int, flags: int) -> None:
        """Fall back to standby by itself."""
        self._end_us = None
        self._receiver = None
        self._registers[OP_MODE] = self._registers[OP_MODE] & 0xF8 | STANDBY
        self._enter("standby", at_us)
        self._raise(flags)

    def _raise(self, flags: int) -> None:
        self._registers[IRQ_FLAGS] |= flags & ~self._registers[IRQ_MASK] & 0xFF

    def _settle_rx(self, now: int, receiver: Receiver) -> None:
        detectable = (
            self._registers[DETECTION_THRESHOLD] == 0x0A and self._registers[DETECT_OPTIMIZE] & 7 == 3
        )
        second = self._registers[INVERT_IQ_2] == (0x19 if receiver.window.invert_iq else 0x1D)
        receiver.deaf = not (detectable and second and self._hears_antenna())
        for event in receiver.advance(now):
            if event.kind == "done":
                self._take_packet(event, receiver.window)
            elif event.kind == "timeout":
                self._rest(event.time_us, RX_TIMEOUT)
            elif event.kind == "header":
                self._raise(VALID_HEADER)

    def _take_packet(self, event: Event, window: Window) -> None:
        packet, reception = event.packet, event.reception
        assert packet is not None
        slow = symbol_us(packet.spreading_factor, packet.bandwidth_hz) >= 16000
        intact = reception is not None and reception.intact
        intact = intact and bool(self._registers[CONFIG_3] & 8) == slow
        if window.implicit:
            config = (self._registers[PAYLOAD_LENGTH], bool(self._registers[CONFIG_2] & 4))
            intact = intact and config == (len(packet.payload), packet.crc)
        payload = packet.payload if intact else self.damage(packet.payload)
        start = self._registers[FIFO_RX_BASE]
        for index, byte in enumerate(payload):
            self._fifo[(start + index) & 0xFF] = byte
        self._registers[FIFO_RX_CURRENT] = start
        self._registers[RX_NB_BYTES] = len(payload)
        self._registers[HOP_CHANNEL] = 0x40 if packet.crc else 0
        rssi = reception.rssi_dbm if reception else -120.0
        snr = reception.snr_db if reception else 0.0
        self._registers[PKT_SNR] = max(-128, min(127, round(4 * snr))) & 0xFF
        # DS 5.5.5: the indicator includes the noise that it is buried in.
        self._registers[PKT_RSSI] = self._indicator(rssi - min(snr, 0.0))
        flags = RX_DONE | (CRC_ERROR if packet.crc and not intact else 0)
        if window.continuous:
            self._raise(flags)
        else:
            self._rest(event.time_us, flags)

    def _indicator(self, dbm: float) -> int:
        offset = 157 if self._frequency_hz() >= _HF_HZ else 164
        return max(0, min(255, round(dbm + offset)))

    def _finish_cad(self, at_us: int) -> None:
        span_us = 1.85 * symbol_us(self._spreading_factor(), self._bandwidth_hz())
        window = self._window(int(at_us - span_us))
        self._rest(at_us, CAD_DONE | (CAD_DETECTED if self._detects(window, at_us) else 0))

    def mode_current_ua(self) -> float:
        """Typical supply current by mode (DS table 6)."""
        if self.mode == "tx":
            return self._output.current_ua
        boosted = self.mode == "rx" and self._registers[LNA] & 3 == 3
        return power.mode_current_ua("rx_boosted" if boosted else self.mode)
