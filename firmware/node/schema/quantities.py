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
PRESSURE = const(15)
VOC_INDEX = const(16)
NOX_INDEX = const(17)
NO2 = const(18)
PH = const(19)
ORP = const(20)
CONDUCTIVITY = const(21)  # at 25 degC
DISSOLVED_OXYGEN = const(22)
TURBIDITY = const(23)
LAEQ = const(24)
LAMAX = const(25)
LA10 = const(26)
LA50 = const(27)
LA90 = const(28)
PULSES = const(29)
DISTANCE_SPREAD = const(30)
DISTANCE_COUNT = const(31)
WATER_LEVEL_SPREAD = const(32)
WATER_LEVEL_COUNT = const(33)

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
    PRESSURE: ("pressure", "hPa", 100, 30000, 10, 13),
    VOC_INDEX: ("voc_index", "", 1, 0, 1, 9),
    NOX_INDEX: ("nox_index", "", 1, 0, 1, 9),
    NO2: ("no2", "ppb", 10, -500, 5, 11),
    PH: ("ph", "", 1000, 0, 10, 11),
    ORP: ("orp", "mV", 10, -10200, 10, 11),
    CONDUCTIVITY: ("conductivity", "uS/cm", 1, 0, 1, 17),
    DISSOLVED_OXYGEN: ("dissolved_oxygen", "mg/L", 100, 0, 2, 11),
    TURBIDITY: ("turbidity", "NTU", 10, 0, 2, 14),
    LAEQ: ("laeq", "dB", 10, 200, 1, 10),
    LAMAX: ("lamax", "dB", 10, 200, 1, 10),
    LA10: ("la10", "dB", 10, 200, 1, 10),
    LA50: ("la50", "dB", 10, 200, 1, 10),
    LA90: ("la90", "dB", 10, 200, 1, 10),
    PULSES: ("pulses", "", 1, 0, 1, 24),
    # Statistics of a value made of several samples: n, and 1.4826 times the median absolute deviation.
    DISTANCE_SPREAD: ("distance_spread", "mm", 1, 0, 1, 9),
    DISTANCE_COUNT: ("distance_count", "", 1, 0, 1, 5),
    WATER_LEVEL_SPREAD: ("water_level_spread", "m", 1000, 0, 1, 9),
    WATER_LEVEL_COUNT: ("water_level_count", "", 1, 0, 1, 5),
}

# A value that a calibration corrects has a twin, code | RAW, with what the sensor itself said.
RAW = const(0x80)
CALIBRATED = (
    AIR_TEMPERATURE,
    RELATIVE_HUMIDITY,
    CO2,
    PM25,
    PM10,
    WATER_TEMPERATURE,
    WATER_LEVEL,
    DISTANCE,
    PRESSURE,
    NO2,
    PH,
    ORP,
    CONDUCTIVITY,
    DISSOLVED_OXYGEN,
    TURBIDITY,
    LAEQ,
)
for _code in CALIBRATED:
    _facts = QUANTITIES[_code]
    QUANTITIES[_code | RAW] = (_facts[0] + "_raw",) + _facts[1:]

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
