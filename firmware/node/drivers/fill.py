# SPDX-License-Identifier: MIT
# From the distance to the waste to the fill level of a bin. Pure. Not a driver.
#
# empty_mm and full_mm are the distances of an empty and a full bin; without empty_mm there is no FILL_LEVEL.

from micropython import const

from ..schema.quantities import CLAMPED, DISTANCE, FILL_LEVEL
from .reading import TYPE_CHECKING

if TYPE_CHECKING:
    from .reading import Reading

_SLACK_PERMILLE = const(30)  # the sensor's own error may carry an empty bin below 0 %


def fill_codes(empty_mm: int) -> "tuple[int, ...]":
    # The codes of a distance sensor over a bin.
    return (DISTANCE, FILL_LEVEL) if empty_mm else (DISTANCE,)


def fill_readings(distance: int, quality: int, empty_mm: int, full_mm: int) -> "tuple[Reading, ...]":
    # Distance (mm) and fill level (0.1 %), kept within 0 and 100 %.
    if not empty_mm:
        return ((DISTANCE, distance, quality),)
    fill = (empty_mm - distance) * 1000 // (empty_mm - full_mm)
    fill_quality = quality
    if fill < -_SLACK_PERMILLE or fill > 1000 + _SLACK_PERMILLE:
        fill_quality = quality or CLAMPED
    return (DISTANCE, distance, quality), (FILL_LEVEL, min(max(fill, 0), 1000), fill_quality)
