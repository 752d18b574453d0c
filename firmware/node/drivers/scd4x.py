# SPDX-License-Identifier: MIT
# SCD41: CO2, temperature, humidity by single shots. DS = Sensirion SCD4x datasheet 1.3, September 2022.
#
# Between shots the chip stays idle (0.15 mA, DS 3.10) and is not powered down: after a power cycle or a
# wake_up the first shot is to be discarded (DS 3.10, 3.10.4) and costs 74 mC, as much as eight minutes of
# idling, and the automatic self-calibration, without which CO2 drifts, needs the supply (DS 3.10).
# Whether the chip lost its supply is asked of the chip: the altitude is volatile (DS 3.6), so we store
# ours, never the default 0, and finding another one means a fresh chip. CO2 of that shot is WARMING_UP.

from micropython import const

from ..schema.quantities import (
    ABSENT,
    AIR_TEMPERATURE,
    CLAMPED,
    CO2,
    FAULT,
    GOOD,
    RELATIVE_HUMIDITY,
    WARMING_UP,
)
from .reading import TRIES, TYPE_CHECKING, BadAnswer, without_value
from .sensirion import Words

if TYPE_CHECKING:
    from .reading import I2c, Reading, SleepMs

_ADDRESS = const(0x62)
_MEASURE_SINGLE_SHOT = const(0x219D)
_READ_MEASUREMENT = const(0xEC05)
_GET_DATA_READY_STATUS = const(0xE4B8)
_GET_SENSOR_ALTITUDE = const(0x2322)
_SET_SENSOR_ALTITUDE = const(0x2427)
_STOP_PERIODIC_MEASUREMENT = const(0x3F86)
_WAKE_UP = const(0x36F6)
_HIGHEST_PPM = const(40_000)  # DS table 1: the end of the output's range
_SINGLE_SHOT_MS = const(5000)  # DS 3.10.1
_WAKE_UP_MS = const(30)  # DS 3.10.4 says 20, later revisions 30

QUANTITIES = (CO2, AIR_TEMPERATURE, RELATIVE_HUMIDITY)


class Scd4x:
    def __init__(self, i2c: "I2c", sleep_ms: "SleepMs", altitude_m: int = 0) -> None:
        self._words = Words(i2c, _ADDRESS, sleep_ms)
        self._sleep_ms = sleep_ms
        self._altitude_m = altitude_m or 1
        self._lost = FAULT  # quality of all values when there are none
        self._co2_quality = GOOD

    def start(self) -> int:
        self._lost = ABSENT
        for attempt in range(TRIES):
            try:
                self._begin()
                return _SINGLE_SHOT_MS
            except BadAnswer:
                self._lost = FAULT
            except OSError:
                pass
            # Asleep or in a periodic measurement that somebody else began: a chip in either does not
            # answer _begin(). wake_up is never acknowledged; the end of a periodic measurement takes
            # 500 ms, so that chip measures again from the next cycle on.
            if self._words.tell(_WAKE_UP if attempt == 0 else _STOP_PERIODIC_MEASUREMENT):
                self._lost = FAULT
            self._sleep_ms(_WAKE_UP_MS)
        return 0

    def _begin(self) -> None:
        altitude = self._words.fetch(_GET_SENSOR_ALTITUDE, 1, 1)
        fresh = altitude[0] << 8 | altitude[1] != self._altitude_m
        if fresh:
            self._words.send(_SET_SENSOR_ALTITUDE, self._altitude_m)
            self._sleep_ms(1)
        self._words.send(_MEASURE_SINGLE_SHOT)
        self._co2_quality = WARMING_UP if fresh else GOOD
        self._lost = GOOD

    def read(self) -> "tuple[Reading, ...]":
        if self._lost != GOOD:
            return without_value(QUANTITIES, self._lost)
        for _ in range(TRIES):
            try:
                ready = self._words.fetch(_GET_DATA_READY_STATUS, 1, 1)
                if not (ready[0] & 0x07 or ready[1]):
                    self._sleep_ms(15)
                    continue
                # Reading empties the buffer (DS 3.5.2): a second try after a wrong CRC finds no data.
                return self._values(self._words.fetch(_READ_MEASUREMENT, 3, 1))
            except OSError:
                self._sleep_ms(1)
        return without_value(QUANTITIES, FAULT)

    def _values(self, data: bytearray) -> "tuple[Reading, ...]":
        co2 = data[0] << 8 | data[1]
        if co2 == 0:  # what a shot without CO2 measurement leaves
            raise BadAnswer
        temperature = ((data[2] << 8 | data[3]) * 21875 >> 13) - 45000
        humidity = (data[4] << 8 | data[5]) * 12500 >> 13
        quality = self._co2_quality if co2 < _HIGHEST_PPM else CLAMPED
        return (
            (CO2, co2, quality),
            (AIR_TEMPERATURE, temperature, GOOD),
            (RELATIVE_HUMIDITY, humidity, GOOD),
        )

    def stop(self) -> None:
        # A shot ends in idle by itself; see the top of this file.
        pass


Sensor = Scd4x
