# SPDX-License-Identifier: MIT
# Buses, pins and power gates of the board, made from its description in hardware.py.

import machine
import onewire
from machine import ADC, SPI, UART, Pin

from .recovery import RecoveringI2c


def make_spi(radio: "dict[str, int]") -> SPI:
    """The radio's SPI: mode 0, 8 MHz."""
    return SPI(radio["spi"], 8000000, sck=Pin(radio["sck"]), mosi=Pin(radio["mosi"]), miso=Pin(radio["miso"]))


def make_output(pin: int, level: int) -> Pin:
    """An output that starts at `level`."""
    return Pin(pin, Pin.OUT, value=level)


def make_input(pin: "int | None") -> "Pin | None":
    """A floating input, or None."""
    return None if pin is None else Pin(pin, Pin.IN)


def make_bus(bus: "dict[str, int | str]", name: str, gate: "dict[str, int] | None" = None) -> object:
    """I2C, UART (9600 8N1, what our sensors speak), I2S, the ULP or 1-Wire by the bus's kind.

    `gate` is the power gate of the sensors on it, which an I2C bus that is stuck may use.
    """
    kind = bus["kind"]
    if kind == "i2c":
        return RecoveringI2c(int(name[-1]), bus, gate)
    if kind == "uart":
        return UART(int(name[-1]), 9600, tx=bus["tx"], rx=bus["rx"])
    if kind == "i2s":
        from .microphone import make_microphone

        return make_microphone(bus, int(name[-1]))
    if kind == "ulp":
        from .ulp import Ulp

        return Ulp()
    return onewire.OneWire(Pin(bus["pin"]))


def make_battery(battery: "dict[str, int]") -> ADC:
    """The battery's ADC input with its divider switched on."""
    if battery.get("enable_pin") is not None:
        make_output(battery["enable_pin"], battery["enable_level"])
    return ADC(Pin(battery["pin"]), atten=ADC.ATTN_11DB)


def unique_id() -> bytes:
    """The chip's MAC."""
    return machine.unique_id()
