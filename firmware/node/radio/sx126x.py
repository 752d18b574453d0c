# SPDX-License-Identifier: MIT
# SX1261/SX1262 behind the modem interface (modem.py has the contract): LoRa only, polled.
#
# Not here: its bus and its life (sx126x_chip.py), FSK, LR-FHSS, continuous reception for class C, interrupts
# (the caller knows when to poll DIO1). Sources: as in sx126x_chip.py.

from micropython import const

from . import sx126x_commands as commands
from .airtime import symbol_time_us, time_on_air_us
from .modem import RadioError, RxPacket
from .sx126x_chip import IDLE, RECEIVING, SENDING, Sx126xChip

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from .modem import LoraParameters

# IRQ flags, DS table 13-29.
_TX_DONE = const(0x0001)
_RX_DONE = const(0x0002)
_HEADER_VALID = const(0x0010)
_HEADER_ERROR = const(0x0020)
_CRC_ERROR = const(0x0040)
_TIMEOUT = const(0x0200)

_REG_SYMBOL_TIMEOUT = const(0x0706)
_REG_IQ_POLARITY = const(0x0736)
_REG_SYNC_WORD = const(0x0740)
_REG_TX_MODULATION = const(0x0889)
_REG_OCP = const(0x08E7)
_REG_RTC_CONTROL = const(0x0902)
_REG_EVENT_MASK = const(0x0944)

_TX_SWITCH_US = const(105)  # DS table 8-2: STDBY_XOSC to TX, the preamble begins
_TX_MARGIN_US = const(20000)
_RX_MARGIN_US = const(10000)


class Sx126x(Sx126xChip):
    """Driver of one chip; `Sx126xChip` says what it is given."""

    _go = b""
    _span_us = 0  # time on air of what is prepared to be sent
    _header_us = _longest_us = 0  # from SetRx: latest header, latest end
    _implicit = _timer_used = _header_seen = False
    _seen = _end = 0  # ticks

    # Parameters

    def _tell(self, name: str, command: bytes) -> bool:
        """Send ``command`` unless the chip was told the same before; whether it was sent."""
        if not self._changed(name, command):
            return False
        self._write(command)
        return True

    def _configure(self, parameters: "LoraParameters", length: int) -> None:
        modulation = commands.set_modulation(parameters)
        self._tell("band", commands.calibrate_image(parameters.frequency_hz))
        self._tell("frequency", commands.set_frequency(parameters.frequency_hz))
        if self._tell("modulation", modulation):
            wide = parameters.bandwidth_hz == 500000
            self._change_register(_REG_TX_MODULATION, 4 if wide else 0, 0 if wide else 4)  # C15.1
        if self._tell("packet", commands.set_packet(parameters, length)):
            # C15.4: 0 when inverted. SetPacketParams undoes it, so it follows each of them.
            inverted = parameters.invert_iq
            self._change_register(_REG_IQ_POLARITY, 4 if inverted else 0, 0 if inverted else 4)
        if self._changed("sync_word", parameters.sync_word):
            self._write_register(_REG_SYNC_WORD, *commands.sync_words(parameters.sync_word))

    def _set_power(self, power_dbm: int) -> None:
        power_dbm = max(self.min_power_dbm, min(self.max_power_dbm, power_dbm))
        if self._changed("power", power_dbm):
            pa_config, tx_params = commands.set_power(power_dbm, self._small)
            self._write(pa_config)
            # SetPaConfig puts the over-current limit to its default: set it after (2.5 mA a step).
            self._write_register(_REG_OCP, 0x18 if self._small else 0x38)
            self._write(tx_params)

    def _warm_up(self) -> None:
        """Have a TCXO running before SetTx or SetCad, so that their end can be computed.

        Not before a window: that may be seconds away, at 2 mA; there the delay is known (`rx_latency_us`).
        """
        if self._settings["tcxo_mv"]:
            self._write(b"\x80\x01")
        self._wait_ready()

    # Sending

    def prepare_tx(self, parameters: "LoraParameters", payload: bytes, power_dbm: int) -> None:
        for attempt in (1, 2):
            try:
                self._arm_tx(parameters, payload, power_dbm)
                return
            except RadioError as error:
                # A chip that hangs gets one more try, from NRESET on.
                if error.code != "busy_timeout" or attempt == 2:
                    raise

    def _arm_tx(self, parameters: "LoraParameters", payload: bytes, power_dbm: int) -> None:
        self._rest()
        self._configure(parameters, len(payload))
        self._set_power(power_dbm)
        self._write(b"\x0e\x00" + payload)
        self._span_us = time_on_air_us(parameters, len(payload))
        self._go = b"\x83" + commands.timer(self._span_us + _TX_MARGIN_US)
        self._route(1, 0)
        self._warm_up()

    def start_tx(self) -> int:
        self._write(self._go)
        clock = self._clock
        now = clock.ticks_us()
        self._state = SENDING
        self._seen = now
        self._end = clock.ticks_add(now, _TX_SWITCH_US + self._span_us)
        return now

    def poll_tx(self) -> "int | None":
        clock = self._clock
        before = clock.ticks_us()
        if self._dio1 is None or self._dio1():
            now = clock.ticks_us()
            flags = self._take_flags()
            if flags & _TX_DONE:
                self._state = IDLE
                self._route(0, 0)
                if clock.ticks_diff(self._end, now) > 0:
                    return now
                return self._seen if clock.ticks_diff(self._seen, self._end) > 0 else self._end
            if flags & _TIMEOUT:
                self._fail_tx()
        if clock.ticks_diff(before, self._end) > 2 * _TX_MARGIN_US:
            self._fail_tx()
        self._seen = before
        return None

    def _fail_tx(self) -> None:
        self._lost = True
        self._route(0, 0)
        raise RadioError("tx_timeout")

    # Receiving

    def prepare_rx(self, parameters: "LoraParameters", symbols: int) -> None:
        for attempt in (1, 2):
            try:
                self._arm_rx(parameters, symbols)
                return
            except RadioError as error:
                if error.code != "busy_timeout" or attempt == 2:
                    raise

    def _arm_rx(self, parameters: "LoraParameters", symbols: int) -> None:
        self._rest()
        self._configure(parameters, 255)
        symbol_us = symbol_time_us(parameters.spreading_factor, parameters.bandwidth_hz)
        # Beyond the symbol counter the RTC timer ends the window, unless a preamble was found in it.
        by_timer = symbols > commands.MAX_SYMBOLS
        counted, register = commands.symbol_counter(0 if by_timer else max(symbols, 1))
        self._tell("stop", b"\x9f\x01" if by_timer else b"\x9f\x00")
        if self._tell("symbols", bytes((0xA0, counted))) and counted:
            self._write_register(_REG_SYMBOL_TIMEOUT, register)
        span_us = (symbols if by_timer else counted) * symbol_us
        self._go = b"\x82" + (commands.timer(span_us) if by_timer else b"\x00\x00\x00")
        # What no timer of the chip bounds: a lock on noise, or on a packet that is not ours.
        self._header_us = self.rx_latency_us + span_us + _RX_MARGIN_US
        self._header_us += (parameters.preamble_symbols + 16) * symbol_us
        self._longest_us = self._header_us + time_on_air_us(parameters, 255)
        self._implicit = parameters.implicit
        self._timer_used = by_timer
        self._route(0, 1)
        self._wait_ready()

    def start_rx(self) -> int:
        self._write(self._go)
        self._state = RECEIVING
        self._header_seen = self._implicit
        self._seen = self._clock.ticks_us()
        return self._seen

    def poll_rx(self) -> "RxPacket | bool | None":
        clock = self._clock
        open_us = clock.ticks_diff(clock.ticks_us(), self._seen)
        late = open_us > self._header_us
        if self._dio1 is None or self._dio1() or (late and not self._header_seen):
            now = clock.ticks_us()
            flags = self._take_flags()
            if flags & (_RX_DONE | _TIMEOUT | _HEADER_ERROR | _CRC_ERROR):
                return self._finish_rx(flags, now)
            if flags & _HEADER_VALID:
                self._header_seen = True
        if late and (not self._header_seen or open_us > self._longest_us):
            self.standby()
            return False
        return None

    def _finish_rx(self, flags: int, now: int) -> "RxPacket | bool":
        packet: RxPacket | bool = False
        if flags & _RX_DONE and not flags & _CRC_ERROR:
            length, start = self._read(b"\x13\x00", 2)
            payload = bytes(self._read(bytes((0x1E, start, 0)), length))
            rssi, snr, _ = self._read(b"\x14\x00", 3)
            packet = RxPacket(payload, -(rssi >> 1), snr - 256 if snr > 127 else snr, now)
        if flags & _RX_DONE and self._timer_used and self._implicit:
            # C15.3: the timer of an implicit reception runs on and would end a later one.
            self._write_register(_REG_RTC_CONTROL, 0)
            self._change_register(_REG_EVENT_MASK, 0, 2)
        if flags & _HEADER_ERROR:
            self.standby()  # the chip would listen on
        self._state = IDLE
        self._route(0, 0)
        return packet

    # Listening before talking: only some regions ask for it

    def rssi_dbm(self) -> int:
        from .sx126x_listening import rssi_dbm

        return rssi_dbm(self)

    def channel_activity(self, parameters: "LoraParameters") -> bool:
        from .sx126x_listening import channel_activity

        return channel_activity(self, parameters)
