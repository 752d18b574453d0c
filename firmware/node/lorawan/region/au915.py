# SPDX-License-Identifier: MIT
# AU915-928. Source: RP002-1.0.4, AU915-928. The uplink dwell time limit (400 ms) holds until it is lifted.

from micropython import const

from .fixed import FixedRegion
from .plan import MAX_EIRP_DBM

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from ..session import Session


class Au915(FixedRegion):
    """DR0 (SF12) to DR5 (SF7) at 125 kHz, DR6 SF8 at 500 kHz; downlinks DR8 to DR13 at 500 kHz."""

    name = "AU915"
    code = 3
    first_125_hz = 915200000
    first_500_hz = 915900000
    rate_500 = 6
    join_rate_125 = 2
    data_rates = (
        (12, 125000),
        (11, 125000),
        (10, 125000),
        (9, 125000),
        (8, 125000),
        (7, 125000),
        (8, 500000),
        None,
        (12, 500000),
        (11, 500000),
        (10, 500000),
        (9, 500000),
        (8, 500000),
        (7, 500000),
    )
    max_mac_payload = b"\x3b\x3b\x3b\x7b\xfa\xfa\xfa\x00\x3d\x89\xfa\xfa\xfa\xfa"
    dwell_mac_payload = b"\x00\x00\x13\x3d\x85\xfa\xfa\x00\x00\x00\x00\x00\x00\x00"
    default_tx_param = 0x1D  # uplink dwell time, 30 dBm
    tx_param_setup = True

    def rx1_data_rate(self, session: "Session", data_rate: int, offset: int) -> int:
        return min(max(data_rate + 8 - offset, 8), 13)

    def eirp_dbm(self, session: "Session", power_index: int, frequency_hz: int) -> int:
        return min(MAX_EIRP_DBM[session.tx_param & 15], self.max_eirp_dbm) - 2 * power_index


REGION = Au915()
