# SPDX-License-Identifier: MIT
# An echo in a bin that leans comes from somewhere else. Pure. Imported for profiles that measure both.

from ..schema.quantities import DISTANCE, FILL_LEVEL, GOOD, OUT_OF_CALIBRATION, RAW, TILT


def suppress(readings: "dict[int, tuple[int | None, int]]", limit_ddeg: int) -> None:
    """Take distance and fill level from `readings` where the bin leans by `limit_ddeg` (0.1 degree) or more.

    They become OUT_OF_CALIBRATION without value: the geometry that they are computed for does not hold. A raw
    distance stays what the sensor said, marked alike. Of a bin whose tilt nobody knows nothing is taken.
    """
    tilt, quality = readings.get(TILT, (None, GOOD))
    if tilt is None or quality != GOOD or tilt < limit_ddeg:
        return
    for code in (DISTANCE, FILL_LEVEL):
        if code in readings:
            readings[code] = (None, readings[code][1] or OUT_OF_CALIBRATION)
    raw, quality = readings.get(DISTANCE | RAW, (None, GOOD))
    if raw is not None:
        readings[DISTANCE | RAW] = (raw, quality or OUT_OF_CALIBRATION)
