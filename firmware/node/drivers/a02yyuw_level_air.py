# SPDX-License-Identifier: MIT
# A02YYUW looking down on water, as a02yyuw_level.py, with the distance corrected for the air's temperature: 20 degrees
# are 14 cm of 4 m. Beside it the level as the sensor itself would have it, and spread and number of the echoes.
#
# Setting assumed_degc: see a02yyuw_air.py.

from ..sampling.sound import at_temperature
from ..schema.quantities import (
    AIR_TEMPERATURE,
    OUT_OF_CALIBRATION,
    RAW,
    WATER_LEVEL,
    WATER_LEVEL_COUNT,
    WATER_LEVEL_SPREAD,
)
from .a02yyuw_level import A02yyuwLevel
from .reading import TYPE_CHECKING, known

if TYPE_CHECKING:
    from .reading import Reading, Readings, SleepMs, Uart

QUANTITIES = (WATER_LEVEL, WATER_LEVEL | RAW, WATER_LEVEL_SPREAD, WATER_LEVEL_COUNT)


class A02yyuwLevelAir(A02yyuwLevel):
    def __init__(
        self,
        uart: "Uart",
        sleep_ms: "SleepMs",
        mount_mm: int = 4000,
        listen_ms: int = 5000,
        assumed_degc: int = 20,
    ) -> None:
        super().__init__(uart, sleep_ms, mount_mm, listen_ms)
        self._codes = QUANTITIES
        self._assumed = assumed_degc * 1000
        self._temperature: int | None = None

    def use(self, readings: "Readings") -> None:
        self._temperature = known(readings, AIR_TEMPERATURE, -40_000, 60_000)

    def _levels(self, distance: int, quality: int) -> "tuple[Reading, ...]":
        ((_, raw, raw_quality),) = super()._levels(distance, quality)
        level = raw
        if self._temperature is None:
            quality = quality or OUT_OF_CALIBRATION  # computed for `assumed_degc`, whatever it is
        else:
            level = self._mount_mm - at_temperature(distance, self._temperature, self._assumed)
        return (WATER_LEVEL, level, quality), (WATER_LEVEL | RAW, raw, raw_quality)


Sensor = A02yyuwLevelAir
