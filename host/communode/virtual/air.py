# SPDX-License-Identifier: MIT
"""The shared radio medium: who hears what, how well, and what collides. Implements `medium.Medium`.

Not a propagation planner: a link has one path loss (given, or from distance), optional slow fading, and a
chance that a frame is lost. Nothing is drawn from a running generator: chance is a hash of the seed, the
source, the start and the receiver, so that the answer does not depend on who asks first.

Sources:
- Thermal noise -174 dBm/Hz; noise figure 6 dB (AN1200.22 2.2). SNR limits: SX1276 datasheet table 13.
- Isolation between spreading factors, 6 dB within one: C. Goursaud, J.-M. Gorce, "Dedicated networks for
  IoT: PHY/MAC state of the art and challenges", EAI Endorsed Transactions on IoT 2015 (matrix as used by
  the ns-3 lorawan module).
- Critical section (the last five preamble symbols must be clear), width of a channel, and the log-distance
  path loss: M. Bor et al., "Do LoRa low-power wide-area networks scale?", MSWiM 2016,
  doi 10.1145/2988287.2989163.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Callable
from statistics import NormalDist

from communode.virtual.medium import Reception, Transmission

_THERMAL_DBM_PER_HZ = -174.0
_REFERENCE_BANDWIDTH_HZ = 125_000
_SEARCH_HZ = 500_000  # what `transmissions` returns around a frequency
_KEEP_US = 3_600_000_000  # a chip may look back as far as this
_PREAMBLE_NEEDED = 5

# Lowest SNR in dB at which a modem locks, by spreading factor; 5 and 6 as the SX1262 datasheet, table 6-1.
SNR_LIMIT_DB = {5: -2.5, 6: -5.0, 7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}

# Signal to interference in dB that the row's packet needs beside the column's; both SF7 to SF12.
_ISOLATION_DB = (
    (6, -16, -18, -19, -19, -20),
    (-24, 6, -20, -22, -22, -22),
    (-27, -27, 6, -23, -25, -25),
    (-30, -30, -30, 6, -26, -28),
    (-33, -33, -33, -33, 6, -29),
    (-36, -36, -36, -36, -36, 6),
)

_LOSS_AT_40_M_DB = 127.41
_LOSS_EXPONENT = 2.08


def isolation_db(wanted: Transmission, other: Transmission) -> float:
    """SIR in dB that ``wanted`` needs to survive ``other``.

    Opposite IQ: chirps of one slope correlate with those of the other about as little as neighbouring
    spreading factors do; no measurement at hand, so the weakest isolation of the row is taken.
    """
    row = _ISOLATION_DB[min(max(wanted.spreading_factor, 7), 12) - 7]
    if wanted.invert_iq != other.invert_iq:
        return float(max(value for value in row if value < 0))
    return float(row[min(max(other.spreading_factor, 7), 12) - 7])


def same_channel(a: Transmission, b: Transmission) -> bool:
    """Whether two packets can disturb each other (widths of Bor et al.: 30, 60, 120 kHz)."""
    limit_hz = 30_000 * max(a.bandwidth_hz, b.bandwidth_hz) // _REFERENCE_BANDWIDTH_HZ
    return abs(a.frequency_hz - b.frequency_hz) <= limit_hz


class Air:
    """One shared medium in world time.

    ``loss`` is the chance (0..1) that a receiver misses a frame that it would have heard; ``path_loss_db``
    holds for pairs without a `link` and without a `place`; ``fading_db`` is the standard deviation of slow
    fading per frame.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        loss: float = 0.0,
        path_loss_db: float = 120.0,
        noise_figure_db: float = 6.0,
        fading_db: float = 0.0,
    ) -> None:
        if not 0.0 <= loss <= 1.0:
            raise ValueError("loss is a probability")
        self.seed = seed
        self.loss = loss
        self.path_loss_db = path_loss_db
        self.fading_db = fading_db
        self._noise_dbm = _THERMAL_DBM_PER_HZ + 10 * math.log10(_REFERENCE_BANDWIDTH_HZ) + noise_figure_db
        self._links: dict[tuple[str, str], float] = {}
        self._places: dict[str, tuple[float, float]] = {}
        self._sent: list[Transmission] = []  # by start
        self._cut: dict[tuple[str, int], int] = {}
        self._longest_us = 0
        self._subscribers: list[Callable[[Transmission], None]] = []

    def link(self, a: str, b: str, path_loss_db: float, *, both_ways: bool = True) -> None:
        """Fix the path loss from ``a`` to ``b``, in dB, and back unless told otherwise."""
        self._links[a, b] = path_loss_db
        if both_ways:
            self._links[b, a] = path_loss_db

    def place(self, name: str, x_m: float, y_m: float) -> None:
        """Put a station on the map: pairs of placed stations get log-distance path loss."""
        self._places[name] = (x_m, y_m)

    def subscribe(self, callback: Callable[[Transmission], None]) -> None:
        """Call ``callback`` for every transmission, when it is put on the air."""
        self._subscribers.append(callback)

    def transmit(self, transmission: Transmission) -> None:
        """Put a packet on the air."""
        starts = [sent.start_us for sent in self._sent[-64:]]
        at = len(self._sent) - len(starts) + bisect_left(starts, transmission.start_us + 1)
        self._sent.insert(at, transmission)
        self._longest_us = max(self._longest_us, transmission.end_us - transmission.start_us)
        self._prune()
        for callback in self._subscribers:
            callback(transmission)

    def cut(self, transmission: Transmission, end_us: int) -> None:
        """The carrier of ``transmission`` stopped at ``end_us``."""
        key = (transmission.source, transmission.start_us)
        self._cut[key] = min(end_us, self._cut.get(key, transmission.end_us))

    def was_cut(self, transmission: Transmission) -> bool:
        """Whether the packet was broken off before its end."""
        return (transmission.source, transmission.start_us) in self._cut

    def transmissions(self, since_us: int, until_us: int, frequency_hz: int) -> list[Transmission]:
        """All that overlap ``[since_us, until_us)`` within 500 kHz of ``frequency_hz``, by start time."""
        return [
            sent
            for sent in self._overlapping(since_us, until_us)
            if abs(sent.frequency_hz - frequency_hz) <= _SEARCH_HZ
        ]

    def noise_dbm(self, receiver: str, frequency_hz: int, time_us: int) -> float:
        """Thermal noise in 125 kHz, noise figure included; the same everywhere."""
        return self._noise_dbm

    def level(self, transmission: Transmission, receiver: str) -> tuple[float, float]:
        """RSSI in dBm and SNR in dB at ``receiver``, collisions and loss apart."""
        rssi = transmission.power_dbm - self._path_loss_db(transmission.source, receiver)
        if self.fading_db:
            chance = self._chance("fading", transmission, receiver)
            rssi += NormalDist(0.0, self.fading_db).inv_cdf(min(max(chance, 1e-9), 1 - 1e-9))
        noise = self.noise_dbm(receiver, transmission.frequency_hz, transmission.start_us)
        noise += 10 * math.log10(transmission.bandwidth_hz / _REFERENCE_BANDWIDTH_HZ)
        return rssi, rssi - noise

    def audible(self, transmission: Transmission, receiver: str) -> bool:
        """Whether the SNR at ``receiver`` reaches the limit of the spreading factor."""
        limit = SNR_LIMIT_DB.get(transmission.spreading_factor)
        return limit is not None and self.level(transmission, receiver)[1] >= limit

    def reception(self, transmission: Transmission, receiver: str) -> Reception | None:
        """How ``receiver`` hears it, as far as it is known by now; None when it notices nothing."""
        if not self.audible(transmission, receiver):
            return None
        if self._chance("loss", transmission, receiver) < self.loss:
            return None
        end_us = self._end_us(transmission)
        if any(sent.source == receiver for sent in self._overlapping(transmission.start_us, end_us)):
            return None  # half duplex
        rssi, snr = self.level(transmission, receiver)
        intact = not self.was_cut(transmission) and not self._collides(transmission, receiver, rssi)
        return Reception(rssi, snr, intact)

    def _collides(self, wanted: Transmission, receiver: str, rssi_dbm: float) -> bool:
        spare = max(0, wanted.preamble_symbols - _PREAMBLE_NEEDED)
        critical_us = wanted.start_us + int(spare * wanted.symbol_us)
        for other in self._overlapping(critical_us, wanted.end_us):
            if other.source in (wanted.source, receiver) or not same_channel(wanted, other):
                continue
            if rssi_dbm - self.level(other, receiver)[0] < isolation_db(wanted, other):
                return True
        return False

    def _overlapping(self, since_us: int, until_us: int) -> list[Transmission]:
        first = bisect_left(self._sent, since_us - self._longest_us, key=lambda sent: sent.start_us)
        found = []
        for sent in self._sent[first:]:
            if sent.start_us >= until_us:
                break
            if self._end_us(sent) > since_us:
                found.append(sent)
        return found

    def _end_us(self, transmission: Transmission) -> int:
        return self._cut.get((transmission.source, transmission.start_us), transmission.end_us)

    def _path_loss_db(self, source: str, receiver: str) -> float:
        fixed = self._links.get((source, receiver))
        if fixed is not None:
            return fixed
        here, there = self._places.get(source), self._places.get(receiver)
        if here is None or there is None:
            return self.path_loss_db
        distance_m = max(1.0, math.dist(here, there))
        return _LOSS_AT_40_M_DB + 10 * _LOSS_EXPONENT * math.log10(distance_m / 40.0)

    def _chance(self, what: str, transmission: Transmission, receiver: str) -> float:
        """A number in [0, 1) that is the same however often and in whatever order it is asked for."""
        name = f"{self.seed}|{what}|{transmission.source}|{transmission.start_us}|{receiver}"
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64

    def _prune(self) -> None:
        horizon = self._sent[-1].start_us - _KEEP_US
        if self._sent[0].start_us >= horizon - _KEEP_US // 2:
            return
        kept = bisect_left(self._sent, horizon, key=lambda sent: sent.start_us)
        for sent in self._sent[:kept]:
            self._cut.pop((sent.source, sent.start_us), None)
        del self._sent[:kept]
