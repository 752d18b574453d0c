# SPDX-License-Identifier: MIT
# An SX1261/SX1262 on its wires: the bus, and its life from reset to sleep. What it sends and receives is in
# sx126x.py.
#
# Sources: DS = SX1261/2 Rev 2.1; C15.n = its chapter 15, the known limitations and their cures. The byte
# streams are checked against Semtech's sx126x_driver 2.3.2.

from micropython import const

from . import sx126x_commands as commands
from .modem import Modem, RadioError

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from .modem import Clock, Pin, Spi

IDLE = const(0)
SENDING = const(1)
RECEIVING = const(2)
ASLEEP = const(3)

_XOSC_START_ERROR = const(0x0020)
_PLL_LOCK_ERROR = const(0x0040)

_REG_RETENTION_LIST = const(0x029F)
_REG_SYNC_WORD = const(0x0740)
_REG_RX_GAIN = const(0x08AC)
_REG_TX_CLAMP = const(0x08D8)

_BUSY_LIMIT_US = const(30000)  # full calibration was seen to take 18 ms; plus the TCXO's start
_RX_SWITCH_US = const(83)  # DS table 8-2: STDBY_RC to RX

_DEFAULTS = {
    "tcxo_mv": 0,  # 0: a crystal; else the supply that DIO3 gives to a TCXO
    "tcxo_delay_us": 5000,
    "dio2_rf_switch": 0,
    "max_power_dbm": 22,  # of the board; the chip's own limit applies as well
    "use_dcdc": 1,
    "rx_boost": 0,
}


class Sx126xChip(Modem):
    """Settings: ``chip`` ("sx1262" or "sx1261"), ``rx_enable`` and ``tx_enable`` (output pins of an antenna
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
        self._state = IDLE
        self._slept = 0  # ticks

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
        self._state = IDLE
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
        elif self._state == ASLEEP:
            self.wake()
        else:
            self._write(b"\x80\x00")
            if self._state != IDLE:
                self._take_flags()
        self._state = IDLE
        self._route(0, 0)

    def sleep(self) -> None:
        if self._state == ASLEEP and not self._lost:
            return
        self.standby()
        self._write(b"\x84\x04")
        self._state = ASLEEP
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
        self._state = IDLE
        band = self._known.get("band")
        self._known.clear()
        self._known["band"] = band
        if self._settings["tcxo_mv"]:
            self._start_tcxo()
        self._boost()

    def _rest(self) -> None:
        """Reach STDBY_RC from wherever we are, at the price of nothing where we are there."""
        if self._lost or self._state != IDLE:
            self.standby()
