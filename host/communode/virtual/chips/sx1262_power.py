# SPDX-License-Identifier: MIT
"""Power and current of SX1261 and SX1262 as silicon gives them: pure functions and tables.

DS = SX1261/2 Rev 2.1: table 13-21 (PA settings), tables 3-5 and 3-6 (current at 3.3 V, typical). Between the
table's points: one dB a step of the SetTxParams code, and PA current proportional to the amplitude; that is
an assumption, within a few mA of Semtech's published curves.
"""

from __future__ import annotations

from math import log10
from typing import NamedTuple

# chip: {(paDutyCycle, hpMax): (dBm at full code, full code, mA)}
_PA = {
    "sx1262": {
        (4, 7): (22, 22, 118.0),
        (3, 5): (20, 22, 102.0),
        (2, 3): (17, 22, 95.0),
        (2, 2): (14, 22, 90.0),
    },
    "sx1261": {(6, 0): (15, 14, 32.5), (4, 0): (14, 14, 25.5), (1, 0): (10, 13, 18.0)},
}
MAX_DUTY = {"sx1262": 4, "sx1261": 7}
CODES = {"sx1262": (-9, 22), "sx1261": (-17, 14)}
DEFAULT_OCP = {"sx1262": 0x38, "sx1261": 0x18}
DEVICE = {"sx1262": 0, "sx1261": 1}

_BASE_MA = 8.0  # everything but the PA, while sending
OCP_STEP_MA = 2.5

# Mode currents in uA: (DC-DC, LDO); receiving at 125 kHz, plain and boosted gain.
_MODES = {
    "off": (0.0, 0.0),
    "reset": (0.0, 0.0),
    "sleep_cold": (0.16, 0.16),
    "sleep": (0.6, 0.6),
    "standby_rc": (600, 600),
    "standby_xosc": (800, 800),
    "fs": (2100, 3550),
    "rx": (4600, 8800),
    "rx_boosted": (5300, 10100),
}
TCXO_UA = 1500
"""Supply of a TCXO through DIO3, at least: DS 4.1.3 allows 4 mA, usual parts take 1.5."""


class Output(NamedTuple):
    """What leaves the chip's pin, and what it costs."""

    conducted_dbm: float
    current_ua: float
    limited: bool  # the over-current protection cut in
    tabulated: bool  # the PA setting is one of the datasheet's


def output(chip: str, duty: int, hp_max: int, code: int, ocp: int) -> Output:
    """Conducted power and supply current for a PA configuration, a power code and an OCP register value."""
    table = _PA[chip]
    known = (duty, hp_max) in table
    nearest = min(table, key=lambda key: (abs(key[1] - hp_max), abs(key[0] - duty)))
    full_dbm, full_code, full_ma = table[nearest]
    reduction_db = full_code - code
    dbm = float(full_dbm - reduction_db)
    ma = _BASE_MA + (full_ma - _BASE_MA) * 10 ** (-reduction_db / 20)
    limit_ma = ocp * OCP_STEP_MA
    if ma > limit_ma + 1e-9:
        dbm += 20 * log10(max(limit_ma, 1.0) / ma)
        return Output(dbm, limit_ma * 1000, True, known)
    return Output(dbm, ma * 1000, False, known)


def mode_current_ua(mode: str, ldo: bool) -> float:
    """Supply current in a mode other than sending."""
    return _MODES[mode][1 if ldo else 0]
