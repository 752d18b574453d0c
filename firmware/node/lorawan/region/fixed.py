# SPDX-License-Identifier: MIT
# What the fixed channel plans share (US915, AU915): 64 channels of 125 kHz and 8 of 500 kHz. Pure.
# Sources: RP = RP002-1.0.4 with its ChMaskCntl 5 erratum; TR007-1.1 4.2 (order of join-requests).

from micropython import const

from .plan import Region

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from ..session import Session

_ALL_125 = (1 << 64) - 1
_ALL = (1 << 72) - 1


class FixedRegion(Region):
    """``bank`` 0..7 keeps join-requests in one block of 8 + 1 channels, for networks whose gateways hear no
    more; -1 (the standard) goes through all of them."""

    first_125_hz = 0
    first_500_hz = 0
    rate_500 = 0  # uplink data rate of the 500 kHz channels
    join_rate_125 = 0
    low_hz = 923300000  # of downlinks
    high_hz = 927500000
    rx2_frequency_hz = 923300000
    rx2_data_rate = 8
    max_power_index = 14
    max_eirp_dbm = 30
    dynamic = False
    bank = -1

    def downlink_rate(self, data_rate: int) -> bool:
        return 8 <= data_rate <= 13

    def setup(self, session: "Session") -> None:
        session.mask = _ALL

    def enable_defaults(self, session: "Session") -> None:
        session.mask = _ALL

    def defaults_enabled(self, session: "Session") -> bool:
        return session.mask == _ALL

    def defined(self, session: "Session") -> int:
        return _ALL

    def supporting(self, session: "Session", mask: int, data_rate: int) -> int:
        if data_rate == self.rate_500:
            return mask & ~_ALL_125
        if data_rate > self.rate_500 or not self.payload_limit(session, data_rate):
            return 0
        return mask & _ALL_125

    def joining(self, session: "Session") -> "tuple[int, int]":
        """One bank after the other; every ninth attempt at 500 kHz. As 8 and 9 have no common factor, 72
        attempts use each of the 72 channels once (TR007-1.1 4.2); nodes start at different banks."""
        attempt = session.join_attempts
        bank = self.bank if self.bank >= 0 else (attempt + session.dev_eui[7]) % 8
        if attempt % 9 == 8:
            return 1 << 64 + bank, self.rate_500
        return 0xFF << 8 * bank, self.join_rate_125

    def frequency_hz(self, session: "Session", channel: int) -> int:
        if channel < 64:
            return self.first_125_hz + 200000 * channel
        return self.first_500_hz + 1600000 * (channel - 64)

    def rx1_frequency_hz(self, session: "Session", channel: int) -> int:
        return 923300000 + 600000 * (channel % 8)

    def take_cf_list(self, session: "Session", cf_list: bytes) -> None:
        """Type 1: masks of all channels (RP 2.2.1)."""
        if len(cf_list) == 16 and cf_list[15] == 1:
            mask = int.from_bytes(cf_list[:9], "little")
            if self.acceptable(session, mask):
                session.mask = mask

    def masked(self, session: "Session", mask: int, control: int, bits: int) -> int:
        if control < 4:
            return mask & ~(0xFFFF << 16 * control) | bits << 16 * control
        wide = (bits & 0xFF) << 64
        if control == 4:
            return mask & _ALL_125 | wide
        if control == 5:  # a bit for each bank: 8 channels and the wide one
            for bank in range(8):
                if bits >> bank & 1:
                    wide |= 0xFF << 8 * bank
            return wide
        return wide | _ALL_125 if control == 6 else wide

    def acceptable(self, session: "Session", mask: int) -> bool:
        """A single 125 kHz channel is no spread spectrum (FCC 15.247): none, or at least two."""
        narrow = mask & _ALL_125
        return mask > 0 and (not narrow or bool(narrow & narrow - 1))
