# SPDX-License-Identifier: MIT
"""How long a gateway has sent per sub-band in the last hour: its duty cycle, kept by the server.

Packet forwarders do not keep it, and a bench gateway sends on real air. Pure; the caller brings the time.

Source: ETSI EN 300 220-2 annex B, as RP002-1.0.4 2.4 applies it; observation period one hour.
"""

from __future__ import annotations

from collections import deque

from communode.lns.region import Region, SubBand

_HOUR_MS = 3_600_000


class DutyLedger:
    """One gateway's air time per sub-band."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._sent: dict[SubBand, deque[tuple[float, int]]] = {}

    def allows(self, frequency_hz: int, airtime_us: int, now_ms: float) -> bool:
        """Whether ``airtime_us`` more fits into the hour that ends now; never outside the sub-bands."""
        band = self._region.sub_band(frequency_hz)
        if band is None:
            return False
        sent = self._sent.setdefault(band, deque())
        while sent and (sent[0][0] <= now_ms - _HOUR_MS or sent[0][0] > now_ms + _HOUR_MS):
            sent.popleft()  # older than an hour, or the gateway's clock was set back
        used_us = sum(length_us for _, length_us in sent)
        return used_us + airtime_us <= band.duty_cycle * _HOUR_MS * 1000

    def spend(self, frequency_hz: int, airtime_us: int, now_ms: float) -> None:
        """A downlink was handed to the gateway."""
        band = self._region.sub_band(frequency_hz)
        if band is not None:
            self._sent.setdefault(band, deque()).append((now_ms, airtime_us))

    def refund(self, frequency_hz: int) -> None:
        """The gateway refused the downlink that was handed to it last in this sub-band."""
        band = self._region.sub_band(frequency_hz)
        if band is not None and self._sent.get(band):
            self._sent[band].pop()
