# SPDX-License-Identifier: MIT
"""What is soldered to a virtual board: chips on buses and pins, and the board's strict view of their use.

Answers the processor's pin and bus requests and says how long each takes on the wires. A pin that is driven
without being an output, a bus on pins that are not wired, two selected chips: each is a `Violation`.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from typing import Any

from communode.boards import Board
from communode.profiles import Profile
from communode.virtual.chips import SENSOR_CHIPS
from communode.virtual.chips.chip import (
    Chip,
    I2cChip,
    I2sChip,
    Nack,
    OneWireChip,
    SpiChip,
    UartChip,
    Violation,
    World,
)
from communode.virtual.chips.pulse_ulp import PulseUlp

OUTPUT = 2  # bit of machine.Pin's mode that means output
ENODEV, EIO, ETIMEDOUT = 19, 5, 116
HOLDING = frozenset({"stuck_sda", "held_sda"})  # faults that hold the data line of an I2C bus
RELEASING_PULSES = 9
I2C_TIMEOUT_US = 50_000  # machine.I2C's default


def _faults(chip: Chip) -> set[str]:
    found: set[str] = getattr(chip, "faults", set())
    return found


class ChipEnvironment:
    """The board as its chips see it."""

    def __init__(
        self,
        world: World,
        now: Callable[[], int],
        call_at: Callable[[int, Callable[[], None]], None],
        seed: str,
    ) -> None:
        self.world = world
        self.rng = random.Random(zlib.crc32(seed.encode()))
        self.now_us = now
        self.call_at = call_at


class Wiring:
    """Pins, buses and chips of one board with one profile's sensors."""

    def __init__(
        self,
        board: Board,
        profile: Profile | None,
        environment: Callable[[str], ChipEnvironment],
        radio: SpiChip,
        faults: dict[str, str] | None = None,
    ) -> None:
        self.board = board
        self.radio = radio
        self._environment = environment
        self._modes: dict[int, int] = {}
        self._levels: dict[int, int] = {}
        self._pulls: dict[int, int] = {}
        self._scl_pulses: dict[int, int] = {}  # on SCL pins, while somebody holds SDA
        self._uart_since: dict[int, int] = {}
        self._uart_waiting: dict[int, bytearray] = {}
        self._buses: dict[tuple[str, int], tuple[tuple[int, ...], int]] = {}
        self.i2c: dict[tuple[int, int], list[I2cChip]] = {}
        self.uart: dict[tuple[int, int], list[UartChip]] = {}
        self.wire: dict[int, list[OneWireChip]] = {}
        self.i2s: dict[tuple[int, int, int], list[I2sChip]] = {}
        self.contacts: dict[int, PulseUlp] = {}
        self.gated: dict[str, list[Chip]] = {name: [] for name in board.power}
        self.chips: dict[str, Chip] = {}
        wires = board.radio
        self._spi_pins = (wires.sck, wires.mosi, wires.miso)
        self._radio_inputs = {wires.reset: "NRESET"}
        self._radio_outputs = {
            pin: name
            for pin, name in ((wires.busy, "BUSY"), (wires.dio0, "DIO0"), (wires.dio1, "DIO1"))
            if pin is not None
        }
        for pin, name in ((wires.tx_enable, "TXEN"), (wires.rx_enable, "RXEN")):
            if pin is not None:
                self._radio_inputs[pin] = name
        self.radio_pins = {wires.nss, *self._radio_inputs, *self._radio_outputs}
        for bus in board.buses.values():
            self._empty_bus(bus.kind, bus.pins)
        for sensor in profile.sensors if profile else ():
            self._attach(
                sensor.driver, sensor.bus, sensor.power, sensor.settings, (faults or {}).get(sensor.driver)
            )

    def _empty_bus(self, kind: str, pins: dict[str, int]) -> None:
        if kind == "i2c":
            self.i2c[pins["scl"], pins["sda"]] = []
        elif kind == "uart":
            self.uart[pins["tx"], pins["rx"]] = []
        elif kind == "i2s":
            self.i2s[pins["sck"], pins["ws"], pins["sd"]] = []
        elif kind == "onewire":
            self.wire[pins["pin"]] = []

    def _attach(
        self, driver: str, bus: str, power: str | None, settings: dict[str, Any], fault: str | None
    ) -> None:
        if driver == "battery":
            return
        if fault == "absent":
            return
        given = dict(settings, faults={fault} if fault else set())
        chip = SENSOR_CHIPS[driver](self._environment(driver), **given)
        self.chips[driver] = chip
        pins = self.board.buses[bus].pins
        if isinstance(chip, I2cChip):
            self.i2c[pins["scl"], pins["sda"]].append(chip)
        elif isinstance(chip, UartChip):
            self.uart[pins["tx"], pins["rx"]].append(chip)
        elif isinstance(chip, OneWireChip):
            self.wire[pins["pin"]].append(chip)
        elif isinstance(chip, I2sChip):
            self.i2s[pins["sck"], pins["ws"], pins["sd"]].append(chip)
        elif isinstance(chip, PulseUlp):
            self.contacts[pins["pin"]] = chip
        if power is not None and power in self.gated:
            self.gated[power].append(chip)
            chip.power(False)

    # pins

    def reset_pins(self) -> None:
        """The processor was reset: every pin floats, so gates go to their off state (a pull resistor)."""
        self._modes.clear()
        self._levels.clear()
        for name in self.gated:
            self._gate(name, False)

    def set_mode(self, pin: int, mode: int, pull: int) -> None:
        """``machine.Pin.init``: the output latch that was set before becomes visible."""
        was_output = self._modes.get(pin, 0) & OUTPUT
        self._modes[pin] = mode
        self._pulls[pin] = pull
        if mode & OUTPUT and not was_output:
            self._drive(pin, self._levels.get(pin, 0))

    def set_level(self, pin: int, level: int) -> None:
        """Write a pin's latch."""
        if level and not self._levels.get(pin, 1) and self._modes.get(pin, 0) & OUTPUT:
            self._pulse_scl(pin)
        self._levels[pin] = level
        if self._modes.get(pin, 0) & OUTPUT:
            self._drive(pin, level)

    def _drive(self, pin: int, level: int) -> None:
        wires = self.board.radio
        if pin == wires.nss:
            if level:
                self.radio.deselect()
            else:
                self.radio.select()
        elif pin in self._radio_inputs:
            self.radio.set_pin(self._radio_inputs[pin], level)
        elif pin in self._radio_outputs:
            raise Violation(f"GPIO{pin} is driven, but {self._radio_outputs[pin]} of the radio drives it too")
        else:
            for name, gate in self.board.power.items():
                if gate.pin == pin:
                    self._gate(name, level == gate.on_level)

    def _gate(self, name: str, on: bool) -> None:
        for chip in self.gated[name]:
            if chip.powered != on:
                chip.power(on)
            if not on:
                _faults(chip).difference_update(HOLDING)

    def _holders(self, pins: tuple[int, int]) -> list[I2cChip]:
        """The chips that hold the data line of a bus (SCL, SDA) low."""
        return [chip for chip in self.i2c.get(pins, []) if chip.powered and _faults(chip) & HOLDING]

    def _pulse_scl(self, pin: int) -> None:
        """A clock by hand: nine of them bring a target to the end of what it wanted to send."""
        for pins in self.i2c:
            holders = self._holders(pins) if pins[0] == pin else []
            if holders:
                self._scl_pulses[pin] = self._scl_pulses.get(pin, 0) + 1
                if self._scl_pulses[pin] >= RELEASING_PULSES:
                    self._scl_pulses[pin] = 0
                    for chip in holders:
                        _faults(chip).discard("stuck_sda")

    def get_level(self, pin: int) -> int:
        """Read a pin."""
        if pin in self._radio_outputs:
            return self.radio.pin(self._radio_outputs[pin])
        for pins in self.i2c:
            if pin in pins:  # open drain with pull-ups: low if anybody says so
                low = self._modes.get(pin, 0) & OUTPUT and not self._levels.get(pin, 1)
                return 0 if low or (pin == pins[1] and self._holders(pins)) else 1
        if self._modes.get(pin, 0) & OUTPUT:
            return self._levels.get(pin, 0)
        return 1 if self._pulls.get(pin) == 2 else 0

    def level(self, gpio: int, time_us: int) -> int:
        """What the ULP sees at an input; without a contact, the pull-up."""
        return self.contacts[gpio].level(time_us) if gpio in self.contacts else 1

    def next_change(self, gpio: int, time_us: int) -> int:
        """A time after ``time_us`` before which that does not change."""
        return self.contacts[gpio].next_change(time_us) if gpio in self.contacts else 1 << 62

    # SPI

    def init_spi(self, bus: int, baud: int, setup: bytes) -> None:
        """Route a controller; mode 0 is all the radio understands."""
        sck, mosi, miso, polarity, phase = setup
        if (sck, mosi, miso) == self._spi_pins and (polarity or phase):
            raise Violation("the radio speaks SPI mode 0")
        self._buses["spi", bus] = ((sck, mosi, miso), min(baud, 80_000_000))

    def is_radio_bus(self, bus: int) -> bool:
        """Whether SPI controller ``bus`` reaches the radio."""
        return self._buses.get(("spi", bus), ((), 0))[0] == self._spi_pins

    def transfer_spi(self, bus: int, data: bytes) -> tuple[bytes, int]:
        """Answer and microseconds on the wire."""
        if ("spi", bus) not in self._buses:
            raise Violation(f"SPI {bus} is used before it is set up")
        wire_us = 2 + len(data) * 8_000_000 // self._buses["spi", bus][1]
        selected = self._modes.get(self.board.radio.nss, 0) & OUTPUT and not self._levels.get(
            self.board.radio.nss, 1
        )
        if not self.is_radio_bus(bus) or not selected:
            return b"\xff" * len(data), wire_us
        return self.radio.transfer(data), wire_us

    # I2C

    def init_i2c(self, bus: int, frequency_hz: int, setup: bytes) -> None:
        """Route a controller: ``setup`` is SCL, SDA."""
        self._buses["i2c", bus] = (tuple(setup), max(1000, frequency_hz))

    def _i2c_bus(self, bus: int, size: int) -> tuple[list[I2cChip] | None, int]:
        """Chips and microseconds of a transfer; no chips at all where the data line is held."""
        if ("i2c", bus) not in self._buses:
            raise Violation(f"I2C {bus} is used before it is set up")
        pins, frequency_hz = self._buses["i2c", bus]
        chips = self.i2c.get((pins[0], pins[1]), [])
        if self._holders((pins[0], pins[1])):
            return None, I2C_TIMEOUT_US
        return chips, (size + 1) * 9_000_000 // frequency_hz + 20

    def write_i2c(self, bus: int, address: int, data: bytes) -> tuple[int, int]:
        """Bytes acknowledged (or minus an errno) and microseconds on the wire."""
        chips, wire_us = self._i2c_bus(bus, len(data))
        if chips is None:
            return -ETIMEDOUT, wire_us
        for chip in chips:
            if address in chip.addresses and chip.powered:
                try:
                    return chip.i2c_write(address, data), wire_us
                except Nack:
                    return -ENODEV, wire_us
        return -ENODEV, wire_us

    def read_i2c(self, bus: int, address: int, count: int) -> tuple[bytes | None, int]:
        """Bytes (None: not acknowledged) and microseconds on the wire."""
        chips, wire_us = self._i2c_bus(bus, count)
        for chip in chips or ():
            if address in chip.addresses and chip.powered:
                try:
                    return chip.i2c_read(address, count), wire_us
                except Nack:
                    return None, wire_us
        return None, wire_us

    # UART

    def init_uart(self, bus: int, baud: int, setup: bytes, now_us: int) -> None:
        """Route a controller: ``setup`` is TX, RX, bits, parity, stop."""
        pins = (setup[0], setup[1])
        for chip in self.uart.get(pins, []):
            if chip.baud_rate != baud or setup[2] != 8:
                raise Violation(f"{type(chip).__name__} speaks {chip.baud_rate} 8N1, not {baud}")
        self._buses["uart", bus] = (pins, baud)
        self._uart_since[bus] = now_us
        self._uart_waiting[bus] = bytearray()

    def _uart_chips(self, bus: int) -> list[UartChip]:
        if ("uart", bus) not in self._buses:
            raise Violation(f"UART {bus} is used before it is set up")
        pins = self._buses["uart", bus][0]
        return [chip for chip in self.uart.get((pins[0], pins[1]), []) if chip.powered]

    def write_uart(self, bus: int, data: bytes) -> int:
        """Send; return microseconds on the wire."""
        for chip in self._uart_chips(bus):
            chip.uart_write(data)
        return len(data) * 10_000_000 // self._buses["uart", bus][1]

    def waiting_uart(self, bus: int, now_us: int) -> bytearray:
        """Bytes in the receive buffer (256 at most, as the port's default: the rest is lost)."""
        waiting = self._uart_waiting.setdefault(bus, bytearray())
        for chip in self._uart_chips(bus):
            waiting += chip.uart_read(self._uart_since[bus], now_us)
        self._uart_since[bus] = now_us
        del waiting[256:]
        return waiting

    # I2S

    def init_i2s(self, bus: int, rate_hz: int, setup: bytes) -> None:
        """Route a controller: ``setup`` is SCK, WS, SD, bits, channels."""
        if setup[3] != 32 or setup[4] != 1:
            raise Violation(f"I2S {bus}: our microphones send 32 bits on one channel")
        self._buses["i2s", bus] = (tuple(setup[:3]), rate_hz)

    def read_i2s(self, bus: int, size: int, now_us: int) -> tuple[bytes, int]:
        """So many bytes of sound from now on (zeros: nobody drives the line), and how long they take."""
        if ("i2s", bus) not in self._buses:
            raise Violation(f"I2S {bus} is used before it is set up")
        pins, rate_hz = self._buses["i2s", bus]
        count = size // 4
        took_us = count * 1_000_000 // rate_hz
        for chip in self.i2s.get((pins[0], pins[1], pins[2]), []):
            if chip.powered:
                return chip.i2s_read(count, rate_hz, now_us + took_us), took_us
        return bytes(4 * count), took_us

    # 1-Wire, ADC

    def reset_wire(self, pin: int) -> int:
        """Reset pulse; presence as 0 or 1."""
        presences = [chip.reset() for chip in self.wire.get(pin, []) if chip.powered]  # all of them hear it
        return int(any(presences))

    def write_wire(self, pin: int, data: bytes, bits: int) -> None:
        """Write slots, LSB first."""
        for index in range(bits):
            for chip in self.wire.get(pin, []):
                if chip.powered:
                    chip.write_bit((data[index >> 3] >> (index & 7)) & 1)

    def read_wire(self, pin: int, bits: int) -> bytes:
        """Read slots: the line is the AND of all chips."""
        value = 0
        for index in range(bits):
            level = 1
            for chip in self.wire.get(pin, []):
                if chip.powered:
                    level &= chip.read_bit()
            value |= level << index
        return value.to_bytes((bits + 7) // 8, "little")

    def adc_uv(self, pin: int, battery_v: float) -> int:
        """Voltage at an analogue input."""
        battery = self.board.battery
        if battery is None or pin != battery.pin:
            return 0
        if battery.enable_pin is not None and (
            not self._modes.get(battery.enable_pin, 0) & OUTPUT
            or self._levels.get(battery.enable_pin, 0) != battery.enable_level
        ):
            return 0
        return int(battery_v * 1e9 / battery.ratio_permille)
