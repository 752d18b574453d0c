# SPDX-License-Identifier: MIT
# THE table of alarms: kinds, states, what a row of the configuration may say. Pure.
#
# An alarm is known by its kind and its quantity (0 for a tamper contact), on the host as "above.co2". A row
# is (quantity, kind, threshold, hysteresis, hold_off_s): in base units of the quantity, for RISE and FALL in
# base units an hour. LEAK, FLOOD and FIRE are rules (sampling/rules.py): what their threshold means is theirs
# to say, 0 is the rule's own. Not here: the machine (app/alarms.py), the bytes (codec/alarm.py).

from micropython import const

from .quantities import (
    AIR_TEMPERATURE,
    DISTANCE,
    QUANTITIES,
    RAW,
    TILT,
    WATER_LEVEL,
    WATER_VOLUME,
)

ABOVE = const(1)
BELOW = const(2)
RISE = const(3)
FALL = const(4)
LEAK = const(5)
FLOOD = const(6)
TIPPED = const(7)
FIRE = const(8)
TAMPER = const(9)
SENSOR_FAULT = const(10)

# Index = kind; 0 is none. On air a kind has four bits.
KINDS = ("", "above", "below", "rise", "fall", "leak", "flood", "tilt", "fire", "tamper", "sensor_fault")

# Kinds that are judged elsewhere and handed in, and those that need a certain quantity.
FOUND = (LEAK, FLOOD, FIRE, TAMPER)
SUITED = {
    LEAK: (WATER_VOLUME,),
    FLOOD: (WATER_LEVEL, DISTANCE),
    TIPPED: (TILT,),
    FIRE: (AIR_TEMPERATURE,),
    TAMPER: (0,),
}

IDLE = const(0)
PENDING = const(1)  # seen, but not yet for as long as the hold-off
ACTIVE = const(2)  # raised, nobody has acknowledged it
LATCHED = const(3)  # over, but nobody has acknowledged it
ACKNOWLEDGED = const(4)  # acknowledged, but not over

STATES = ("idle", "pending", "active", "latched", "acknowledged")

MAX_ALARMS = const(8)  # that many states fit into the node's 128 bytes
MAX_RATES = const(2)  # RISE and FALL remember a value
MAX_HOLD_OFF_S = const(43200)
_RATE_TOP = const(0x3FFFFFFF)


def threshold_range(kind: int, quantity: int) -> "tuple[int, int]":
    """(lowest, highest) threshold of a kind with a quantity that suits it."""
    if kind in (RISE, FALL):
        return 1, _RATE_TOP
    if kind in (LEAK, FLOOD, FIRE):
        return 0, _RATE_TOP
    if kind in (TAMPER, SENSOR_FAULT):
        return 0, 0
    _, _, _, low, step, bits = QUANTITIES[quantity]
    return low, low + ((1 << bits) - 2) * step


def hysteresis_range(kind: int, quantity: int, threshold: int) -> "tuple[int, int]":
    """(lowest, highest) hysteresis: the alarm must be able to end within the quantity's range."""
    low, high = threshold_range(kind, quantity)
    if kind in (ABOVE, TIPPED):
        return 0, threshold - low
    if kind == BELOW:
        return 0, high - threshold
    if kind in (RISE, FALL):
        return 0, threshold
    return 0, 0


def row_fault(row: "tuple[int, ...]", quantities: "tuple[int, ...]") -> str:
    """Which field of a row is wrong for a node that measures `quantities`; "" when none is."""
    quantity, kind, threshold, hysteresis, hold_off_s = row
    if not 0 < kind < len(KINDS):
        return "kind"
    if kind in SUITED and quantity not in SUITED[kind]:
        return "quantity"
    if kind != TAMPER and (quantity not in quantities or quantity & RAW):
        return "quantity"
    low, high = threshold_range(kind, quantity)
    if not low <= threshold <= high:
        return "threshold"
    low, high = hysteresis_range(kind, quantity, threshold)
    if not low <= hysteresis <= high:
        return "hysteresis"
    # The hold-off of a rate is the time over which it is measured.
    if not (60 if kind in (RISE, FALL) else 0) <= hold_off_s <= MAX_HOLD_OFF_S:
        return "hold_off_s"
    return ""


def rows_fault(rows: "tuple[tuple[int, ...], ...]", quantities: "tuple[int, ...]") -> str:
    """As `row_fault` for a whole configuration; "twice", "many" or "rates" where rows are wrong together."""
    names = []
    rates = 0
    for row in rows:
        fault = row_fault(row, quantities)
        if fault:
            return fault
        if row[:2] in names:
            return "twice"
        names.append(row[:2])
        rates += row[1] in (RISE, FALL)
    if len(rows) > MAX_ALARMS:
        return "many"
    return "rates" if rates > MAX_RATES else ""
