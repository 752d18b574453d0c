# SPDX-License-Identifier: MIT
# What all regions share: a region is data, this file is how the data is used. Pure.
#
# A region file subclasses `Region` (dynamic plans: a table of up to 16 channels that the network fills) or
# `FixedRegion` of fixed.py (US915, AU915), sets the class attributes and ends with `REGION = TheClass()`.
# Not here: session state (session.py holds it and hands itself in) and MAC command parsing (commands.py).
# Source: RP = RP002-1.0.4; L2 = TS001-1.0.4.

from micropython import const

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from ..session import Session

# TxParamSetupReq (L2 5.8) as the session keeps it: bit 5 dwell time of downlinks, 4 of uplinks, 3-0 MaxEIRP.
DOWNLINK_DWELL = const(0x20)
UPLINK_DWELL = const(0x10)
MAX_EIRP_DBM = b"\x08\x0a\x0c\x0d\x0e\x10\x12\x14\x15\x18\x1a\x1b\x1d\x1e\x21\x24"


class Region:
    """One region with a dynamic channel plan; data rates are indices of ``data_rates``."""

    name = ""
    code = 0  # in the session record: never change one
    low_hz = 0
    high_hz = 0
    default_channels_hz: "tuple[int, ...]" = ()
    # Per data rate (spreading factor, bandwidth in Hz), or None for what a LoRa-only modem cannot do.
    data_rates: "tuple[tuple[int, int] | None, ...]" = ()
    max_data_rate = 5  # of the default channels
    max_mac_payload = b""  # M of the regional tables, per data rate; 0 where there is none
    dwell_mac_payload = b""  # the same of uplinks under a dwell time limit; empty where the region has none
    # Where duty cycles apply: (from Hz, to Hz, ms an hour). Empty: no limit.
    sub_bands: "tuple[tuple[int, int, int], ...]" = ()
    max_eirp_dbm = 16
    max_power_index = 7
    rx2_frequency_hz = 0
    rx2_data_rate = 0
    max_rx1_dr_offset = 5
    join_data_rates = b"\x05\x04\x03\x02\x01\x00"  # attempt after attempt, around again
    default_tx_param = 0
    tx_param_setup = False  # whether TxParamSetupReq means anything here
    dynamic = True  # whether the network can define channels
    listen_us = 0  # listen before talk: for how long, 0: not asked here
    listen_dbm = 0

    def budgets_ms(self) -> "tuple[int, ...]":
        """Airtime of an hour per sub-band, for the ledger."""
        return tuple([band[2] for band in self.sub_bands])

    def band(self, frequency_hz: int) -> int:
        """The sub-band of a frequency, -1 where there is none."""
        for number, (low, high, _) in enumerate(self.sub_bands):
            if low <= frequency_hz <= high:
                return number
        return -1

    def eirp_dbm(self, session: "Session", power_index: int, frequency_hz: int) -> int:
        """EIRP of a TXPower index."""
        return self.max_eirp_dbm - 2 * power_index

    def known_rate(self, data_rate: int) -> bool:
        """Whether this data rate exists here for this modem."""
        return data_rate < len(self.data_rates) and self.data_rates[data_rate] is not None

    def downlink_rate(self, data_rate: int) -> bool:
        """Whether RX2 may have this data rate."""
        return self.known_rate(data_rate)

    def payload_limit(self, session: "Session", data_rate: int) -> int:
        """M: the longest MACPayload of an uplink, 0 where no uplink is allowed."""
        if self.dwell_mac_payload and session.tx_param & UPLINK_DWELL:
            return self.dwell_mac_payload[data_rate]
        return self.max_mac_payload[data_rate]

    def lowest_rate(self, session: "Session") -> int:
        """The default data rate of an uplink (L2 4.3.1.1): the slowest that is allowed."""
        data_rate = 0
        while not self.payload_limit(session, data_rate):
            data_rate += 1
        return data_rate

    def receivable(self, frequency_hz: int) -> bool:
        """Whether a downlink may be on this frequency."""
        return self.low_hz <= frequency_hz <= self.high_hz

    def usable(self, frequency_hz: int) -> bool:
        """Whether a channel may be on this frequency: with duty cycles it must lie in a sub-band."""
        return self.receivable(frequency_hz) and (not self.sub_bands or self.band(frequency_hz) >= 0)

    def setup(self, session: "Session") -> None:
        """The channel plan of a node that has just been switched on."""
        for channel, frequency_hz in enumerate(self.default_channels_hz):
            session.frequencies[channel] = frequency_hz
            session.ranges[channel] = self.max_data_rate << 4
        self.enable_defaults(session)

    def enable_defaults(self, session: "Session") -> None:
        """The last step of the ADR back-off: default channels on, the others as they are (L2 4.3.1.1)."""
        session.mask |= (1 << len(self.default_channels_hz)) - 1

    def defaults_enabled(self, session: "Session") -> bool:
        """Whether that step would change nothing."""
        every = (1 << len(self.default_channels_hz)) - 1
        return session.mask & every == every

    def supporting(self, session: "Session", mask: int, data_rate: int) -> int:
        """The channels of a mask that allow a data rate; 0 for a rate that is not allowed at all."""
        if not self.known_rate(data_rate) or not self.payload_limit(session, data_rate):
            return 0
        for channel, span in enumerate(session.ranges):
            if not span & 15 <= data_rate <= span >> 4:
                mask &= ~(1 << channel)
        return mask

    def joining(self, session: "Session") -> "tuple[int, int]":
        """Channels (mask) and data rate of the next join-request."""
        rates = self.join_data_rates
        return (1 << len(self.default_channels_hz)) - 1, rates[session.join_attempts % len(rates)]

    def frequency_hz(self, session: "Session", channel: int) -> int:
        """Uplink frequency of a channel."""
        return session.frequencies[channel]

    def rx1_frequency_hz(self, session: "Session", channel: int) -> int:
        """RX1 frequency after an uplink on a channel."""
        return session.downlinks[channel] or session.frequencies[channel]

    def rx1_data_rate(self, session: "Session", data_rate: int, offset: int) -> int:
        """RX1 data rate after an uplink."""
        return max(data_rate - offset, 0)

    def take_cf_list(self, session: "Session", cf_list: bytes) -> None:
        """Channels of a join-accept (type 0: five frequencies); other types are not for this plan."""
        if len(cf_list) != 16 or cf_list[15] != 0:
            return
        first = len(self.default_channels_hz)
        for number in range(5):
            channel = first + number
            frequency_hz = 100 * int.from_bytes(cf_list[3 * number : 3 * number + 3], "little")
            if frequency_hz and self.usable(frequency_hz):
                session.frequencies[channel] = frequency_hz
                session.ranges[channel] = self.max_data_rate << 4
                session.mask |= 1 << channel

    def masked(self, session: "Session", mask: int, control: int, bits: int) -> int:
        """The mask after one ChMaskCntl/ChMask of a LinkADRReq block, -1 for what is not defined here."""
        if control == 0:
            return bits
        if control == 6:
            return self.defined(session)
        return -1

    def acceptable(self, session: "Session", mask: int) -> bool:
        """Whether a LinkADRReq may set this mask: something is on, and only what exists."""
        return mask > 0 and not mask & ~self.defined(session)

    def defined(self, session: "Session") -> int:
        """All channels that exist, as a mask."""
        mask = 0
        for channel, frequency_hz in enumerate(session.frequencies):
            if frequency_hz:
                mask |= 1 << channel
        return mask

    def new_channel(self, session: "Session", channel: int, frequency_hz: int, span: int) -> int:
        """NewChannelReq (L2 5.6): change the table and return the status, or refuse and leave it."""
        if not len(self.default_channels_hz) <= channel < len(session.frequencies):
            return 0
        if frequency_hz == 0:
            # A plan whose last enabled channel is taken away would be mute: the defaults come back.
            session.mask &= ~(1 << channel)
            if not session.mask:
                self.enable_defaults(session)
            session.frequencies[channel] = session.downlinks[channel] = session.ranges[channel] = 0
            return 3
        status = 1 if self.usable(frequency_hz) else 0
        low, high = span & 15, span >> 4
        if low <= high and self.known_rate(low) and self.known_rate(high):
            status |= 2
        if status == 3:
            session.frequencies[channel] = frequency_hz
            session.downlinks[channel] = 0
            session.ranges[channel] = span
            session.mask |= 1 << channel
        return status

    def dl_channel(self, session: "Session", channel: int, frequency_hz: int) -> int:
        """DlChannelReq (L2 5.9), likewise."""
        status = 1 if self.receivable(frequency_hz) else 0
        if channel < len(session.frequencies) and session.frequencies[channel]:
            status |= 2
        if status == 3:
            session.downlinks[channel] = frequency_hz
        return status
