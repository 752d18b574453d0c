# SPDX-License-Identifier: MIT
# SX1261/SX1262 behind the modem interface (modem.py has the contract): LoRa only, polled.
#
# Not here: FSK, LR-FHSS, continuous reception for class C, interrupts (the caller knows when to poll DIO1).
# Sources: DS = SX1261/2 Rev 2.1; C15.n = its chapter 15, the known limitations and their cures. The byte
# streams are checked against Semtech's sx126x_driver 2.3.2.

from micropython import const

from . import sx126x_commands as commands
from .airtime import symbol_time_us, time_on_air_us
from .modem import Modem, RadioError, RxPacket

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from .modem import Clock, LoraParameters, Pin, Spi

# IRQ flags, DS table 13-29.
_TX_DONE = const(0x0001)
_RX_DONE = const(0x0002)
_HEADER_VALID = const(0x0010)
_HEADER_ERROR = const(0x0020)
_CRC_ERROR = const(0x0040)
_CAD_DONE = const(0x0080)
_CAD_DETECTED = const(0x0100)
_TIMEOUT = const(0x0200)

_XOSC_START_ERROR = const(0x0020)
_PLL_LOCK_ERROR = const(0x0040)

_REG_RETENTION_LIST = const(0x029F)
_REG_SYMBOL_TIMEOUT = const(0x0706)
_REG_IQ_POLARITY = const(0x0736)
_REG_SYNC_WORD = const(0x0740)
_REG_TX_MODULATION = const(0x0889)
_REG_RX_GAIN = const(0x08AC)
_REG_TX_CLAMP = const(0x08D8)
_REG_OCP = const(0x08E7)
_REG_RTC_CONTROL = const(0x0902)
_REG_EVENT_MASK = const(0x0944)

_IDLE = const(0)
_SENDING = const(1)
_RECEIVING = const(2)
_ASLEEP = const(3)

_BUSY_LIMIT_US = const(30000)  # full calibration was seen to take 18 ms; plus the TCXO's start
_TX_SWITCH_US = const(105)  # DS table 8-2: STDBY_XOSC to TX, the preamble begins
_RX_SWITCH_US = const(83)  # the same, STDBY_RC to RX
_TX_MARGIN_US = const(20000)
_RX_MARGIN_US = const(10000)
_CAD_SYMBOLS = const(4)

_DEFAULTS = {
    "tcxo_mv": 0,  # 0: a crystal; else the supply that DIO3 gives to a TCXO
    "tcxo_delay_us": 5000,
    "dio2_rf_switch": 0,
    "max_power_dbm": 22,  # of the board; the chip's own limit applies as well
    "use_dcdc": 1,
    "rx_boost": 0,
}


class Sx126x(Modem):
    """Driver of one chip.

    Settings: ``chip`` ("sx1262" or "sx1261"), ``rx_enable`` and ``tx_enable`` (output pins of an antenna
    switch that the chip does not drive, or None), and those of ``_DEFAULTS``; an unknown one raises
    ValueError. ``dio1`` may be None: then every poll is an SPI transaction.
    """

    def __init__(
        self,
        spi: "Spi",
        nss: "Pin",
        reset: "Pin",
        busy: "Pin",
        dio1: "Pin | None",
        clock: "Clock",
        **settings: "int",
    ) -> None:
        self._small = settings.pop("chip", "sx1262") == "sx1261"
        self._rx_enable: Pin | None = settings.pop("rx_enable", None)  # type: ignore[assignment]
        self._tx_enable: Pin | None = settings.pop("tx_enable", None)  # type: ignore[assignment]
        for name in settings:
            if name not in _DEFAULTS:
                raise ValueError("unknown setting " + name)
        self._settings = dict(_DEFAULTS)
        self._settings.update(settings)
        self._spi = spi
        self._nss = nss
        self._nreset = reset
        self._busy = busy
        self._dio1 = dio1
        self._clock = clock
        self.min_power_dbm = -17 if self._small else -9
        self.max_power_dbm = min(self._settings["max_power_dbm"], 15 if self._small else 22)
        self.rx_latency_us = _RX_SWITCH_US
        if self._settings["tcxo_mv"]:
            self.rx_latency_us += self._settings["tcxo_delay_us"]
        self._known: dict[str, object] = {}  # what the chip holds, by name: not sent again while unchanged
        self._lost = True  # the chip must be reset and configured before its next use
        self._state = _IDLE
        self._go = b""
        self._span_us = 0  # time on air of what is prepared to be sent
        self._header_us = self._longest_us = 0  # from SetRx: latest header, latest end
        self._implicit = self._timer_used = self._header_seen = False
        self._seen = self._end = self._slept = 0  # ticks

    # The bus

    def _wait_ready(self) -> None:
        """Wait for BUSY to fall, bounded. A chip that stays busy is lost: the next use resets it."""
        if not self._busy():
            return
        clock = self._clock
        start = clock.ticks_us()
        limit = _BUSY_LIMIT_US + self.rx_latency_us
        while self._busy():
            if clock.ticks_diff(clock.ticks_us(), start) > limit:
                self._lost = True
                raise RadioError("busy_timeout")
            clock.sleep_us(50)

    def _write(self, command: "bytes | bytearray") -> None:
        self._wait_ready()
        self._nss(0)
        self._spi.write(command)
        self._nss(1)

    def _read(self, command: bytes, count: int) -> bytearray:
        """Send ``command`` (opcode, address, status NOP) and return the ``count`` bytes that follow."""
        self._wait_ready()
        buffer = bytearray(len(command) + count)
        buffer[: len(command)] = command
        self._nss(0)
        self._spi.write_readinto(buffer, buffer)
        self._nss(1)
        return buffer[len(command) :]

    def _write_register(self, address: int, *values: int) -> None:
        self._write(bytes((0x0D, address >> 8, address & 0xFF)) + bytes(values))

    def _change_register(self, address: int, clear: int, set_: int) -> None:
        value = self._read(bytes((0x1D, address >> 8, address & 0xFF, 0)), 1)[0]
        self._write_register(address, value & ~clear & 0xFF | set_)

    def _changed(self, name: str, value: "object") -> bool:
        """Whether the chip must be told; remembers that it will have been."""
        if self._known.get(name) == value:
            return False
        self._known[name] = value
        return True

    def _take_flags(self) -> int:
        """The IRQ flags, and clear exactly those: what comes between read and clear must not be lost."""
        raw = self._read(b"\x12\x00", 2)
        if raw[0] or raw[1]:
            self._write(bytes((0x02, raw[0], raw[1])))
        return raw[0] << 8 | raw[1]

    # Life

    def reset(self) -> None:
        self._lost = True
        self._state = _IDLE
        self._known.clear()
        self._nss(1)
        self._nreset(0)
        self._clock.sleep_us(200)  # DS 8.1: at least 100 us
        self._nreset(1)
        self._clock.sleep_us(200)

    def begin(self) -> None:
        self.reset()
        self._route(0, 0)
        if (
            self._read(bytes((0x1D, _REG_SYNC_WORD >> 8, _REG_SYNC_WORD & 0xFF, 0)), 2) != b"\x14\x24"
        ):  # reset value of the sync word
            raise RadioError("not_found")
        settings = self._settings
        if settings["use_dcdc"]:
            self._write(b"\x96\x01")
        if settings["tcxo_mv"]:
            # The chip calibrated itself at reset without its clock: XOSC_START_ERR is expected (DS 13.3.6).
            self._start_tcxo()
            self._write(b"\x07\x00\x00")
            self._write(b"\x89\x7f")
        if self._read(b"\x17\x00", 2)[1] & (_XOSC_START_ERROR | _PLL_LOCK_ERROR):
            raise RadioError("oscillator")
        self._write(b"\x8a\x01")
        if settings["dio2_rf_switch"]:
            self._write(b"\x9d\x01")
        if not self._small:
            self._change_register(_REG_TX_CLAMP, 0, 0x1E)  # C15.2: a mismatched antenna folded the PA back
        self._boost()
        # Warm sleep forgets these three unless they are on this list (DS 9.6).
        self._write_register(_REG_RETENTION_LIST, 3, 0x08, 0xAC, 0x08, 0x89, 0x07, 0x36, 0, 0)
        self._write(b"\x8f\x00\x00")
        self._write(b"\x08\x03\xff\x02\x63\x00\x00\x00\x00")  # all flags; DIO1: done, timeout and errors
        self._lost = False

    def _start_tcxo(self) -> None:
        self._write(commands.set_tcxo(self._settings["tcxo_mv"], self._settings["tcxo_delay_us"]))

    def _boost(self) -> None:
        if self._settings["rx_boost"]:
            self._write_register(_REG_RX_GAIN, 0x96)

    def _route(self, sending: int, receiving: int) -> None:
        """Set the antenna switch that hangs on our own pins."""
        if self._tx_enable is not None:
            self._tx_enable(sending)
        if self._rx_enable is not None:
            self._rx_enable(receiving)

    def standby(self) -> None:
        if self._lost:
            self.begin()
        elif self._state == _ASLEEP:
            self.wake()
        else:
            self._write(b"\x80\x00")
            if self._state != _IDLE:
                self._take_flags()
        self._state = _IDLE
        self._route(0, 0)

    def sleep(self) -> None:
        if self._state == _ASLEEP and not self._lost:
            return
        self.standby()
        self._write(b"\x84\x04")
        self._state = _ASLEEP
        self._slept = self._clock.ticks_us()

    def wake(self) -> None:
        """Leave sleep by NSS, then tell the chip again what warm sleep may have cost it."""
        if self._lost:
            self.begin()
            return
        clock = self._clock
        falling_asleep = 500 - clock.ticks_diff(clock.ticks_us(), self._slept)
        if 0 < falling_asleep <= 500:
            clock.sleep_us(falling_asleep)  # DS 13.1.1: NSS must rest for 500 us
        self._nss(0)
        clock.sleep_us(20)
        self._nss(1)
        self._state = _IDLE
        band = self._known.get("band")
        self._known.clear()
        self._known["band"] = band
        if self._settings["tcxo_mv"]:
            self._start_tcxo()
        self._boost()

    def _rest(self) -> None:
        """Reach STDBY_RC from wherever we are, at the price of nothing where we are there."""
        if self._lost or self._state != _IDLE:
            self.standby()

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
        self._state = _SENDING
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
                self._state = _IDLE
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
        self._state = _RECEIVING
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
        self._state = _IDLE
        self._route(0, 0)
        return packet

    # Listening before talking

    def rssi_dbm(self) -> int:
        if self._state != _RECEIVING:
            self._rest()
            self._route(0, 1)
            self._write(b"\x82\xff\xff\xff")
            self._state = _RECEIVING
            self._wait_ready()
            self._clock.sleep_us(500)  # the average needs some symbols of noise
        return -(self._read(b"\x15\x00", 1)[0] >> 1)

    def channel_activity(self, parameters: "LoraParameters") -> bool:
        self._rest()
        self._configure(parameters, 255)
        self._write(commands.set_cad(parameters.spreading_factor))
        self._route(0, 1)
        self._warm_up()
        self._write(b"\xc5")
        span_us = _CAD_SYMBOLS * symbol_time_us(parameters.spreading_factor, parameters.bandwidth_hz)
        clock = self._clock
        clock.sleep_us(span_us)
        for _ in range(50):
            flags = self._take_flags()
            if flags & _CAD_DONE:
                self._route(0, 0)
                return bool(flags & _CAD_DETECTED)
            clock.sleep_us(span_us // 16 + 100)
        self._lost = True
        raise RadioError("cad_timeout")
