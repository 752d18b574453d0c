# SPDX-License-Identifier: MIT
# A02YYUW over a bin outdoors: the distance corrected for the air's temperature, the fill level that follows, what
# the sensor itself said, spread and number of the echoes. WIKI = DFRobot SEN0311.
#
# WIKI promises no compensation for the air's temperature, as it does of other sensors: 20 degrees are 3.6 % of
# the distance. Settings: assumed_degc is the temperature that the sensor computes with (not in WIKI: 20 is
# usual); empty_mm and full_mm, see fill.py. Who has sensors that compensate takes a02yyuw.

from micropython import const

from ..sampling.filters import summarise
from ..sampling.sound import at_temperature
from ..schema.quantities import (
    ABSENT,
    AIR_TEMPERATURE,
    DISTANCE,
    DISTANCE_COUNT,
    DISTANCE_SPREAD,
    FAULT,
    FILL_LEVEL,
    GOOD,
    OUT_OF_CALIBRATION,
    RAW,
    TOO_FEW_SAMPLES,
)
from .a02yyuw import distances
from .fill import fill_codes, fill_readings
from .reading import TYPE_CHECKING, known, without_value

if TYPE_CHECKING:
    from .reading import Reading, Readings, SleepMs, Uart

_FEW = const(3)
_START_MS = const(2000)  # power-up, then five frames at their slowest
_MOST = const(30)  # that the count takes on air

QUANTITIES = (DISTANCE, FILL_LEVEL, DISTANCE | RAW, DISTANCE_SPREAD, DISTANCE_COUNT)


class A02yyuwAir:
    def __init__(
        self, uart: "Uart", sleep_ms: "SleepMs", empty_mm: int = 0, full_mm: int = 0, assumed_degc: int = 20
    ) -> None:
        self._uart = uart
        self._empty_mm = empty_mm
        self._full_mm = full_mm
        self._assumed = assumed_degc * 1000
        self._temperature: int | None = None

    def use(self, readings: "Readings") -> None:
        self._temperature = known(readings, AIR_TEMPERATURE, -40_000, 60_000)

    def start(self) -> int:
        self._uart.read()  # frames of before
        return _START_MS

    def read(self) -> "tuple[Reading, ...]":
        codes = fill_codes(self._empty_mm) + QUANTITIES[2:]
        data = self._uart.read()
        if not data:
            return without_value(codes, ABSENT)
        samples = distances(data)
        if not samples:
            return without_value(codes, FAULT)
        raw, spread, count = summarise(samples)
        raw_quality = quality = GOOD if count >= _FEW else TOO_FEW_SAMPLES
        distance = raw
        if self._temperature is None:
            quality = quality or OUT_OF_CALIBRATION  # computed for `assumed_degc`, whatever it is
        else:
            distance = at_temperature(raw, self._temperature, self._assumed)
        return fill_readings(distance, quality, self._empty_mm, self._full_mm) + (
            (DISTANCE | RAW, raw, raw_quality),
            (DISTANCE_SPREAD, spread, GOOD),
            (DISTANCE_COUNT, min(count, _MOST), GOOD),
        )

    def stop(self) -> None:
        # Only its power gate stops it.
        pass


Sensor = A02yyuwAir
