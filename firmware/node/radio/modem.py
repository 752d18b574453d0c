# SPDX-License-Identifier: MIT
# The modem interface: what a LoRaWAN runner needs of a LoRa radio, and what it may rely on.
#
# Not here: any chip (sx126x.py, sx127x.py), any LoRaWAN word. Time is the handed-in clock's ticks_us.
#
# A use:   modem.begin()
#          modem.prepare_tx(uplink, frame, 14); modem.start_tx()
#          while (done := modem.poll_tx()) is None: ...
#          modem.prepare_rx(downlink, symbols)        # early: all registers
#          modem.start_rx()                           # at the deadline: one short command
#          while (got := modem.poll_rx()) is None: ...
#          modem.sleep()

from micropython import const

from .airtime import low_data_rate_needed

TYPE_CHECKING = const(0)  # the compiler drops the block below; mypy takes the name for true

if TYPE_CHECKING:

    class Clock:
        """Handed in: MicroPython's ``time``, or what behaves like it. Ticks wrap: compare by ticks_diff."""

        def ticks_us(self) -> int: ...
        def ticks_diff(self, end: int, start: int) -> int: ...
        def ticks_add(self, ticks: int, delta_us: int) -> int: ...
        def sleep_ms(self, duration_ms: int) -> None: ...
        def sleep_us(self, duration_us: int) -> None: ...

    class Spi:
        """Handed in: ``machine.SPI``, mode 0, most significant bit first, at most 10 MHz (16 for SX126x)."""

        def write(self, data: "bytes | bytearray | memoryview") -> None: ...
        def write_readinto(self, out: "bytearray | memoryview", into: "bytearray | memoryview") -> None: ...

    class Pin:
        """Handed in: ``machine.Pin``, already an input or an output; called with a level to drive it."""

        def __call__(self, level: "int | None" = None) -> int: ...


class RadioError(Exception):
    """The radio failed. ``code`` is stable:

    ``not_found`` no chip answers; ``busy_timeout`` BUSY stuck, the chip will be reset at the next use;
    ``oscillator`` the crystal or TCXO did not start; ``tx_timeout`` no TxDone within the time on air and its
    margin; ``cad_timeout`` no CadDone; ``unsupported`` this chip cannot do what the parameters ask.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class LoraParameters:
    """Everything that both ends of a LoRa packet must agree on. A record, hence the long constructor.

    ``coding_rate`` is 5..8 for 4/5..4/8; ``crc`` and ``implicit`` describe the packet as it is on air
    (LoRaWAN: uplinks have a CRC, downlinks have none and are inverted). ``sync_word`` is the one-byte form.
    ``low_data_rate`` is derived from the symbol time unless given.
    """

    def __init__(
        self,
        frequency_hz: int,
        spreading_factor: int,
        bandwidth_hz: int,
        coding_rate: int = 5,
        preamble_symbols: int = 8,
        invert_iq: bool = False,
        crc: bool = True,
        implicit: bool = False,
        sync_word: int = 0x34,
        low_data_rate: "bool | None" = None,
    ) -> None:
        self.frequency_hz = frequency_hz
        self.spreading_factor = spreading_factor
        self.bandwidth_hz = bandwidth_hz
        self.coding_rate = coding_rate
        self.preamble_symbols = preamble_symbols
        self.invert_iq = invert_iq
        self.crc = crc
        self.implicit = implicit
        self.sync_word = sync_word
        if low_data_rate is None:
            low_data_rate = low_data_rate_needed(spreading_factor, bandwidth_hz)
        self.low_data_rate = low_data_rate


class RxPacket:
    """A received packet; ``snr_quarter_db`` is dB * 4, ``ticks_us`` the moment RxDone was seen."""

    def __init__(self, payload: bytes, rssi_dbm: int, snr_quarter_db: int, ticks_us: int) -> None:
        self.payload = payload
        self.rssi_dbm = rssi_dbm
        self.snr_quarter_db = snr_quarter_db
        self.ticks_us = ticks_us


class Modem:
    """Base of the drivers, and the contract. Powers are conducted dBm, frequencies Hz, times us.

    Any method may raise RadioError. After one, the next ``prepare_*``, ``standby`` or ``sleep`` brings the
    chip back (by NRESET where needed) with its configuration: a caller need not know how.
    """

    min_power_dbm = 0
    max_power_dbm = 0
    rx_latency_us = 0  # from start_rx to an open receiver: synthesiser, and the start of a TCXO

    if TYPE_CHECKING:  # a contract takes no memory on a node

        def begin(self) -> None:
            """Reset the chip, see that it answers, and configure all that does not depend on a packet."""

        def reset(self) -> None:
            """Pulse NRESET and forget what the chip held; `begin` does this and more."""

        def standby(self) -> None:
            """Stop sending or receiving; the configuration stays."""

        def sleep(self) -> None:
            """Lowest power that keeps the configuration."""

        def wake(self) -> None:
            """Leave sleep, restore what the chip forgets in it. Implied by `prepare_tx` and `prepare_rx`."""

        def prepare_tx(self, parameters: LoraParameters, payload: bytes, power_dbm: int) -> None:
            """Everything but the start. ``power_dbm`` is limited to what chip and board can do."""

        def start_tx(self) -> int:
            """Send what was prepared: one short command. Returns ticks_us just after it."""

        def poll_tx(self) -> "int | None":
            """None while sending, then ticks_us of TxDone, once. RadioError ``tx_timeout`` if it never comes.

            The returned time is the computed end of the packet, limited to the interval between the last two
            polls: exact also for one that polls late.
            """

        def prepare_rx(self, parameters: LoraParameters, symbols: int) -> None:
            """A single window of ``symbols`` (at least; a chip may round up): everything but the start."""

        def start_rx(self) -> int:
            """Open the window that was prepared: one short command. Returns ticks_us just after it.

            The receiver listens `rx_latency_us` later, and the window counts from there.
            """

        def poll_rx(self) -> "RxPacket | bool | None":
            """None while listening or receiving; False when it ended without a valid packet, else that."""

        def rssi_dbm(self) -> int:
            """Strength now on the frequency last prepared; the receiver stays open until `standby`."""

        def channel_activity(self, parameters: LoraParameters) -> bool:
            """Whether somebody sends LoRa with these parameters now (CAD); blocks for a few symbols."""
