# SPDX-License-Identifier: MIT
# Mains from sums (sums.mains_sums): RMS of voltage and current and real power, offsets taken out. Pure.
# Not here: the transformers' ratios and phase errors, which are calibration.
#
# Exact in integers up to the last step: n * sum(v * i) - sum(v) * sum(i) is n**2 times the covariance.

import math


def mains(sums: "list[int]", n: int) -> "tuple[float, float, float]":
    """(voltage, current, real power) of ``n`` pairs whose sums are given: RMS codes, RMS codes, codes
    squared.

    Whole periods of the mains must have been sampled: 20 ms or a multiple.
    """
    sv, si, svv, sii, svi = sums[0], sums[1], sums[2], sums[3], sums[4]
    squared = n * n
    voltage = math.sqrt((n * svv - sv * sv) / squared)
    current = math.sqrt((n * sii - si * si) / squared)
    return voltage, current, (n * svi - sv * si) / squared
