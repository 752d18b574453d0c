# SPDX-License-Identifier: MIT
# A meter's pulses, counted by the ULP coprocessor of the ESP32 or ESP32-S3 while the node sleeps and while not.
# The program, with its sources, is communode.ulp_program; the build assembles it for the board's pin.
#
# The count lives in RTC slow memory: it survives deep sleep and every reset, but not a loss of power. What power
# finds there is noise, and so is no program: the program is loaded, counting begins at zero, and that reading is
# WARMING_UP. The same holds when another build brings another program. WATER_VOLUME wraps at 24 bits, as on air.
#
# Each run of the program sets a word that start() clears: a coprocessor that stands still is a FAULT, and is
# started anew by the next start().

from micropython import const

from ..schema.quantities import ABSENT, FAULT, GOOD, WARMING_UP, WATER_VOLUME
from .reading import TRIES, TYPE_CHECKING, without_value

if TYPE_CHECKING:
    from .reading import Reading, SleepMs, Ulp

_LOW = const(0)  # addresses of what the program keeps
_HIGH = const(4)
_ALIVE = const(8)
_ENTRY = const(20)
_HEADER = const(12)
_HALT = const(0xB0000000)
_PERIOD_US = const(20000)
_READY_MS = const(50)  # two periods, with what an RC oscillator is wrong by
_RUN_MS = const(1)

QUANTITIES = (WATER_VOLUME,)


class PulseUlp:
    def __init__(
        self, ulp: "Ulp", sleep_ms: "SleepMs", litres_per_pulse: int = 1, program: bytes = b""
    ) -> None:
        self._ulp = ulp
        self._sleep_ms = sleep_ms
        self._litres_per_pulse = litres_per_pulse
        self._program = program
        self._lost = ABSENT
        self._restarted = False

    def start(self) -> int:
        try:
            self._ulp.open()
            if not self._is_loaded():
                self._ulp.write(_ENTRY, _HALT)  # what runs now may have been another build's
                self._sleep_ms(_RUN_MS)
                self._ulp.load(self._program)
                self._restarted = True
                self._ulp.run(_ENTRY, _PERIOD_US)
            elif not self._ulp.is_wake or not self._is_alive():
                self._ulp.run(_ENTRY, _PERIOD_US)
            self._ulp.write(_ALIVE, 0)
            self._lost = GOOD
        except OSError:
            self._lost = ABSENT
        return _READY_MS

    def _is_loaded(self) -> bool:
        program = self._program
        for at in range(_ENTRY, len(program) - _HEADER, 4):
            word = program[_HEADER + at : _HEADER + at + 4]
            if self._ulp.read(at) != int.from_bytes(word, "little"):
                return False
        return True

    def _is_alive(self) -> bool:
        return self._ulp.read(_ALIVE) & 0xFFFF == 1

    def read(self) -> "tuple[Reading, ...]":
        if self._lost != GOOD:
            return without_value(QUANTITIES, self._lost)
        try:
            pulses = self._pulses() if self._is_alive() else None
        except OSError:
            pulses = None
        if pulses is None:
            return without_value(QUANTITIES, FAULT)
        quality = WARMING_UP if self._restarted else GOOD
        self._restarted = False
        return ((WATER_VOLUME, pulses * self._litres_per_pulse & 0xFFFFFF, quality),)

    def _pulses(self) -> "int | None":
        # A carry takes the program some microseconds, less than reading twice: two equal readings have none.
        before = -1
        for _ in range(TRIES):
            pulses = (self._ulp.read(_HIGH) & 0xFFFF) << 16 | self._ulp.read(_LOW) & 0xFFFF
            if pulses == before:
                return pulses
            before = pulses
        return None

    def stop(self) -> None:
        # It must go on counting.
        pass


Sensor = PulseUlp
