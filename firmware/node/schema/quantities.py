# SPDX-License-Identifier: MIT
# THE table of what is measured: code, name, unit, base, packed range. Pure.
#
# A reading is an integer in base units (`per_unit` of them make one unit: temperature 21500 is 21.5 degC
# with per_unit 1000). On air it takes `bits` bits: (value - low) // step; the all-ones code means
# "no value". Everything else - encoder, decoder, JavaScript codec, store - derives from this table.

from micropython import const

AIR_TEMPERATURE = const(1)
RELATIVE_HUMIDITY = const(2)
CO2 = const(3)
PM1 = const(4)
PM25 = const(5)
PM4 = const(6)
PM10 = const(7)
WATER_TEMPERATURE = const(8)
WATER_LEVEL = const(9)
WATER_VOLUME = const(10)
DISTANCE = const(11)
FILL_LEVEL = const(12)
TILT = const(13)
BATTERY = const(14)

# code: (name, unit, per_unit, low, step, bits); low and step in base units.
QUANTITIES = {
    AIR_TEMPERATURE: ("air_temperature", "degC", 1000, -40000, 50, 12),
    RELATIVE_HUMIDITY: ("relative_humidity", "%", 1000, 0, 250, 9),
    CO2: ("co2", "ppm", 1, 0, 2, 14),
    PM1: ("pm1", "ug/m3", 10, 0, 5, 12),
    PM25: ("pm25", "ug/m3", 10, 0, 5, 12),
    PM4: ("pm4", "ug/m3", 10, 0, 5, 12),
    PM10: ("pm10", "ug/m3", 10, 0, 5, 12),
    WATER_TEMPERATURE: ("water_temperature", "degC", 1000, -5000, 50, 11),
    WATER_LEVEL: ("water_level", "m", 1000, -500, 1, 14),
    WATER_VOLUME: ("water_volume", "L", 1, 0, 1, 24),
    DISTANCE: ("distance", "mm", 1, 0, 1, 13),
    FILL_LEVEL: ("fill_level", "%", 10, 0, 5, 8),
    TILT: ("tilt", "deg", 10, 0, 10, 8),
    BATTERY: ("battery", "V", 1000, 1800, 10, 8),
}

# Quality of one value: 0 is a good value, else the highest-priority reason why it is not.
GOOD = const(0)
WARMING_UP = const(1)
CLAMPED = const(2)
TOO_FEW_SAMPLES = const(3)
STALE = const(4)
OUT_OF_CALIBRATION = const(5)
FAULT = const(6)
ABSENT = const(7)

QUALITIES = (
    "good",
    "warming_up",
    "clamped",
    "too_few_samples",
    "stale",
    "out_of_calibration",
    "fault",
    "absent",
)
QUALITY_BITS = const(3)
