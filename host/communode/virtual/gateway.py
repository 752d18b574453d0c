# SPDX-License-Identifier: MIT
"""A virtual gateway: eight LoRa channels on the shared air on one side, Semtech UDP on the other.

It is an SX1301-class concentrator as the network server knows it: a 32-bit microsecond counter, eight
demodulators, half duplex, deaf to inverted IQ, a queue of timed downlinks that refuses what it cannot send.
It has GPS time (``tmms``). Not modelled: FSK, beacons, frequency drift.

Sources: PF = PROTOCOL.TXT of Lora-net/packet_forwarder v4.0.1; timing constants of its jitqueue.c;
SX1301 datasheet 3.2 (eight demodulators); RP002-1.0.4 2.4 (EU868 channels).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from communode.lns.airtime import time_on_air_us
from communode.lns.semtech import (
    GPS_EPOCH_UNIX_S,
    GPS_LEAP_SECONDS,
    DatagramError,
    RxPacket,
    TxPacket,
    gps_ms_from_unix,
)
from communode.virtual.air import Air
from communode.virtual.forwarder import Forwarder
from communode.virtual.medium import Transmission
from communode.virtual.timeline import Timeline

EU868_CHANNELS_HZ = (
    *(868_100_000, 868_300_000, 868_500_000),
    *(867_100_000, 867_300_000, 867_500_000, 867_700_000, 867_900_000),
)
EU868_FAST_CHANNEL_HZ = 868_300_000  # the extra demodulator: SF7, 250 kHz

_DEMODULATORS = 8
_MULTI_RATES = tuple((spreading_factor, 125_000) for spreading_factor in range(7, 13))
_SYNC_WORD = 0x34
_TOLERANCE = 0.25  # of the bandwidth (SX1301 data sheet V2.4, 2.1: frequency tolerance +-30 kHz at 125 kHz)
_LOCK_SYMBOLS = 5
_COUNTER = 1 << 32
_TX_RANGE_HZ = (863_000_000, 870_000_000)
_TX_RANGE_DBM = (-6, 27)
_TX_START_US = 1_500  # TX_START_DELAY
_TX_MARGIN_US = 1_000  # TX_MARGIN_DELAY
_TX_PREPARE_US = 30_000  # TX_JIT_DELAY
_TX_LEAD_US = _TX_START_US + _TX_MARGIN_US + _TX_PREPARE_US
_TX_ADVANCE_US = 512_000_000  # TX_MAX_ADVANCE_DELAY: four beacon periods
_IMMEDIATE_US = 1_000_000
_POLL_US = 2_000
_KEEPALIVE_US = 5_000_000  # PF 5.2: often enough that an address translation on the way stays open


@dataclass
class GatewayCounts:
    """What a ``stat`` reports, since the start."""

    heard: int = 0
    intact: int = 0
    forwarded: int = 0
    busy: int = 0  # packets that found no free demodulator
    asked: int = 0
    sent: int = 0


class Gateway:
    """A gateway named ``name`` on ``air``, forwarding to ``server`` (host, port).

    ``eui`` is 16 hex digits. ``outages`` are ``(from_us, to_us)`` in world time with everything off.
    ``epoch_unix_s`` is the UNIX time of world time 0 (None: 1970, or with ``realtime`` what the host's clock
    says). ``tx_offset_us`` shifts every downlink (to test
    receivers), ``counter_offset_us`` the 32-bit counter. In virtual time a server that does not answer raises
    CommunodeError ``network.server_silent``; with ``realtime`` it only shows in the statistics.
    """

    def __init__(
        self,
        eui: str,
        air: Air,
        timeline: Timeline,
        server: tuple[str, int],
        *,
        name: str = "",
        realtime: bool = False,
        epoch_unix_s: float | None = None,
        outages: Sequence[tuple[int, int]] = (),
        channels_hz: Sequence[int] = EU868_CHANNELS_HZ,
        antenna_gain_dbi: float = 0.0,
        stat_interval_us: int = 30_000_000,
        tx_offset_us: int = 0,
        counter_offset_us: int = 0,
        timeout_s: float = 5.0,
        settle_s: float = 0.0,
    ) -> None:
        self.eui = f"{int(eui, 16):016x}"
        self.name = name or f"gateway-{self.eui}"
        self.counts = GatewayCounts()
        self.outages = list(outages)
        self._air = air
        self._timeline = timeline
        self._realtime = realtime
        if epoch_unix_s is None:
            epoch_unix_s = time.time() - timeline.now_us() / 1e6 if realtime else 0.0
        self._epoch_unix_s = epoch_unix_s
        self._channels_hz = tuple(channels_hz)
        self._antenna_gain_dbi = antenna_gain_dbi
        self._stat_interval_us = stat_interval_us
        self._tx_offset_us = tx_offset_us
        self._counter_offset_us = counter_offset_us
        self._closed = False
        self._demodulating: list[Transmission] = []
        self._planned: list[tuple[int, int]] = []  # start and end of downlinks not yet over
        self._forwarder = Forwarder(
            self.eui, server, self._plan, realtime=realtime, timeout_s=timeout_s, settle_s=settle_s
        )
        self._due_us = timeline.now_us()
        air.subscribe(self._appear)
        self._call_at(self._due_us, self._report)
        if realtime:
            self._call_at(self._due_us + _POLL_US, self._poll)
            self._call_at(self._due_us, self._keep_alive)

    def close(self) -> None:
        """Switch off for good."""
        self._closed = True
        self._forwarder.close()

    def is_off(self, since_us: int, until_us: int) -> bool:
        """Whether any part of the time span falls into an outage."""
        return self._closed or any(start < until_us and since_us < end for start, end in self.outages)

    # --- receive ------------------------------------------------------------------------------------------

    def _appear(self, sent: Transmission) -> None:
        """A packet starts somewhere: take a demodulator if it can be heard here."""
        if sent.source == self.name or self._channel(sent) is None or self._closed:
            return
        if sent.invert_iq or sent.sync_word != _SYNC_WORD or sent.implicit:
            return
        if not self._air.audible(sent, self.name):
            return
        self._demodulating = [other for other in self._demodulating if other.end_us > sent.start_us]
        if len(self._demodulating) >= _DEMODULATORS:
            self.counts.busy += 1
            return
        self._demodulating.append(sent)
        self._call_at(sent.end_us, lambda: self._receive(sent))

    def _channel(self, sent: Transmission) -> int | None:
        """The demodulator that hears ``sent``: transmitters are never exactly on frequency."""
        rate = (sent.spreading_factor, sent.bandwidth_hz)
        tolerance_hz = sent.bandwidth_hz * _TOLERANCE
        if rate == (7, 250_000) and abs(sent.frequency_hz - EU868_FAST_CHANNEL_HZ) <= tolerance_hz:
            return len(self._channels_hz)
        if rate in _MULTI_RATES:
            for index, centre_hz in enumerate(self._channels_hz):
                if abs(sent.frequency_hz - centre_hz) <= tolerance_hz:
                    return index
        return None

    def _receive(self, sent: Transmission) -> None:
        if self.is_off(sent.start_us, sent.end_us):
            return
        reception = self._air.reception(sent, self.name)
        if reception is None:
            return
        self.counts.heard += 1
        if not (reception.intact and sent.crc):
            return  # as the packet forwarder's defaults: no CRC errors, nothing without CRC
        self.counts.intact += 1
        channel = self._channel(sent) or 0
        centres_hz = (*self._channels_hz, EU868_FAST_CHANNEL_HZ)
        packet = RxPacket(
            payload=sent.payload,
            tmst_us=self._counter(sent.end_us),
            frequency_hz=centres_hz[channel],  # a concentrator knows its channel, not the sender's error
            spreading_factor=sent.spreading_factor,
            bandwidth_hz=sent.bandwidth_hz,
            rssi_dbm=reception.rssi_dbm + self._antenna_gain_dbi,
            snr_db=reception.snr_db,
            coding_rate=sent.coding_rate,
            channel=channel,
            rf_chain=int(sent.frequency_hz < 868_000_000),
            time=self._utc(sent.end_us).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            gps_ms=gps_ms_from_unix(self._epoch_unix_s) + round(sent.end_us / 1000),
        )
        self.counts.forwarded += 1
        self._forwarder.push({"rxpk": [packet.to_json()]})

    # --- send ---------------------------------------------------------------------------------------------

    def _plan(self, body: dict[str, Any]) -> str:
        """Take a PULL_RESP into the queue; the error of its TX_ACK, empty when there is to be none."""
        self.counts.asked += 1
        try:
            packet = TxPacket.from_json(body)
        except DatagramError:
            return ""  # the packet forwarder only logs what it cannot read
        if not _TX_RANGE_HZ[0] <= packet.frequency_hz <= _TX_RANGE_HZ[1]:
            return "TX_FREQ"
        if not _TX_RANGE_DBM[0] <= packet.power_dbm <= _TX_RANGE_DBM[1]:
            return "TX_POWER"
        now_us = self._now_us()
        start_us = self._start_us(packet, now_us)
        end_us = start_us + time_on_air_us(
            packet.spreading_factor,
            packet.bandwidth_hz,
            len(packet.payload),
            coding_rate=packet.coding_rate,
            preamble_symbols=packet.preamble_symbols,
            crc=packet.crc,
        )
        if start_us - now_us <= _TX_LEAD_US:
            return "TOO_LATE"
        if start_us - now_us > _TX_ADVANCE_US:
            return "TOO_EARLY"
        self._planned = [plan for plan in self._planned if plan[1] > now_us]
        guard_us = _TX_PREPARE_US + _TX_START_US + _TX_MARGIN_US
        if any(start_us - end <= guard_us and start - end_us <= guard_us for start, end in self._planned):
            return "COLLISION_PACKET"
        self._planned.append((start_us, end_us))
        sent = Transmission(
            source=self.name,
            start_us=start_us + self._tx_offset_us,
            end_us=end_us + self._tx_offset_us,
            frequency_hz=packet.frequency_hz,
            spreading_factor=packet.spreading_factor,
            bandwidth_hz=packet.bandwidth_hz,
            coding_rate=packet.coding_rate,
            preamble_symbols=packet.preamble_symbols,
            invert_iq=packet.invert_iq,
            sync_word=_SYNC_WORD,
            crc=packet.crc,
            implicit=False,
            payload=packet.payload,
            power_dbm=packet.power_dbm + self._antenna_gain_dbi,
        )
        self._call_at(sent.start_us, lambda: self._send(sent))
        return "NONE"

    def _start_us(self, packet: TxPacket, now_us: int) -> int:
        if packet.tmst_us is not None:
            ahead = (packet.tmst_us - self._counter(now_us)) % _COUNTER
            return now_us + (ahead if ahead < _COUNTER // 2 else ahead - _COUNTER)
        if packet.gps_ms is not None:
            unix_s = packet.gps_ms / 1000 + GPS_EPOCH_UNIX_S - GPS_LEAP_SECONDS
            return round((unix_s - self._epoch_unix_s) * 1_000_000)
        latest = max((end for _, end in self._planned), default=0)
        return max(now_us + _IMMEDIATE_US, latest + 2 * _TX_LEAD_US)

    def _send(self, sent: Transmission) -> None:
        if not self.is_off(sent.start_us, sent.end_us):
            self.counts.sent += 1
            self._air.transmit(sent)

    # --- housekeeping -------------------------------------------------------------------------------------

    def _report(self) -> None:
        if self._closed:
            return
        now_us = self._now_us()
        if not self.is_off(now_us, now_us + 1):
            counts = self.counts
            stat = {
                "time": self._utc(now_us).strftime("%Y-%m-%d %H:%M:%S GMT"),
                "rxnb": counts.heard,
                "rxok": counts.intact,
                "rxfw": counts.forwarded,
                "ackr": round(self._forwarder.acknowledged_pct, 1),
                "dwnb": counts.asked,
                "txnb": counts.sent,
            }
            self._forwarder.push({"stat": stat})
        self._call_at(now_us + self._stat_interval_us, self._report)

    def _poll(self) -> None:
        if not self._closed:
            now_us = self._now_us()
            if not self.is_off(now_us, now_us + 1):
                self._forwarder.poll()
            self._call_at(self._now_us() + _POLL_US, self._poll)

    def _keep_alive(self) -> None:
        """From PULL_DATA the server learns where downlinks go; it may be younger than the gateway."""
        if not self._closed:
            now_us = self._now_us()
            if not self.is_off(now_us, now_us + 1):
                self._forwarder.pull()
            self._call_at(now_us + _KEEPALIVE_US, self._keep_alive)

    def _call_at(self, time_us: int, function: Callable[[], None]) -> None:
        def run() -> None:
            self._due_us = time_us
            function()

        self._timeline.call_at(time_us, run)

    def _now_us(self) -> int:
        """World time. In virtual time that of the event being run: boards may have run ahead of it."""
        return self._timeline.now_us() if self._realtime else self._due_us

    def _counter(self, time_us: int) -> int:
        return (time_us + self._counter_offset_us) % _COUNTER

    def _utc(self, time_us: int) -> datetime:
        return datetime.fromtimestamp(self._epoch_unix_s + time_us / 1_000_000, UTC)
