# SPDX-License-Identifier: MIT
# KR920-923. Source: RP002-1.0.4, KR920-923 (10 dBm below 922 MHz; listen before talk at -65 dBm for 6 ms).

from micropython import const

from .plan import Region

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from ..session import Session


class Kr920(Region):
    """DR0 (SF12) to DR5 (SF7) at 125 kHz."""

    name = "KR920"
    code = 5
    low_hz = 920900000
    high_hz = 923300000
    default_channels_hz = (922100000, 922300000, 922500000)
    data_rates = ((12, 125000), (11, 125000), (10, 125000), (9, 125000), (8, 125000), (7, 125000))
    max_mac_payload = b"\x3b\x3b\x3b\x7b\xfa\xfa"
    max_eirp_dbm = 14
    rx2_frequency_hz = 921900000
    listen_us = 6000
    listen_dbm = -65

    def eirp_dbm(self, session: "Session", power_index: int, frequency_hz: int) -> int:
        eirp = self.max_eirp_dbm - 2 * power_index
        return min(eirp, 10) if 0 < frequency_hz < 922000000 else eirp


REGION = Kr920()
