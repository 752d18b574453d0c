# SPDX-License-Identifier: MIT
# PCF8593: counts the pulses of a water meter by itself, whether the node sleeps or not.
# DS = NXP PCF8593 Rev 04, 6 October 2010. Contact and debouncing (RC and Schmitt trigger) sit at OSCI.
#
# WATER_VOLUME is the chip's counter times litres_per_pulse (1 to 10: it must fit 24 bits on air). The counter
# has six decimal digits and wraps from 999 999 to 0; adding up across wraps and restarts is for whoever keeps
# readings, not for a driver. The chip must stay powered. When it was not, it wakes as a clock: it is made a
# counter again from zero, and that reading is WARMING_UP, which tells the reader that the count restarted.

from micropython import const

from ..schema.quantities import FAULT, GOOD, WARMING_UP, WATER_VOLUME
from .reading import TRIES, TYPE_CHECKING, BadAnswer, bad_quality, without_value

if TYPE_CHECKING:
    from .reading import I2c, Reading, SleepMs

_ADDRESS = const(0x51)  # A2h / A3h on the wire
_CONTROL = const(0x00)  # digits 1..0, 3..2, 5..4 of the counter follow in 01h, 02h, 03h
_STOP_COUNTING = const(0x80)
_EVENT_COUNTER = const(0x20)
_MODE = const(0xF0)  # stop, hold and function mode; the rest are flags of alarms we do not use

QUANTITIES = (WATER_VOLUME,)


class Pcf8593:
    def __init__(self, i2c: "I2c", sleep_ms: "SleepMs", litres_per_pulse: int = 1) -> None:
        self._i2c = i2c
        self._litres_per_pulse = litres_per_pulse
        self._lost = FAULT
        self._restarted = False

    def start(self) -> int:
        for _ in range(TRIES):
            try:
                self._begin()
                self._lost = GOOD
                return 0
            except OSError as error:
                self._lost = bad_quality(error)
        return 0

    def _begin(self) -> None:
        control = bytearray(1)
        self._i2c.readfrom_mem_into(_ADDRESS, _CONTROL, control)
        if control[0] & _MODE == _EVENT_COUNTER:
            return
        # The counter is set while it stands still (DS 7.8).
        self._i2c.writeto_mem(_ADDRESS, _CONTROL, bytes((_STOP_COUNTING | _EVENT_COUNTER, 0, 0, 0)))
        self._i2c.writeto_mem(_ADDRESS, _CONTROL, bytes((_EVENT_COUNTER,)))
        self._restarted = True

    def read(self) -> "tuple[Reading, ...]":
        if self._lost != GOOD:
            return without_value(QUANTITIES, self._lost)
        for _ in range(TRIES):
            try:
                litres = self._pulses() * self._litres_per_pulse
            except OSError:
                continue
            quality = WARMING_UP if self._restarted else GOOD
            self._restarted = False
            return ((WATER_VOLUME, litres, quality),)
        return without_value(QUANTITIES, FAULT)

    def _pulses(self) -> int:
        data = bytearray(4)  # one read: the chip latches all of them at its beginning (DS 7.1)
        self._i2c.readfrom_mem_into(_ADDRESS, _CONTROL, data)
        if data[0] & _MODE != _EVENT_COUNTER:
            raise BadAnswer  # it lost its supply since start() and is a clock again
        pulses = 0
        for pair in (data[3], data[2], data[1]):
            if pair >> 4 > 9 or pair & 0x0F > 9:
                raise BadAnswer
            pulses = pulses * 100 + (pair >> 4) * 10 + (pair & 0x0F)
        return pulses

    def stop(self) -> None:
        # It must go on counting.
        pass


Sensor = Pcf8593
