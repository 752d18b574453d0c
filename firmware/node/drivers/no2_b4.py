# SPDX-License-Identifier: MIT
# NO2 from an Alphasense NO2-B4 pair (working and auxiliary electrode) on its support board, on two inputs of
# an ADS1115. AAN = Alphasense application note AAN 803, algorithm 1; nT as in fablabbcn/smartcitizen-data.
#
# The settings are the sensor's own, from the label on its bag: zeros of the electronics (WEe, AEe) and
# sensitivity. The cell needs hours after its supply came: it must stay powered, and for `settle_readings`
# readings the value is WARMING_UP. Their number is kept in the ADS1115's lower threshold register, which the
# comparator would use if it were on, and which forgets when the supply fails - as the cell does.

from micropython import const

from ..schema.quantities import AIR_TEMPERATURE, CLAMPED, FAULT, GOOD, NO2, OUT_OF_CALIBRATION, WARMING_UP
from .ads1115_input import RANGE_2V, Ads1115Input
from .reading import TRIES, TYPE_CHECKING, bad_quality, known, without_value

if TYPE_CHECKING:
    from .reading import I2c, Reading, Readings, SleepMs

_LO_THRESH = const(2)
_FRESH = const(0x8000)  # what the register holds after power-on
_START_MS = const(20)
_SAMPLES = const(5)
_LIMIT = const(200_000)  # 0.1 ppb: the cell's range ends at 20 ppm
_FLOOR = const(-500)
# nT of NO2-B4 in tenths at -30, -20 ... 50 degC (AAN table 3): how much of the auxiliary electrode's current
# is the working electrode's background.
_NT = (13, 13, 13, 13, 10, 6, 4, 2, -15)

QUANTITIES = (NO2,)


def temperature_factor(millidegrees: int) -> int:
    # nT in thousandths, linear between the table's points, constant beyond its ends.
    position = min(max(millidegrees + 30_000, 0), 80_000)
    n = min(position // 10_000, 7)
    return _NT[n] * 100 + (_NT[n + 1] - _NT[n]) * (position - n * 10_000) // 100


def concentration(working_uv: int, auxiliary_uv: int, factor: int, sensitivity_nv_ppb: int) -> int:
    # AAN algorithm 1 in 0.1 ppb: (WEu - WEe) - nT (AEu - AEe), over the sensitivity.
    corrected_nv = working_uv * 1000 - factor * auxiliary_uv
    return corrected_nv * 10 // sensitivity_nv_ppb


class No2B4:
    def __init__(
        self,
        i2c: "I2c",
        sleep_ms: "SleepMs",
        address: int = 0x48,
        we_zero_uv: int = 225_000,
        ae_zero_uv: int = 245_000,
        sensitivity_nv_ppb: int = 309_000,
        settle_readings: int = 12,
    ) -> None:
        self._working = Ads1115Input(i2c, sleep_ms, address, 0, RANGE_2V)
        self._auxiliary = Ads1115Input(i2c, sleep_ms, address, 1, RANGE_2V)
        self._zeros = (we_zero_uv, ae_zero_uv)
        self._sensitivity_nv_ppb = sensitivity_nv_ppb
        self._settle_readings = settle_readings
        self._temperature: int | None = None
        self._lost = FAULT

    def use(self, readings: "Readings") -> None:
        self._temperature = known(readings, AIR_TEMPERATURE, -40_000, 60_000)

    def start(self) -> int:
        for _ in range(TRIES):
            try:
                self._working.probe()
                self._lost = GOOD
                return _START_MS
            except OSError as error:
                self._lost = bad_quality(error)
        return 0

    def read(self) -> "tuple[Reading, ...]":
        if self._lost != GOOD:
            return without_value(QUANTITIES, self._lost)
        for _ in range(TRIES):
            try:
                working = self._working.median_microvolts(_SAMPLES) - self._zeros[0]
                auxiliary = self._auxiliary.median_microvolts(_SAMPLES) - self._zeros[1]
                return (self._judge(working, auxiliary, self._age()),)
            except OSError:
                pass
        return without_value(QUANTITIES, FAULT)

    def _age(self) -> int:
        # Readings since the supply came, this one counted, up to settle_readings + 1.
        age = self._working.register(_LO_THRESH)
        age = 1 if age == _FRESH else age + 1
        if age <= self._settle_readings + 1:
            self._working.set_register(_LO_THRESH, age)
        return age

    def _judge(self, working: int, auxiliary: int, age: int) -> "Reading":
        celsius = 20_000 if self._temperature is None else self._temperature
        value = concentration(working, auxiliary, temperature_factor(celsius), self._sensitivity_nv_ppb)
        if self._working.saturated or self._auxiliary.saturated or not _FLOOR <= value <= _LIMIT:
            return NO2, min(max(value, _FLOOR), _LIMIT), CLAMPED
        if age <= self._settle_readings:
            return NO2, value, WARMING_UP
        return NO2, value, GOOD if self._temperature is not None else OUT_OF_CALIBRATION

    def stop(self) -> None:
        # The cell's bias stays; the ADS1115 powers itself down.
        pass


Sensor = No2B4
