# SPDX-License-Identifier: MIT
# SX1276/77/78/79 (and RFM95) behind the modem interface (modem.py has the contract): LoRa only, polled.
#
# Not here: FSK, spreading factor 6 (another modem mode, and not the SF6 of SX126x), frequency hopping.
# Sources: DS = SX1276/77/78/79 Rev 7; ERR = its errata note Rev 1 (2.1 sensitivity at 500 kHz, 2.3 spurious
# reception). RegIrqFlags is cleared by writing ones; DIO0 carries TxDone or RxDone, nothing tells a timeout.

from micropython import const

from .airtime import symbol_time_us, time_on_air_us
from .modem import Modem, RadioError, RxPacket

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from .modem import Clock, LoraParameters, Pin, Spi

_REG_FIFO = const(0x00)
_REG_OP_MODE = const(0x01)
_REG_FRF_MSB = const(0x06)
_REG_PA_CONFIG = const(0x09)
_REG_OCP = const(0x0B)
_REG_LNA = const(0x0C)
_REG_FIFO_ADDR_PTR = const(0x0D)
_REG_FIFO_TX_BASE_ADDR = const(0x0E)
_REG_FIFO_RX_CURRENT_ADDR = const(0x10)
_REG_IRQ_FLAGS = const(0x12)
_REG_RX_NB_BYTES = const(0x13)
_REG_PKT_SNR_VALUE = const(0x19)
_REG_RSSI_VALUE = const(0x1B)
_REG_HOP_CHANNEL = const(0x1C)
_REG_MODEM_CONFIG_1 = const(0x1D)
_REG_PAYLOAD_LENGTH = const(0x22)
_REG_MODEM_CONFIG_3 = const(0x26)
_REG_IF_FREQ_2 = const(0x2F)
_REG_DETECT_OPTIMIZE = const(0x31)
_REG_INVERT_IQ = const(0x33)
_REG_HIGH_BW_OPTIMIZE_1 = const(0x36)
_REG_DETECTION_THRESHOLD = const(0x37)
_REG_SYNC_WORD = const(0x39)
_REG_HIGH_BW_OPTIMIZE_2 = const(0x3A)
_REG_INVERT_IQ_2 = const(0x3B)
_REG_DIO_MAPPING_1 = const(0x40)
_REG_VERSION = const(0x42)
_REG_TCXO = const(0x4B)
_REG_PA_DAC = const(0x4D)

_SLEEP = const(0)  # RegOpMode, low three bits
_STANDBY = const(1)
_TX = const(3)
_RX_CONTINUOUS = const(5)
_RX_SINGLE = const(6)
_CAD = const(7)

_RX_TIMEOUT = const(0x80)  # RegIrqFlags
_RX_DONE = const(0x40)
_CRC_ERROR = const(0x20)
_VALID_HEADER = const(0x10)
_TX_DONE = const(0x08)
_CAD_DONE = const(0x04)
_CAD_DETECTED = const(0x01)

_MAPPING_RX_DONE = const(0x00)  # RegDioMapping1, DIO0
_MAPPING_TX_DONE = const(0x40)

_MIN_SYMBOLS = const(4)  # DS 4.1.5
_MAX_SYMBOLS = const(1023)
_HF_HZ = const(779000000)  # from here on the high-frequency port
_TX_SWITCH_US = const(180)  # standby to the first preamble symbol: synthesiser 60 us and PA ramp (DS 4.2.5)
_RX_SWITCH_US = const(131)  # standby to receiving: synthesiser 60 us, receiver 71 us (DS table 22)
_TX_MARGIN_US = const(20000)
_RX_MARGIN_US = const(10000)

_BANDWIDTHS = {62500: 6, 125000: 7, 250000: 8, 500000: 9}

_DEFAULTS = {
    "tcxo_mv": 0,  # not 0: a TCXO feeds XTA
    "pa_boost": 1,  # which pin the antenna hangs on: PA_BOOST (2..20 dBm) or RFO (-4..14 dBm)
    "max_power_dbm": 20,  # of the board; the chip's own limit applies as well
    "rx_boost": 1,
}


class Sx127x(Modem):
    """Driver of one chip. Settings are those of ``_DEFAULTS``; an unknown one raises ValueError.

    ``dio0`` may be None: then every poll is an SPI transaction.
    """

    def __init__(
        self, spi: "Spi", nss: "Pin", reset: "Pin", dio0: "Pin | None", clock: "Clock", **settings: int
    ) -> None:
        for name in settings:
            if name not in _DEFAULTS:
                raise ValueError("unknown setting " + name)
        self._settings = dict(_DEFAULTS)
        self._settings.update(settings)
        self._spi = spi
        self._nss = nss
        self._nreset = reset
        self._dio0 = dio0
        self._clock = clock
        boost = self._settings["pa_boost"]
        self.min_power_dbm = 2 if boost else -4
        self.max_power_dbm = min(self._settings["max_power_dbm"], 20 if boost else 14)
        self.rx_latency_us = _RX_SWITCH_US
        self._known: dict[int, bytes] = {}  # what the registers hold, by first address
        self._lost = True
        self._mode = _STANDBY
        self._high = True
        self._span_us = 0
        self._window_us = self._header_us = self._longest_us = 0
        self._implicit = self._header_seen = False
        self._seen = self._end = self._looked = 0  # ticks

    # The bus

    def _burst(self, address: int, data: bytes) -> None:
        self._nss(0)
        self._spi.write(bytes((address | 0x80,)) + data)
        self._nss(1)

    def _write(self, address: int, *values: int) -> None:
        self._burst(address, bytes(values))

    def _set(self, address: int, *values: int) -> None:
        """Write unless the chip is known to hold it already."""
        data = bytes(values)
        if self._known.get(address) != data:
            self._burst(address, data)
            self._known[address] = data

    def _read(self, address: int, count: int = 1) -> bytearray:
        buffer = bytearray(count + 1)
        buffer[0] = address
        self._nss(0)
        self._spi.write_readinto(buffer, buffer)
        self._nss(1)
        return buffer[1:]

    def _enter(self, mode: int) -> None:
        self._write(_REG_OP_MODE, (0x80 if self._high else 0x88) | mode)
        self._mode = mode

    def _take_flags(self) -> int:
        """The IRQ flags, and clear exactly those: what comes between read and clear must not be lost."""
        flags = self._read(_REG_IRQ_FLAGS)[0]
        if flags:
            self._write(_REG_IRQ_FLAGS, flags)
        return flags

    # Life

    def reset(self) -> None:
        self._lost = True
        self._known.clear()
        self._nss(1)
        self._nreset(0)
        self._clock.sleep_us(200)  # DS 7.2.2: 100 us low, then 5 ms
        self._nreset(1)
        self._clock.sleep_ms(6)

    def begin(self) -> None:
        self.reset()
        if self._read(_REG_VERSION)[0] != 0x12:
            raise RadioError("not_found")
        self._write(_REG_OP_MODE, _SLEEP)  # LoRa mode can be chosen in sleep only
        self._high = True
        self._enter(_SLEEP)
        if self._read(_REG_OP_MODE)[0] != 0x80:
            raise RadioError("not_found")
        if self._settings["tcxo_mv"]:
            self._write(_REG_TCXO, 0x19)
        self._write(_REG_FIFO_TX_BASE_ADDR, 0, 0)
        self._write(_REG_LNA, 0x23 if self._settings["rx_boost"] else 0x20)
        self._lost = False
        self._enter(_STANDBY)
        self._clock.sleep_us(300)  # the oscillator: 250 us

    def standby(self) -> None:
        if self._lost:
            self.begin()
            return
        asleep = self._mode == _SLEEP
        if self._mode != _STANDBY:
            self._enter(_STANDBY)
            if asleep:
                self._clock.sleep_us(300)
            else:
                self._take_flags()

    def sleep(self) -> None:
        """Registers are kept; the FIFO is lost, and every transmission fills it anew."""
        if self._lost:
            self.begin()
        if self._mode != _SLEEP:
            self.standby()
            self._enter(_SLEEP)

    def wake(self) -> None:
        self.standby()

    # Parameters

    def _configure(self, parameters: "LoraParameters", symbols: int) -> None:
        bandwidth_hz = parameters.bandwidth_hz
        bandwidth = _BANDWIDTHS.get(bandwidth_hz)
        sf = parameters.spreading_factor
        if bandwidth is None or not 7 <= sf <= 12:
            raise RadioError("unsupported")
        self._set_frequency(parameters.frequency_hz)
        implicit = 1 if parameters.implicit else 0
        crc = 4 if parameters.crc else 0
        preamble = parameters.preamble_symbols
        self._set(
            _REG_MODEM_CONFIG_1,
            bandwidth << 4 | (parameters.coding_rate - 4) << 1 | implicit,
            sf << 4 | crc | symbols >> 8,
            symbols & 0xFF,
            preamble >> 8,
            preamble & 0xFF,
        )
        self._set(_REG_MODEM_CONFIG_3, (8 if parameters.low_data_rate else 0) | 4)  # automatic gain
        self._set(_REG_DETECTION_THRESHOLD, 0x0A)
        self._set(_REG_SYNC_WORD, parameters.sync_word)
        wide = bandwidth_hz == 500000
        self._set(_REG_HIGH_BW_OPTIMIZE_1, 0x02 if wide else 0x03)  # ERR 2.1
        if wide:
            self._set(_REG_HIGH_BW_OPTIMIZE_2, 0x64 if self._high else 0x7F)
        self._set(_REG_DETECT_OPTIMIZE, 0xC3 if wide else 0x43)  # ERR 2.3: automatic IF hears spurs
        if not wide:
            self._set(_REG_IF_FREQ_2, 0x40, 0x00)

    def _set_frequency(self, frequency_hz: int) -> None:
        self._high = frequency_hz >= _HF_HZ
        whole, part = divmod(frequency_hz, 15625)  # steps of 32 MHz / 2^19
        word = (whole << 8) + ((part << 8) + 7812) // 15625
        self._set(_REG_FRF_MSB, word >> 16 & 0xFF, word >> 8 & 0xFF, word & 0xFF)

    def _invert(self, sending: bool, receiving: bool) -> None:
        # Bit 6 inverts reception when set, bit 0 transmission when clear.
        self._set(_REG_INVERT_IQ, 0x26 | (0x40 if receiving else 0) | (0 if sending else 1))
        self._set(_REG_INVERT_IQ_2, 0x19 if sending or receiving else 0x1D)

    def _set_power(self, power_dbm: int) -> None:
        power_dbm = max(self.min_power_dbm, min(self.max_power_dbm, power_dbm))
        if not self._settings["pa_boost"]:
            # RFO: 10.8 + 0.6 MaxPower - (15 - OutputPower), with MaxPower 7 or 0 (DS 5.4.2).
            self._set(_REG_PA_CONFIG, 0x70 | power_dbm if power_dbm >= 0 else power_dbm + 4)
            self._set(_REG_OCP, 0x2B)
        elif power_dbm > 17:
            self._set(_REG_PA_CONFIG, 0xF0 | power_dbm - 5)
            self._set(_REG_PA_DAC, 0x87)  # 3 dB more, 120 mA (DS 5.4.3)
            self._set(_REG_OCP, 0x31)  # 140 mA
        else:
            self._set(_REG_PA_CONFIG, 0xF0 | power_dbm - 2)
            self._set(_REG_PA_DAC, 0x84)
            self._set(_REG_OCP, 0x2B)  # 100 mA

    # Sending

    def prepare_tx(self, parameters: "LoraParameters", payload: bytes, power_dbm: int) -> None:
        self.standby()
        self._configure(parameters, 100)
        self._invert(parameters.invert_iq, False)
        self._set_power(power_dbm)
        self._set(_REG_PAYLOAD_LENGTH, len(payload))
        self._set(_REG_DIO_MAPPING_1, _MAPPING_TX_DONE)
        self._write(_REG_FIFO_ADDR_PTR, 0)
        self._burst(_REG_FIFO, payload)
        self._span_us = time_on_air_us(parameters, len(payload))

    def start_tx(self) -> int:
        self._enter(_TX)
        clock = self._clock
        now = clock.ticks_us()
        self._seen = now
        self._end = clock.ticks_add(now, _TX_SWITCH_US + self._span_us)
        return now

    def poll_tx(self) -> "int | None":
        clock = self._clock
        before = clock.ticks_us()
        if self._dio0 is None or self._dio0():
            now = clock.ticks_us()
            if self._take_flags() & _TX_DONE:
                self._mode = _STANDBY
                if clock.ticks_diff(self._end, now) > 0:
                    return now
                return self._seen if clock.ticks_diff(self._seen, self._end) > 0 else self._end
        if clock.ticks_diff(before, self._end) > _TX_MARGIN_US:
            self._lost = True  # no timer of the chip bounds a transmission
            raise RadioError("tx_timeout")
        self._seen = before
        return None

    # Receiving

    def prepare_rx(self, parameters: "LoraParameters", symbols: int) -> None:
        symbols = max(_MIN_SYMBOLS, min(_MAX_SYMBOLS, symbols))
        self.standby()
        self._configure(parameters, symbols)
        self._invert(False, parameters.invert_iq)
        self._set(_REG_PAYLOAD_LENGTH, 255)
        self._set(_REG_DIO_MAPPING_1, _MAPPING_RX_DONE)
        symbol_us = symbol_time_us(parameters.spreading_factor, parameters.bandwidth_hz)
        self._window_us = symbols * symbol_us
        self._header_us = self._window_us + (parameters.preamble_symbols + 16) * symbol_us + _RX_MARGIN_US
        self._longest_us = self._header_us + time_on_air_us(parameters, 255)
        self._implicit = parameters.implicit

    def start_rx(self) -> int:
        self._enter(_RX_SINGLE)
        self._seen = self._looked = self._clock.ticks_us()
        self._header_seen = self._implicit
        return self._seen

    def poll_rx(self) -> "RxPacket | bool | None":
        clock = self._clock
        now = clock.ticks_us()
        open_us = clock.ticks_diff(now, self._seen)
        # A timeout raises no line: past the window look at the flags, at most each millisecond.
        look = open_us > self._window_us and clock.ticks_diff(now, self._looked) >= 1000
        if look or self._dio0 is None or self._dio0():
            self._looked = now = clock.ticks_us()
            flags = self._take_flags()
            if flags & (_RX_DONE | _RX_TIMEOUT):
                return self._finish_rx(flags, now)
            if flags & _VALID_HEADER:
                self._header_seen = True
        if open_us > (self._longest_us if self._header_seen else self._header_us):
            self.standby()
            return False
        return None

    def _finish_rx(self, flags: int, now: int) -> "RxPacket | bool":
        self._mode = _STANDBY
        if not flags & _RX_DONE or flags & _CRC_ERROR:
            return False
        self._write(_REG_FIFO_ADDR_PTR, self._read(_REG_FIFO_RX_CURRENT_ADDR)[0])
        payload = bytes(self._read(_REG_FIFO, self._read(_REG_RX_NB_BYTES)[0]))
        snr, rssi = self._read(_REG_PKT_SNR_VALUE, 2)
        snr = snr - 256 if snr > 127 else snr
        # DS 5.5.5: below the noise the packet's own strength is lower than the indicator by the SNR.
        strength = self._rssi_offset() + (rssi if snr >= 0 else rssi + (snr >> 2))
        return RxPacket(payload, strength, snr, now)

    def _rssi_offset(self) -> int:
        return -157 if self._high else -164

    # Listening before talking

    def rssi_dbm(self) -> int:
        if self._mode != _RX_CONTINUOUS:
            self.standby()
            self._enter(_RX_CONTINUOUS)
            self._clock.sleep_ms(1)
        return self._rssi_offset() + self._read(_REG_RSSI_VALUE)[0]

    def channel_activity(self, parameters: "LoraParameters") -> bool:
        self.standby()
        self._configure(parameters, 100)
        self._invert(False, parameters.invert_iq)
        self._enter(_CAD)
        symbol_us = symbol_time_us(parameters.spreading_factor, parameters.bandwidth_hz)
        clock = self._clock
        clock.sleep_us(2 * symbol_us)  # DS 4.1.6: under two symbols
        for _ in range(50):
            flags = self._take_flags()
            if flags & _CAD_DONE:
                self._mode = _STANDBY
                return bool(flags & _CAD_DETECTED)
            clock.sleep_us(symbol_us // 8 + 100)
        self._lost = True
        raise RadioError("cad_timeout")
