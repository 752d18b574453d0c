# SPDX-License-Identifier: MIT
"""How every sensor is to fail: the table behind ``test_sensor_faults.py`` and the one in firmware/README.md.

One row a driver, one column a fault of its model (`communode.virtual.chips.sensing`), a set of the qualities
that the driver may end with. An empty set means that the fault cannot be seen from one reading. A sensor that
repeats itself (``stuck``) is found by `node.sampling.repetition` after as many readings as
`communode.drivers` says, where it says a number. ``absent``, ``stuck_sda`` (I2C) and ``brown_out`` (in the
middle of a conversion) hold for all.
"""

from __future__ import annotations

from communode.node.schema.quantities import (
    ABSENT,
    CLAMPED,
    FAULT,
    GOOD,
    TOO_FEW_SAMPLES,
    WARMING_UP,
)

SEEN_LATER: set[int] = set()
NO_ANSWER = {ABSENT}
WRONG = {FAULT}
BEYOND = {CLAMPED}

# Sensors that answer a brown-out with a right value: they measure again, or send anew.
RECOVERS = {GOOD, TOO_FEW_SAMPLES, ABSENT, FAULT}

EXPECTED: dict[str, dict[str, set[int]]] = {
    "scd4x": {"wrong_crc": WRONG, "warming_up": SEEN_LATER, "saturated": BEYOND, "brown_out": WRONG},
    "sps30": {"wrong_crc": WRONG, "warming_up": SEEN_LATER, "saturated": BEYOND, "brown_out": WRONG},
    "sen5x": {"wrong_crc": WRONG, "warming_up": WRONG, "saturated": BEYOND, "brown_out": WRONG},
    "sht4x": {"wrong_crc": WRONG, "warming_up": WRONG, "saturated": BEYOND, "brown_out": RECOVERS},
    "bme280": {"warming_up": WRONG, "saturated": BEYOND, "brown_out": WRONG},
    "pms5003": {"wrong_crc": WRONG, "warming_up": WRONG, "saturated": BEYOND, "brown_out": NO_ANSWER},
    "no2_b4": {"warming_up": SEEN_LATER, "saturated": BEYOND, "brown_out": {CLAMPED, WARMING_UP}},
    "ds18b20": {"wrong_crc": WRONG, "warming_up": SEEN_LATER, "saturated": BEYOND, "brown_out": WRONG},
    "ads1115": {"warming_up": WRONG, "saturated": BEYOND, "brown_out": WRONG},
    "ads1115_mean": {"warming_up": WRONG, "saturated": BEYOND, "brown_out": WRONG},
    "a02yyuw_level": {"wrong_crc": WRONG, "warming_up": WRONG, "saturated": WRONG, "brown_out": RECOVERS},
    "a02yyuw_level_air": {"wrong_crc": WRONG, "warming_up": WRONG, "saturated": WRONG, "brown_out": RECOVERS},
    "ezo_ph": {"wrong_crc": WRONG, "warming_up": WRONG, "saturated": BEYOND, "brown_out": WRONG},
    "ezo_orp": {"wrong_crc": WRONG, "warming_up": WRONG, "saturated": BEYOND, "brown_out": WRONG},
    "ezo_ec": {"wrong_crc": WRONG, "warming_up": WRONG, "saturated": BEYOND, "brown_out": WRONG},
    "ezo_do": {"wrong_crc": WRONG, "warming_up": WRONG, "saturated": BEYOND, "brown_out": WRONG},
    "analogue_ph": {"warming_up": WRONG, "saturated": WRONG, "brown_out": WRONG},
    "analogue_ec": {"warming_up": SEEN_LATER, "saturated": BEYOND, "brown_out": WRONG},
    "analogue_turbidity": {"warming_up": SEEN_LATER, "saturated": BEYOND, "brown_out": WRONG},
    "pcf8593": {"brown_out": {WARMING_UP, FAULT}},
    "pulse_ulp": {"brown_out": {WARMING_UP, FAULT}},
    "a02yyuw": {"wrong_crc": WRONG, "warming_up": WRONG, "saturated": WRONG, "brown_out": RECOVERS},
    "a02yyuw_air": {"wrong_crc": WRONG, "warming_up": WRONG, "saturated": WRONG, "brown_out": RECOVERS},
    "hrxl": {"wrong_crc": WRONG, "warming_up": WRONG, "saturated": WRONG, "brown_out": RECOVERS},
    "vl53l1x": {"warming_up": WRONG, "saturated": WRONG, "brown_out": WRONG},
    "ics43434": {"warming_up": WRONG, "saturated": BEYOND, "brown_out": RECOVERS},
    "lis3dh": {"warming_up": WRONG, "saturated": WRONG, "brown_out": WRONG},
}
