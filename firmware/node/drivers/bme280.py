# SPDX-License-Identifier: MIT
# BME280: temperature, humidity and pressure, forced mode, no oversampling, no filter (weather monitoring).
# DS = Bosch BST-BME280-DS002 revision 1.6; register map section 5, compensation section 4.2.3.
#
# A compensated value needs the trimming of its own chip, which is read in start(): 33 bytes. Pressure is
# computed with numbers beyond 32 bits: bytecode has them, viper has not.

import struct

from micropython import const

from ..schema.quantities import AIR_TEMPERATURE, CLAMPED, FAULT, GOOD, PRESSURE, RELATIVE_HUMIDITY
from .reading import TRIES, TYPE_CHECKING, BadAnswer, bad_quality, without_value

if TYPE_CHECKING:
    from .reading import I2c, Reading, SleepMs

_CALIB00 = const(0x88)
_ID = const(0xD0)
_CALIB26 = const(0xE1)
_CTRL_HUM = const(0xF2)
_STATUS = const(0xF3)
_CTRL_MEAS = const(0xF4)
_PRESS_MSB = const(0xF7)
_IDENTITY = const(0x60)
_ONCE = const(0x01)  # osrs_h = 1
_FORCED = const(0x25)  # osrs_t = 1, osrs_p = 1, forced mode
_BUSY = const(0x09)  # measuring, im_update
_SKIPPED = const(0x80000)  # what a value holds that was never measured
_MEASURE_MS = const(10)  # DS 9.1: 9.3 ms at most

QUANTITIES = (AIR_TEMPERATURE, RELATIVE_HUMIDITY, PRESSURE)


class Trimming:
    # The chip's coefficients, and the formulas of DS 4.2.3 in integers.

    def __init__(self, low: bytearray, high: bytearray) -> None:
        self.temperature: tuple[int, ...] = struct.unpack_from("<Hhh", low)
        self.pressure: tuple[int, ...] = struct.unpack_from("<Hhhhhhhhh", low, 6)
        h2, h3, e4, e5, e6, h6 = struct.unpack("<hBbBbb", high)
        # H4 and H5 are signed 12-bit numbers that share a byte.
        self.humidity: tuple[int, ...] = (low[25], h2, h3, e4 * 16 | e5 & 0x0F, e6 * 16 | e5 >> 4, h6)

    def fine(self, raw: int) -> int:
        # Temperature in 1/5120 degC, which the other two formulas want as well.
        t1, t2, t3 = self.temperature
        first = ((raw >> 3) - (t1 << 1)) * t2 >> 11
        second = (((raw >> 4) - t1) * ((raw >> 4) - t1) >> 12) * t3 >> 14
        return first + second

    def pascals(self, raw: int, fine: int) -> int:
        # In 1/256 Pa; 0 where the formula has no value.
        p1, p2, p3, p4, p5, p6, p7, p8, p9 = self.pressure
        first = fine - 128_000
        second = first * first * p6 + (first * p5 << 17) + (p4 << 35)
        first = (first * first * p3 >> 8) + (first * p2 << 12)
        first = ((1 << 47) + first) * p1 >> 33
        if not first:
            return 0
        pressure = ((1_048_576 - raw << 31) - second) * 3125 // first
        first = p9 * (pressure >> 13) * (pressure >> 13) >> 25
        second = p8 * pressure >> 19
        return (pressure + first + second >> 8) + (p7 << 4)

    def permille1024(self, raw: int, fine: int) -> int:
        # Relative humidity in 1/1024 %.
        h1, h2, h3, h4, h5, h6 = self.humidity
        value = fine - 76_800
        scale = ((value * h6 >> 10) * ((value * h3 >> 11) + 32_768) >> 10) + 2_097_152
        value = ((raw << 14) - (h4 << 20) - h5 * value + 16_384 >> 15) * (scale * h2 + 8192 >> 14)
        value -= ((value >> 15) * (value >> 15) >> 7) * h1 >> 4
        return min(max(value, 0), 419_430_400) >> 12


class Bme280:
    def __init__(self, i2c: "I2c", sleep_ms: "SleepMs", address: int = 0x76) -> None:
        self._i2c = i2c
        self._sleep_ms = sleep_ms
        self._address = address
        self._trimming: Trimming | None = None
        self._lost = FAULT

    def start(self) -> int:
        for _ in range(TRIES):
            try:
                self._begin()
                self._lost = GOOD
                return _MEASURE_MS
            except OSError as error:
                self._lost = bad_quality(error)
        return 0

    def _begin(self) -> None:
        one = bytearray(1)
        self._i2c.readfrom_mem_into(self._address, _ID, one)
        if one[0] != _IDENTITY:
            raise BadAnswer
        if self._trimming is None:
            low, high = bytearray(26), bytearray(7)
            self._i2c.readfrom_mem_into(self._address, _CALIB00, low)
            self._i2c.readfrom_mem_into(self._address, _CALIB26, high)
            if not (low[0] | low[1]) or not (low[6] | low[7]) or low[0] & low[1] == 0xFF:
                raise BadAnswer  # T1 and P1 are never 0: the copy from the chip's memory has not ended
            self._trimming = Trimming(low, high)
        # Humidity's setting takes effect with the write of ctrl_meas (DS 5.4.3), which also starts.
        self._i2c.writeto_mem(self._address, _CTRL_HUM, bytes((_ONCE,)))
        self._i2c.writeto_mem(self._address, _CTRL_MEAS, bytes((_FORCED,)))

    def read(self) -> "tuple[Reading, ...]":
        if self._lost != GOOD:
            return without_value(QUANTITIES, self._lost)
        status, data = bytearray(1), bytearray(8)
        for _ in range(TRIES):
            try:
                self._i2c.readfrom_mem_into(self._address, _STATUS, status)
                if status[0] & _BUSY:
                    raise BadAnswer
                self._i2c.readfrom_mem_into(self._address, _PRESS_MSB, data)  # one burst: one measurement
                return self._readings(data)
            except OSError:
                self._sleep_ms(_MEASURE_MS)
        return without_value(QUANTITIES, FAULT)

    def _readings(self, data: bytearray) -> "tuple[Reading, ...]":
        raw_pressure = data[0] << 12 | data[1] << 4 | data[2] >> 4
        raw_temperature = data[3] << 12 | data[4] << 4 | data[5] >> 4
        raw_humidity = data[6] << 8 | data[7]
        if raw_temperature == _SKIPPED or self._trimming is None:
            raise BadAnswer  # never measured: it lost its supply since start()
        fine = self._trimming.fine(raw_temperature)
        celsius = (fine * 5 + 128 >> 8) * 10
        pascals = self._trimming.pascals(raw_pressure, fine) + 128 >> 8
        percent = self._trimming.permille1024(raw_humidity, fine) * 1000 >> 10
        return (
            _limited(AIR_TEMPERATURE, celsius, -40_000, 85_000),
            _limited(RELATIVE_HUMIDITY, percent, 0, 100_000),
            _limited(PRESSURE, pascals, 30_000, 110_000),
        )

    def stop(self) -> None:
        # Forced mode ends in sleep by itself.
        pass


def _limited(code: int, value: int, low: int, high: int) -> "Reading":
    # DS table 1 ends the operating range here.
    if low <= value <= high:
        return code, value, GOOD
    return code, min(max(value, low), high), CLAMPED


Sensor = Bme280
