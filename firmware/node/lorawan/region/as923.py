# SPDX-License-Identifier: MIT
# AS923, the plan that its four groups (as923_1.py to as923_4.py) share. Source: RP002-1.0.4, AS923.
#
# Dwell time limits (400 ms) hold until the network lifts them. Japan asks for listen before talk: its
# application sets `REGION.listen_us = 6000` and `REGION.listen_dbm = -80` (ARIB STD-T108).

from micropython import const

from .plan import DOWNLINK_DWELL, MAX_EIRP_DBM, Region

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from ..session import Session


class As923(Region):
    """DR0 (SF12) to DR5 (SF7) at 125 kHz, DR6 SF7 at 250 kHz; a group moves channels and RX2 by an offset."""

    data_rates = (
        (12, 125000),
        (11, 125000),
        (10, 125000),
        (9, 125000),
        (8, 125000),
        (7, 125000),
        (7, 250000),
    )
    max_mac_payload = b"\x3b\x3b\x7b\x7b\xfa\xfa\xfa"
    dwell_mac_payload = b"\x00\x00\x13\x3d\x85\xfa\xfa"
    rx2_data_rate = 2
    max_rx1_dr_offset = 7
    join_data_rates = b"\x05\x04\x03\x02"
    default_tx_param = 0x35  # both dwell times, 16 dBm
    tx_param_setup = True

    def __init__(self, group: int, offset_hz: int, low_hz: int, high_hz: int) -> None:
        self.name = "AS923-" + str(group)
        self.code = 9 + group
        self.low_hz = low_hz
        self.high_hz = high_hz
        self.default_channels_hz = (923200000 + offset_hz, 923400000 + offset_hz)
        self.rx2_frequency_hz = 923200000 + offset_hz
        self.sub_bands = ((low_hz, high_hz, 36000),)

    def eirp_dbm(self, session: "Session", power_index: int, frequency_hz: int) -> int:
        return MAX_EIRP_DBM[session.tx_param & 15] - 2 * power_index

    def rx1_data_rate(self, session: "Session", data_rate: int, offset: int) -> int:
        """Offsets 6 and 7 mean one and two rates faster."""
        lowest = 2 if session.tx_param & DOWNLINK_DWELL else 0
        return min(5, max(data_rate - offset if offset < 6 else data_rate + offset - 5, lowest))
