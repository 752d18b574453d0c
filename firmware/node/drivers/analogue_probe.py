# SPDX-License-Identifier: MIT
# A probe with a voltage output on one input of an ADS1115, computed with the water's temperature.
# Not a driver; analogue_ph, analogue_ec and analogue_turbidity are.

from micropython import const

from ..schema.quantities import FAULT, GOOD, OUT_OF_CALIBRATION, WATER_TEMPERATURE
from .ads1115_input import RANGE_4V, Ads1115Input
from .reading import TRIES, TYPE_CHECKING, bad_quality, known, without_value

if TYPE_CHECKING:
    from .reading import I2c, Reading, Readings, SleepMs

_SAMPLES = const(5)
REFERENCE_MDEGC = const(25_000)


class AnalogueProbe:
    if TYPE_CHECKING:  # what subclasses say

        def _value(self, microvolts: int, temperature: int) -> "tuple[int | None, int]": ...

    def __init__(self, i2c: "I2c", sleep_ms: "SleepMs", address: int, channel: int, warm_up_ms: int) -> None:
        self._input = Ads1115Input(i2c, sleep_ms, address, channel, RANGE_4V)
        self._warm_up_ms = warm_up_ms
        self._code = 0
        self._temperature: int | None = None
        self._lost = FAULT

    def use(self, readings: "Readings") -> None:
        self._temperature = known(readings, WATER_TEMPERATURE, -5_000, 60_000)

    def start(self) -> int:
        for _ in range(TRIES):
            try:
                self._input.mark()
                self._lost = GOOD
                return self._warm_up_ms
            except OSError as error:
                self._lost = bad_quality(error)
        return 0

    def read(self) -> "tuple[Reading, ...]":
        if self._lost != GOOD:
            return without_value((self._code,), self._lost)
        for _ in range(TRIES):
            try:
                self._input.check_mark()  # a probe whose supply failed is cold again, and its output 0 V
                microvolts = self._input.median_microvolts(_SAMPLES)
            except OSError:
                continue
            celsius = REFERENCE_MDEGC if self._temperature is None else self._temperature
            value, quality = self._value(microvolts, celsius)
            if quality == GOOD and self._temperature is None:
                quality = OUT_OF_CALIBRATION  # computed for 25 degC, whatever it is
            return ((self._code, value, quality),)
        return without_value((self._code,), FAULT)

    def stop(self) -> None:
        # Its power gate switches it off.
        pass
