# SPDX-License-Identifier: MIT
"""Power and current of SX1276 as silicon gives them: pure functions and tables.

DS = SX1276/77/78/79 Rev 7: 5.4.2 and 5.4.3 (power), 5.4.4 (over-current limit), table 6 (current, typical).
Between the table's points the PA current is taken as proportional to the amplitude.
"""

from __future__ import annotations

from math import log10
from typing import NamedTuple

_FS_MA = 5.8
# (dBm, mA) for PA_BOOST with and without the +20 dBm option, and for RFO.
_BOOST_MA = (17.0, 87.0)
_HIGH_MA = (20.0, 120.0)
_RFO_MA = (13.0, 29.0)

_MODES = {"off": 0.0, "sleep": 0.2, "standby": 1600.0, "fs": 5800.0, "rx": 10800.0, "rx_boosted": 11500.0,
          "cad": 10800.0}  # fmt: skip


class Output(NamedTuple):
    """What leaves the chip's pin, and what it costs."""

    conducted_dbm: float
    current_ua: float
    limited: bool  # the over-current protection cut in


def output(pa_config: int, pa_dac: int, ocp: int) -> Output:
    """Conducted power and supply current for RegPaConfig, RegPaDac and RegOcp."""
    code = pa_config & 0x0F
    if not pa_config & 0x80:
        dbm = 10.8 + 0.6 * (pa_config >> 4 & 7) - (15 - code)
        at_dbm, at_ma = _RFO_MA
    elif pa_dac & 7 == 7:
        dbm = 5.0 + code
        at_dbm, at_ma = _HIGH_MA
    else:
        dbm = 2.0 + code
        at_dbm, at_ma = _BOOST_MA
    pa_ma = (at_ma - _FS_MA) * 10 ** ((dbm - at_dbm) / 20)
    limit_ma = _ocp_ma(ocp)
    if pa_ma > limit_ma:
        return Output(dbm + 20 * log10(limit_ma / pa_ma), 1000 * (limit_ma + _FS_MA), True)
    return Output(dbm, 1000 * (pa_ma + _FS_MA), False)


def _ocp_ma(ocp: int) -> float:
    """DS table 37; the limit does not hold where OcpOn is clear."""
    trim = ocp & 0x1F
    if not ocp & 0x20:
        return 240.0
    if trim <= 15:
        return 45.0 + 5 * trim
    return min(240.0, -30.0 + 10 * trim)


def mode_current_ua(mode: str) -> float:
    """Supply current in a mode other than sending."""
    return _MODES[mode]
