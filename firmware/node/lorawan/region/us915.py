# SPDX-License-Identifier: MIT
# US902-928. Source: RP002-1.0.4, US902-928; power with fewer than 50 channels: FCC 15.247(b).

from micropython import const

from .fixed import FixedRegion

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from ..session import Session


class Us915(FixedRegion):
    """DR0 (SF10) to DR3 (SF7) at 125 kHz, DR4 SF8 at 500 kHz; downlinks DR8 to DR13 at 500 kHz."""

    name = "US915"
    code = 2
    first_125_hz = 902300000
    first_500_hz = 903000000
    rate_500 = 4
    data_rates = (
        (10, 125000),
        (9, 125000),
        (8, 125000),
        (7, 125000),
        (8, 500000),
        None,
        None,
        None,
        (12, 500000),
        (11, 500000),
        (10, 500000),
        (9, 500000),
        (8, 500000),
        (7, 500000),
    )
    max_mac_payload = b"\x13\x3d\x85\xfa\xfa\x00\x00\x00\x3d\x89\xfa\xfa\xfa\xfa"
    max_rx1_dr_offset = 3

    def rx1_data_rate(self, session: "Session", data_rate: int, offset: int) -> int:
        return min(max(data_rate + 10 - offset, 8), 13)

    def eirp_dbm(self, session: "Session", power_index: int, frequency_hz: int) -> int:
        eirp = self.max_eirp_dbm - 2 * power_index
        mask = session.mask & (1 << 64) - 1
        count = 0
        while mask:
            mask &= mask - 1
            count += 1
        return min(eirp, 21) if count < 50 else eirp


REGION = Us915()
