# SPDX-License-Identifier: MIT
"""Every packet on the air as a pcap file that Wireshark opens: LINKTYPE_LORATAP (270), header version 0.

The stamp is the start of the packet. RSSI and SNR are those of one observer (the gateway, as a rule); its own
packets, and packets that it could not hear, carry the lowest RSSI. Packets whose carrier broke off are left
out: nobody could have captured them.

Sources: LoRaTap v0, https://github.com/eriknl/LoRaTap; pcap file format, draft-ietf-opsawg-pcap.
"""

from __future__ import annotations

import struct
from collections import deque
from pathlib import Path
from typing import Self

from communode.virtual.air import Air
from communode.virtual.medium import Transmission

LINKTYPE_LORATAP = 270
_MAGIC_US = 0xA1B2C3D4
_SNAP_LENGTH = 65535
_HEADER_LENGTH = 15
_RSSI_OFFSET_DBM = 139
_BANDWIDTH_STEP_HZ = 125_000


def loratap(transmission: Transmission, rssi_dbm: float | None, snr_db: float) -> bytes:
    """The 15-byte header, then the PHYPayload. ``rssi_dbm`` None: not heard."""
    rssi = 0
    if rssi_dbm is not None:
        # LoRaTap: dBm = -139 + value, or -139 + value / 4 when the SNR is negative.
        scale = 1 if snr_db >= 0 else 4
        rssi = _byte((rssi_dbm + _RSSI_OFFSET_DBM) * scale)
    snr = max(-128, min(127, round(snr_db * 4)))
    header = struct.pack(
        ">BBHIBBBBBbB",
        0,
        0,
        _HEADER_LENGTH,
        transmission.frequency_hz,
        transmission.bandwidth_hz // _BANDWIDTH_STEP_HZ,
        transmission.spreading_factor,
        rssi,
        0xFF,
        0,
        snr,
        transmission.sync_word,
    )
    return header + transmission.payload


def _byte(value: float) -> int:
    return max(0, min(255, round(value)))


class Capture:
    """Writes what is on ``air`` to ``path`` until closed. ``epoch_unix_s``: UNIX time of world time 0."""

    def __init__(self, path: Path, air: Air, *, epoch_unix_s: float = 0.0, observer: str = "") -> None:
        self.packets = 0
        self._air = air
        self._observer = observer
        self._epoch_us = round(epoch_unix_s * 1_000_000)
        self._waiting: deque[Transmission] = deque()
        self._file = path.open("wb")
        self._file.write(struct.pack("<IHHiIII", _MAGIC_US, 2, 4, 0, 0, _SNAP_LENGTH, LINKTYPE_LORATAP))
        air.subscribe(self._take)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is still waiting and close the file."""
        if not self._file.closed:
            self._flush(None)
            self._file.close()

    def _take(self, transmission: Transmission) -> None:
        if self._file.closed:
            return
        self._flush(transmission.start_us)
        self._waiting.append(transmission)

    def _flush(self, now_us: int | None) -> None:
        """Write packets that ended by ``now_us`` (until then they may still be cut), in order of start."""
        while self._waiting and (now_us is None or self._waiting[0].end_us <= now_us):
            sent = self._waiting.popleft()
            if not self._air.was_cut(sent):
                self._write(sent)

    def _write(self, sent: Transmission) -> None:
        rssi: float | None = None
        snr = 0.0
        if self._observer and sent.source != self._observer and self._air.audible(sent, self._observer):
            rssi, snr = self._air.level(sent, self._observer)
        packet = loratap(sent, rssi, snr)
        seconds, micros = divmod(self._epoch_us + sent.start_us, 1_000_000)
        self._file.write(struct.pack("<IIII", seconds, micros, len(packet), len(packet)) + packet)
        self.packets += 1
