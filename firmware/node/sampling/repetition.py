# SPDX-License-Identifier: MIT
# Sensors that repeat themselves to the last digit more often than their noise allows. Pure. Imported for
# profiles that name a number of readings for one of their sensors.
#
# What is compared is what the sensor itself said, before corrections, all of its values together. Which these
# are says the profile (communode.profiles): statistics are none, for the number of echoes changes while a
# stuck sensor goes on sending, and what is computed from another value has nothing of its own.
#
# bytes: for each sensor with a limit, in the profile's order: values u32 (mixed into one number), count u8.

import struct

from micropython import const

from ..schema.quantities import GOOD, RAW, STALE

TYPE_CHECKING = const(0)  # the compiler drops the block below; mypy takes the name for true

if TYPE_CHECKING:
    from collections.abc import Sequence

    Codes = tuple[int, ...]
    Readings = dict[int, tuple[int | None, int]]

_ENTRY = "<IB"
_SIZE = const(5)
_MOST = const(255)


def mark_stale(
    readings: "Readings", sensors: "Sequence[tuple[int, Codes, Codes]]", kept: "bytes | None"
) -> bytes:
    """Call good values STALE that came `limit` times in a row; what is to be kept for the next reading.

    `sensors` are limit (readings), codes to compare and codes to mark; `kept` is what the reading before
    returned, and anything else begins anew. A sensor without a value proves nothing, and its count stays.
    """
    if kept is None or len(kept) != _SIZE * len(sensors):
        kept = bytes(_SIZE * len(sensors))
    states = b""
    for limit, compared, marked in sensors:
        before, count = struct.unpack_from(_ENTRY, kept, len(states))
        now = _mixed(readings, compared)
        if now is not None:
            count = min(count + 1, _MOST) if now == before and count else 1
            before = now
            if count >= limit:
                for code in marked:
                    if code in readings:
                        value, quality = readings[code]
                        readings[code] = (value, quality or STALE)
        states += struct.pack(_ENTRY, before, count)
    return states


def _mixed(readings: "Readings", codes: "Codes") -> "int | None":
    # All values in 30 bits: a small integer on the chip.
    mixed = None
    for code in codes:
        value = readings.get(code | RAW, readings.get(code, (None, GOOD)))[0]
        if value is not None:
            mixed = ((mixed or 0) * 31 + value) & 0x3FFFFFFF
    return mixed
