# SPDX-License-Identifier: MIT
# A 4-20 mA current loop over a shunt, judged by NAMUR NE 43: 3.8 mA to 20.5 mA measures, up to 3.6 mA and
# from 21 mA the transmitter or the cable is faulty, in between the value is beyond the range. Pure.

from micropython import const

from ..schema.quantities import CLAMPED, FAULT, GOOD

_FAULT_LOW_NA = const(3_600_000)
_RANGE_LOW_NA = const(3_800_000)
_RANGE_HIGH_NA = const(20_500_000)
_FAULT_HIGH_NA = const(21_000_000)


def loop_reading(microvolts: int, shunt_mohm: int, full_scale: int) -> "tuple[int | None, int]":
    # (value, quality): the value is 0 at 4 mA, full_scale at 20 mA; None when the loop is faulty.
    nanoamperes = microvolts * 1_000_000 // shunt_mohm
    if nanoamperes <= _FAULT_LOW_NA or nanoamperes >= _FAULT_HIGH_NA:
        return None, FAULT
    quality = GOOD if _RANGE_LOW_NA <= nanoamperes <= _RANGE_HIGH_NA else CLAMPED
    return (nanoamperes - 4_000_000) * full_scale // 16_000_000, quality
