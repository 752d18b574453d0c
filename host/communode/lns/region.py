# SPDX-License-Identifier: MIT
"""What the bench server knows of a region, as data; EU868 so far. Independent of the node's tables.

Not a channel-plan engine: fixed plans (US915, AU915) need masks instead of CFList frequencies and
get their own rows when the bench needs them.

Sources: RP002-1.0.4 chapter 2.4 (EU868); AN1200.22 and SX1276 datasheet table 13 (SNR limits);
ETSI EN 300 220-2 (sub-bands, through RP002).
"""

from __future__ import annotations

from dataclasses import dataclass

# Lowest SNR (dB) at which an SX127x/SX130x demodulates, by spreading factor.
REQUIRED_SNR_DB = {7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
_UNKNOWN_SNR_DB = -20.0


@dataclass(frozen=True)
class DataRate:
    """A LoRa data rate."""

    spreading_factor: int
    bandwidth_hz: int

    @property
    def datr(self) -> str:
        """As the packet forwarder names it, ``SF7BW125``."""
        return f"SF{self.spreading_factor}BW{self.bandwidth_hz // 1000}"

    @property
    def required_snr_db(self) -> float:
        """The demodulation limit in dB."""
        return REQUIRED_SNR_DB.get(self.spreading_factor, _UNKNOWN_SNR_DB)


@dataclass(frozen=True)
class SubBand:
    """``low_hz`` up to, not including, ``high_hz``; ``duty_cycle`` is a share of one hour."""

    low_hz: int
    high_hz: int
    duty_cycle: float


@dataclass(frozen=True)
class Region:
    """One region's numbers; frequencies in Hz, powers in dBm EIRP, payload sizes in bytes."""

    name: str
    data_rates: tuple[DataRate, ...]
    max_mac_payload: tuple[int, ...]  # M of RP002: FHDR + FPort + FRMPayload
    join_channels_hz: tuple[int, ...]
    cf_list_hz: tuple[int, ...]
    rx2_hz: int
    rx2_data_rate: int
    max_adr_data_rate: int
    max_power_index: int
    rx1_power_dbm: int
    rx2_power_dbm: int
    sub_bands: tuple[SubBand, ...]

    def data_rate_of(self, datr: str) -> int | None:
        """The index of ``SF7BW125``, None when the region lacks it."""
        for index, rate in enumerate(self.data_rates):
            if rate.datr == datr:
                return index
        return None

    def rx1_data_rate(self, uplink_data_rate: int, offset: int) -> int:
        """Data rate of RX1 (RP002 2.4.7)."""
        return max(0, uplink_data_rate - offset)

    def max_app_payload(self, data_rate: int, f_opts_length: int = 0) -> int:
        """N of RP002: room for FRMPayload beside FHDR (7 + FOpts) and FPort; may be negative."""
        return self.max_mac_payload[data_rate] - 8 - f_opts_length

    def cf_list(self) -> bytes:
        """The CFList of type 0 for the join-accept, empty when the region uses none."""
        if not self.cf_list_hz:
            return b""
        return b"".join((hz // 100).to_bytes(3, "little") for hz in self.cf_list_hz) + b"\x00"

    def sub_band(self, frequency_hz: int) -> SubBand | None:
        """The sub-band of a frequency, None where the region does not send."""
        for band in self.sub_bands:
            if band.low_hz <= frequency_hz < band.high_hz:
                return band
        return None

    def downlink_power_dbm(self, frequency_hz: int) -> int:
        """EIRP that the sub-band of ``frequency_hz`` allows a gateway."""
        return self.rx2_power_dbm if frequency_hz == self.rx2_hz else self.rx1_power_dbm


EU868 = Region(
    name="EU868",
    data_rates=(
        *(DataRate(sf, 125_000) for sf in (12, 11, 10, 9, 8, 7)),
        DataRate(7, 250_000),
    ),
    max_mac_payload=(59, 59, 59, 123, 250, 250, 250),
    join_channels_hz=(868_100_000, 868_300_000, 868_500_000),
    cf_list_hz=(867_100_000, 867_300_000, 867_500_000, 867_700_000, 867_900_000),
    rx2_hz=869_525_000,
    rx2_data_rate=0,
    max_adr_data_rate=5,
    max_power_index=7,
    rx1_power_dbm=16,  # RP002: MaxEIRP of the 1 % sub-bands
    rx2_power_dbm=27,  # 869.4-869.65 MHz: 500 mW e.r.p. is 29.15 dBm EIRP, less 2 dB of tolerance
    sub_bands=(
        SubBand(863_000_000, 865_000_000, 0.001),
        SubBand(865_000_000, 868_000_000, 0.01),
        SubBand(868_000_000, 868_600_000, 0.01),
        SubBand(868_700_000, 869_200_000, 0.001),
        SubBand(869_400_000, 869_650_000, 0.1),
        SubBand(869_700_000, 870_000_000, 0.01),
    ),
)

REGIONS = {EU868.name: EU868}
