# SPDX-License-Identifier: MIT
"""What the supported ESP32 chips can do, as far as a board file or an image must respect it.

Not a description of boards (that is `communode.boards`), nor of the virtual chips.

Sources: ESP32 Series Datasheet v4 (pins, ADC1, RTC GPIO), ESP32-S3 Series Datasheet v1.9, ESP32-C3 Series
Datasheet v1.8; flash layout and chip ids: esptool documentation, "Firmware image format".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Soc:
    """One chip: GPIO numbers that a board may wire, and where its ROM looks for the bootloader."""

    name: str
    title: str
    arch: str  # mpy-cross -march
    bootloader_offset: int
    pins: frozenset[int]
    input_only: frozenset[int]
    adc1: frozenset[int]  # ADC2 is not offered: it is shared with Wi-Fi and not calibrated alike
    wake: frozenset[int]  # can end deep sleep
    ulp: frozenset[int]  # inputs that `communode.ulp_program` can read; none: no ULP in the stock image


def _pins(*spans: tuple[int, int]) -> frozenset[int]:
    return frozenset(number for first, last in spans for number in range(first, last + 1))


# GPIO6 to 11 (ESP32), 26 to 32 (S3) and 11 to 17 (C3) are the flash chip's.
SOCS = {
    "esp32": Soc(
        name="esp32",
        title="ESP32",
        arch="xtensawin",
        bootloader_offset=0x1000,
        pins=_pins((0, 5), (12, 19), (21, 23), (25, 27), (32, 39)),
        input_only=_pins((34, 39)),
        adc1=_pins((32, 39)),
        wake=frozenset({0, 2, 4}) | _pins((12, 15), (25, 27), (32, 39)),
        ulp=_pins((36, 39)),  # the sensor pads: the others have pulls that reset switches on
    ),
    "esp32s3": Soc(
        name="esp32s3",
        title="ESP32-S3",
        arch="xtensawin",
        bootloader_offset=0,
        pins=_pins((0, 21), (33, 48)),
        input_only=frozenset(),
        adc1=_pins((1, 10)),
        wake=_pins((0, 21)),
        ulp=_pins((0, 21)),
    ),
    "esp32c3": Soc(
        name="esp32c3",
        title="ESP32-C3",
        arch="rv32imc",
        bootloader_offset=0,
        pins=_pins((0, 10), (18, 21)),
        input_only=frozenset(),
        adc1=_pins((0, 4)),
        wake=_pins((0, 5)),
        ulp=frozenset(),
    ),
}
