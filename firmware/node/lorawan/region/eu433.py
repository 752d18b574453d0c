# SPDX-License-Identifier: MIT
# EU433. Source: RP002-1.0.4, EU433 (12.15 dBm EIRP, rounded down; duty cycle below 1 %).

from .plan import Region


class Eu433(Region):
    """DR0 (SF12) to DR5 (SF7) at 125 kHz, DR6 SF7 at 250 kHz; DR7 (FSK) is not LoRa."""

    name = "EU433"
    code = 6
    low_hz = 433175000
    high_hz = 434665000
    default_channels_hz = (433175000, 433375000, 433575000)
    data_rates = (
        (12, 125000),
        (11, 125000),
        (10, 125000),
        (9, 125000),
        (8, 125000),
        (7, 125000),
        (7, 250000),
    )
    max_mac_payload = b"\x3b\x3b\x3b\x7b\xfa\xfa\xfa"
    sub_bands = ((433050000, 434790000, 36000),)
    max_eirp_dbm = 12
    max_power_index = 5
    rx2_frequency_hz = 434665000


REGION = Eu433()
