# SPDX-License-Identifier: MIT
# The modem interface over a driver of micropython-lib (packages lora-sx126x, lora-sx127x, lora-stm32wl5).
#
#   from lora import SX1276                       with any of its mixins; lora_cfg may be left out
#   modem = MicropythonLib(SX1276(spi=..., cs=..., dio0=..., reset=..., lora_cfg=None), clock)
#
# For radios that this package has no driver for, and programs that have one already. Otherwise prefer
# sx126x.py and sx127x.py: micropython-lib (0.1.6, commit ee4bb8f) opens windows by a timer in ms and not in
# symbols, needs several transactions to do so, sets the inverted-IQ work-around of the SX126x the wrong way
# round (long downlinks may be lost) and gives 10 dBm where 20 are asked of an SX127x. Listen before talk and
# CAD are not possible with it: regions that ask for it (KR920) answer ``unsupported``.
# Source: README of micropython-lib's lora packages, "Low-level API".

from micropython import const

from .airtime import symbol_time_us, time_on_air_us
from .modem import LoraParameters, Modem, RadioError, RxPacket

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from .modem import Clock

    class ForeignPacket:
        """Their RxPacket: a bytearray with the link's figures."""

        rssi: int
        snr: int

        def __bytes__(self) -> bytes: ...

    class Driver:
        """What is used of theirs."""

        def configure(self, lora_cfg: "dict[str, object]") -> None: ...
        def prepare_send(self, packet: bytes) -> None: ...
        def start_send(self) -> None: ...
        def poll_send(self) -> "int | bool": ...
        def start_recv(self, timeout_ms: "int | None" = None) -> None: ...
        def poll_recv(self) -> "ForeignPacket | bool": ...
        def standby(self) -> None: ...
        def sleep(self) -> None: ...


_TX_MARGIN_US = const(200000)
# Their receive timer stops at the header, not at the preamble: preamble, sync word and header are 20.25
# symbols (SX1261/2 Rev 2.1, 13.1.5 and 6.1.4).
_HEADER_SYMBOLS = const(21)


class MicropythonLib(Modem):
    """``rx_latency_us``: from `start_rx` to an open receiver; their driver takes several commands."""

    def __init__(
        self,
        driver: "Driver",
        clock: "Clock",
        min_power_dbm: int = 2,
        max_power_dbm: int = 14,
        rx_latency_us: int = 3000,
    ) -> None:
        self.min_power_dbm = min_power_dbm
        self.max_power_dbm = max_power_dbm
        self.rx_latency_us = rx_latency_us
        self._driver = driver
        self._clock = clock
        self._begun = 0  # ticks of the start of what is being sent, and of the last look at it
        self._looked = 0
        self._span_us = 0
        self._window_ms = 0

    def _ask(self, operation: str, *arguments: object) -> object:
        """Call the driver; its errors become ours."""
        try:
            return getattr(self._driver, operation)(*arguments)
        except ValueError:  # ConfigError: a spreading factor or power that it does not know
            raise RadioError("unsupported") from None
        except (RuntimeError, OSError):
            raise RadioError("busy_timeout") from None

    def begin(self) -> None:
        """Nothing but standby: their constructor has reset and calibrated the chip."""
        self.standby()

    def reset(self) -> None:
        """Not possible from here: make a new driver."""
        raise RadioError("unsupported")

    def standby(self) -> None:
        """As in Modem."""
        self._ask("standby")

    def sleep(self) -> None:
        """As in Modem: a warm start, they wake it themselves."""
        self._ask("sleep")

    wake = standby

    def _configure(self, parameters: LoraParameters, power_dbm: "int | None") -> None:
        inverted = parameters.invert_iq
        hertz = parameters.frequency_hz
        settings: dict[str, object] = {
            # A float has 24 bits on a microcontroller, 32 Hz here: only where there is no other way.
            "freq_khz": hertz / 1000 if hertz % 1000 else hertz // 1000,
            "sf": parameters.spreading_factor,
            "bw": "%d" % (parameters.bandwidth_hz // 1000),
            "coding_rate": parameters.coding_rate,
            "preamble_len": parameters.preamble_symbols,
            "syncword": parameters.sync_word,
            "crc_en": parameters.crc,
            "implicit_header": parameters.implicit,
            "invert_iq_tx": inverted,
            "invert_iq_rx": inverted,
        }
        if power_dbm is not None:
            settings["output_power"] = min(max(power_dbm, self.min_power_dbm), self.max_power_dbm)
        self._ask("configure", settings)

    def prepare_tx(self, parameters: LoraParameters, payload: bytes, power_dbm: int) -> None:
        """As in Modem."""
        self.standby()
        self._configure(parameters, power_dbm)
        self._ask("prepare_send", payload)
        self._span_us = time_on_air_us(parameters, len(payload))

    def start_tx(self) -> int:
        """As in Modem."""
        self._ask("start_send")
        self._begun = self._looked = self._clock.ticks_us()
        return self._begun

    def poll_tx(self) -> "int | None":
        """As in Modem; their own time stamp counts in ms and is not used."""
        clock = self._clock
        before, answer = self._looked, self._ask("poll_send")
        now = self._looked = clock.ticks_us()
        if answer is True:
            if clock.ticks_diff(now, self._begun) > self._span_us + _TX_MARGIN_US:
                self.standby()
                raise RadioError("tx_timeout")
            return None
        done = clock.ticks_add(self._begun, self._span_us)
        if clock.ticks_diff(done, now) > 0:
            return now
        return before if clock.ticks_diff(before, done) > 0 else done

    def prepare_rx(self, parameters: LoraParameters, symbols: int) -> None:
        """As in Modem; the window is longer by what their timer needs."""
        self.standby()
        self._configure(parameters, None)
        symbol_us = symbol_time_us(parameters.spreading_factor, parameters.bandwidth_hz)
        self._window_ms = -((symbols + _HEADER_SYMBOLS) * symbol_us // -1000)

    def start_rx(self) -> int:
        """As in Modem."""
        begun = self._clock.ticks_us()  # not after it: the latency counts from here
        self._ask("start_recv", self._window_ms)
        return begun

    def poll_rx(self) -> "RxPacket | bool | None":
        """As in Modem."""
        packet = self._ask("poll_recv")
        if packet is True:
            return None
        if packet is False:
            return False
        if not getattr(packet, "valid_crc", True):
            return False
        figures = (packet.rssi, packet.snr)  # type: ignore[attr-defined]
        return RxPacket(bytes(packet), figures[0], figures[1], self._clock.ticks_us())  # type: ignore[call-overload]

    def rssi_dbm(self) -> int:
        """Their interface has no such thing."""
        raise RadioError("unsupported")

    def channel_activity(self, parameters: LoraParameters) -> bool:
        """Their interface has no such thing."""
        raise RadioError("unsupported")
