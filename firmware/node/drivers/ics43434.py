# SPDX-License-Identifier: MIT
# ICS-43434: a digital microphone as a sound level meter. Levels only: LAeq, LAmax, LA10, LA50, LA90.
# DS = TDK InvenSense DS-000069 revision 1.2.
#
# read() listens for listen_s seconds: it cannot sleep meanwhile, and is the one read() that takes so long.
# Samples live in one buffer of 25 ms that the next read overwrites; what leaves this file are energies of
# 125 ms, as levels. No method gives samples, and the buffer is no attribute. (CNIL: a recording of voices in
# the street would be personal data.)

from array import array

from micropython import const

from ..dsp.a_weighting_32k import GAIN_1KHZ_MILLIDB, RATE_HZ, weigh
from ..dsp.levels import exceeded, level_db, take_energy
from ..schema.quantities import ABSENT, CLAMPED, FAULT, GOOD, LA10, LA50, LA90, LAEQ, LAMAX
from .reading import TYPE_CHECKING, without_value

if TYPE_CHECKING:
    from .reading import I2s, Reading, SleepMs

_CHUNK = const(800)  # samples a read: 25 ms, a multiple of 4 as `weigh` wants it
_CHUNKS_A_BLOCK = const(5)  # 125 ms, time weighting F
_SETTLING_BLOCKS = const(3)  # DS: up to 83 ms until the output is right, then the filter's high-passes
_STATE = const(10)
_BINS = const(256)
_LOW = const(200)  # 20 dB
_SHIFT = const(2)  # bins of 0.4 dB
_FLOOR = const(300)  # 30 dB: the microphone's own noise is 29 dBA (DS)
_CEILING = const(1160)  # 116 dB: 10 % distortion at 120 dB peak (DS, acoustic overload point)

QUANTITIES = (LAEQ, LAMAX, LA10, LA50, LA90)


class Ics43434:
    # `sensitivity_cdb` is the microphone's output at 94 dB in 0.01 dBFS: -2600, or what a calibrator says.

    def __init__(
        self, i2s: "I2s", sleep_ms: "SleepMs", listen_s: int = 10, sensitivity_cdb: int = -2600
    ) -> None:
        self._i2s = i2s
        self._listen_s = listen_s
        self._sensitivity_dbfs = sensitivity_cdb / 100

    def start(self) -> int:
        return 0

    def read(self) -> "tuple[Reading, ...]":
        try:
            return self._listen()
        except OSError:
            return without_value(QUANTITIES, ABSENT)

    def _listen(self) -> "tuple[Reading, ...]":
        words = bytearray(4 * _CHUNK)
        state = array("i", bytes(4 * _STATE))
        bins = array("H", bytes(2 * _BINS))
        blocks = self._listen_s * RATE_HZ // (_CHUNK * _CHUNKS_A_BLOCK)
        total = loudest = 0
        heard = False
        for block in range(-_SETTLING_BLOCKS, blocks):
            for _ in range(_CHUNKS_A_BLOCK):
                if self._i2s.readinto(words) != len(words):
                    return without_value(QUANTITIES, FAULT)
                weigh(0, 0, words, _CHUNK, state)
            heard = heard or any(words)
            energy = take_energy(state)  # type: ignore[arg-type]  # an array does as well as a list
            if block < 0:
                continue
            if not heard:
                return without_value(QUANTITIES, ABSENT)  # zeros: nobody drives the line
            total += energy
            loudest = max(loudest, energy)
            level = self._decibels(energy, 1)
            bins[min(max(level - _LOW, 0) >> _SHIFT, _BINS - 1)] += 1
        mean = self._decibels(total, blocks)
        if mean < _LOW:
            return without_value(QUANTITIES, FAULT)  # a constant: no membrane is that still
        return self._readings(mean, self._decibels(loudest, 1), bins)

    def _decibels(self, energy: int, blocks: int) -> int:
        samples = blocks * _CHUNK * _CHUNKS_A_BLOCK
        return int(level_db(energy, samples, self._sensitivity_dbfs, GAIN_1KHZ_MILLIDB) * 10 + 0.5)

    def _readings(self, mean: int, loudest: int, bins: "array[int]") -> "tuple[Reading, ...]":
        values = [(LAEQ, mean), (LAMAX, loudest)]
        for code, percent in ((LA10, 10), (LA50, 50), (LA90, 90)):
            level = exceeded(bins, percent, _LOW, _SHIFT)  # type: ignore[arg-type]
            values.append((code, mean if level is None else level))
        quality = GOOD if mean >= _FLOOR and loudest < _CEILING else CLAMPED
        return tuple([(code, value, quality) for code, value in values])

    def stop(self) -> None:
        # The I2S clock stops with the node's sleep, and the microphone with it (12 uA).
        pass


Sensor = Ics43434
