# SPDX-License-Identifier: MIT
# Sound levels from energies (a_weighting_*.py) and from a histogram of levels (order.py). Pure; floats of
# single precision are enough: a level needs 0.1 dB.
#
# Not here: the microphone and its sampling. Only levels come out, and no level is shorter than a block of
# 125 ms (time weighting F): speech cannot be made of them again.
# Sources: IEC 61672-1:2013 (LAeq, reference 20 uPa); ISO 1996-2:2017 (LN, the level exceeded N % of the
# time).

import math

from micropython import const

_SUMS = const(6)  # where the sums begin in the state of `weigh`
_INPUT_SHIFT = const(10)  # `weigh` shifts its 32-bit input words by this
_CALIBRATOR_DB = 94.0  # 1 Pa, the level at which sensitivities are stated


def take_energy(state: "list[int]") -> int:
    """The sum of squares in a state of `weigh`, which is set to zero; the filter goes on undisturbed."""
    fine = (state[_SUMS + 1] << 16) + state[_SUMS]
    coarse = (state[_SUMS + 3] << 16) + state[_SUMS + 2]
    for at in range(_SUMS, _SUMS + 4):
        state[at] = 0
    return (coarse << 16) + fine


def level_db(energy: int, samples: int, sensitivity_dbfs: float, gain_1khz_millidb: int) -> float:
    """LAeq in dB of ``samples`` samples with the sum of squares ``energy``; silence is 0 dB.

    ``sensitivity_dbfs`` is the microphone's output at 94 dB and 1 kHz relative to a full-scale sine
    (datasheet: -26 for ICS-43434 and INMP441, or what a calibrator says); ``gain_1khz_millidb`` is
    GAIN_1KHZ_MILLIDB of the kernel's module.
    """
    if energy <= 0:
        return 0.0
    full_scale = 1 << 31 - _INPUT_SHIFT
    mean_square = energy / samples / full_scale / full_scale * 2  # of a full-scale sine: 1
    level = 10 * math.log10(mean_square) - sensitivity_dbfs - gain_1khz_millidb / 1000 + _CALIBRATOR_DB
    return max(0.0, level)


def exceeded(bins: "list[int]", percent: int, low: int, shift: int) -> "int | None":
    """The level exceeded ``percent`` % of the time, by a histogram of `histogram` with the same low and
    shift.

    The middle of its bin, in the histogram's unit; None for an empty histogram.
    """
    total = sum(bins)
    if not total:
        return None
    above = 0
    at = len(bins)
    while above * 100 < total * percent:
        at -= 1
        above += bins[at]
    return low + (at << shift) + (1 << shift >> 1)
