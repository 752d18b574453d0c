# SPDX-License-Identifier: MIT
# IN865-867. Source: RP002-1.0.4, IN865-867; EIRP 29.2 dBm as of RP002-1.0.5, rounded down.

from micropython import const

from .plan import Region

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from ..session import Session


class In865(Region):
    """DR0 (SF12) to DR5 (SF7) at 125 kHz; DR7 (FSK) is not LoRa."""

    name = "IN865"
    code = 4
    low_hz = 865000000
    high_hz = 867000000
    default_channels_hz = (865062500, 865402500, 865985000)
    data_rates = ((12, 125000), (11, 125000), (10, 125000), (9, 125000), (8, 125000), (7, 125000))
    max_mac_payload = b"\x3b\x3b\x3b\x7b\xfa\xfa"
    max_eirp_dbm = 29
    max_power_index = 10
    rx2_frequency_hz = 866550000
    rx2_data_rate = 2
    max_rx1_dr_offset = 7

    def rx1_data_rate(self, session: "Session", data_rate: int, offset: int) -> int:
        """Offsets 6 and 7 mean one and two rates faster."""
        return min(5, max(data_rate - offset if offset < 6 else data_rate + offset - 5, 0))


REGION = In865()
