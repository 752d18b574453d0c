# SPDX-License-Identifier: MIT
# From several samples to one value: median, spread, outliers. Pure, integers only.
#
# MAD = median absolute deviation; times 1.4826 it estimates the standard deviation of normal noise. The
# Hampel filter drops what lies more than three of these from the median: F. R. Hampel, JASA 69 (1974), 383.

from micropython import const

_SIGMA_E4 = const(14826)  # 1.4826
_HAMPEL = const(3)


def median(samples: "list[int]") -> int:
    """The median of a non-empty list; of an even number the mean of the middle two, rounded down."""
    ordered = sorted(samples)
    middle = len(ordered) // 2
    if len(ordered) & 1:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) // 2


def spread(samples: "list[int]", centre: int) -> int:
    """1.4826 times the median absolute deviation from `centre`, rounded to the nearest."""
    return (median([abs(sample - centre) for sample in samples]) * _SIGMA_E4 + 5000) // 10000


def without_outliers(samples: "list[int]", floor: int = 1) -> "list[int]":
    """`samples` without those more than three spreads from the median, in their order.

    `floor` is the least spread assumed: a quantised sensor often repeats itself, and its spread is then 0.
    """
    centre = median(samples)
    limit = _HAMPEL * max(spread(samples, centre), floor)
    return [sample for sample in samples if abs(sample - centre) <= limit]


def summarise(samples: "list[int]", floor: int = 1) -> "tuple[int, int, int]":
    """(median, spread, n) of what is left without the outliers; n is never 0."""
    kept = without_outliers(samples, floor)
    centre = median(kept)
    return centre, spread(kept, centre), len(kept)


def average(samples: "list[int]", floor: int = 1) -> "tuple[int, int, int]":
    """(mean, spread, n) of what is left without the outliers; n is never 0.

    The mean of 4**bits samples resolves `bits` bits more than one, where the noise is at least a step wide
    (Atmel AVR121): samples come in units that are finer than the converter's step.
    """
    kept = without_outliers(samples, floor)
    mean = (2 * sum(kept) + len(kept)) // (2 * len(kept))
    return mean, spread(kept, mean), len(kept)
