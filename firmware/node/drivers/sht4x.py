# SPDX-License-Identifier: MIT
# SHT40, SHT41, SHT45: temperature and humidity at high repeatability, no heater.
# DS = Sensirion SHT4x datasheet version 6.
#
# One-byte commands, an answer of two words with CRC-8. While it measures the chip does not acknowledge
# (DS 4.4), which a too early read shows as a missing chip: hence 10 ms, 8.3 at most and the clock's error.

from micropython import const

from ..schema.quantities import ABSENT, AIR_TEMPERATURE, CLAMPED, FAULT, GOOD, RELATIVE_HUMIDITY
from .reading import TRIES, TYPE_CHECKING, BadAnswer, without_value
from .sensirion import crc8

if TYPE_CHECKING:
    from .reading import I2c, Reading, SleepMs

_MEASURE_HIGH_PRECISION = const(0xFD)
_MEASURE_MS = const(10)

QUANTITIES = (AIR_TEMPERATURE, RELATIVE_HUMIDITY)


class Sht4x:
    def __init__(self, i2c: "I2c", sleep_ms: "SleepMs", address: int = 0x44) -> None:
        self._i2c = i2c
        self._sleep_ms = sleep_ms
        self._address = address
        self._lost = FAULT

    def start(self) -> int:
        for _ in range(TRIES):
            if self._measure():
                self._lost = GOOD
                return _MEASURE_MS
            self._lost = ABSENT
            self._sleep_ms(1)
        return 0

    def _measure(self) -> bool:
        try:
            self._i2c.writeto(self._address, bytes((_MEASURE_HIGH_PRECISION,)))
        except OSError:
            return False
        return True

    def read(self) -> "tuple[Reading, ...]":
        if self._lost != GOOD:
            return without_value(QUANTITIES, self._lost)
        data = bytearray(6)
        for _ in range(TRIES):
            try:
                self._i2c.readfrom_into(self._address, data)
                return _readings(data)
            except OSError:
                pass
            self._measure()  # what was read once is gone
            self._sleep_ms(_MEASURE_MS)
        return without_value(QUANTITIES, FAULT)

    def stop(self) -> None:
        # Idle by itself, 0.08 uA.
        pass


def _readings(data: bytearray) -> "tuple[Reading, ...]":
    if crc8(data, 0, 2) != data[2] or crc8(data, 3, 5) != data[5]:
        raise BadAnswer
    # DS 4.6: T = -45 + 175 S / 65535, RH = -6 + 125 S / 65535, both in thousandths here.
    raw_temperature = data[0] << 8 | data[1]
    raw_humidity = data[3] << 8 | data[4]
    temperature = 175_000 * raw_temperature // 65535 - 45_000
    humidity = 125_000 * raw_humidity // 65535 - 6_000
    temperature_quality = CLAMPED if raw_temperature in (0, 0xFFFF) else GOOD
    humidity_quality = CLAMPED if raw_humidity in (0, 0xFFFF) else GOOD
    # Beyond 0 and 100 % is how the chip shows its own error at the ends: cut, and still good (DS 4.6).
    humidity = min(max(humidity, 0), 100_000)
    return (
        (AIR_TEMPERATURE, temperature, temperature_quality),
        (RELATIVE_HUMIDITY, humidity, humidity_quality),
    )


Sensor = Sht4x
