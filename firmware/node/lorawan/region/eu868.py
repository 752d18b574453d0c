# SPDX-License-Identifier: MIT
# EU863-870. Source: RP002-1.0.4, EU863-870; sub-bands: ETSI EN 300 220-2 V3.2.1, annex B.

from .plan import Region


class Eu868(Region):
    """DR0 (SF12) to DR5 (SF7) at 125 kHz, DR6 SF7 at 250 kHz; DR7 (FSK) and LR-FHSS are not LoRa."""

    name = "EU868"
    code = 1
    low_hz = 863000000
    high_hz = 870000000
    default_channels_hz = (868100000, 868300000, 868500000)
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
    sub_bands = (
        (863000000, 865000000, 3600),
        (865000001, 867999999, 36000),
        (868000000, 868600000, 36000),
        (868700000, 869200000, 3600),
        (869400000, 869650000, 360000),
        (869700000, 870000000, 36000),
    )
    rx2_frequency_hz = 869525000


REGION = Eu868()
