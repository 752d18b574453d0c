# SPDX-License-Identifier: MIT
"""MAC commands as the network sees them: answers to devices' requests, and what devices' answers change.

Pure: works on a `Session` that the caller saves. Source: L2 = TS001-1.0.4 chapter 5.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from communode.lns.session import Session

LINK_CHECK = 0x02
LINK_ADR = 0x03
DUTY_CYCLE = 0x04
RX_PARAM_SETUP = 0x05
DEV_STATUS = 0x06
NEW_CHANNEL = 0x07
RX_TIMING_SETUP = 0x08
TX_PARAM_SETUP = 0x09
DL_CHANNEL = 0x0A
DEVICE_TIME = 0x0D

# Bytes that follow the identifier, device to network and network to device (L2 5, table 8).
UPLINK_LENGTHS = {
    LINK_CHECK: 0,
    LINK_ADR: 1,
    DUTY_CYCLE: 0,
    RX_PARAM_SETUP: 1,
    DEV_STATUS: 2,
    NEW_CHANNEL: 1,
    RX_TIMING_SETUP: 0,
    TX_PARAM_SETUP: 0,
    DL_CHANNEL: 1,
    DEVICE_TIME: 0,
}
DOWNLINK_LENGTHS = {
    LINK_CHECK: 2,
    LINK_ADR: 4,
    DUTY_CYCLE: 1,
    RX_PARAM_SETUP: 4,
    DEV_STATUS: 0,
    NEW_CHANNEL: 5,
    RX_TIMING_SETUP: 1,
    TX_PARAM_SETUP: 1,
    DL_CHANNEL: 4,
    DEVICE_TIME: 5,
}
_MAX_CHANNELS = 16
_NO_BATTERY_LEVEL = 255


@dataclass(frozen=True)
class Circumstances:
    """What the answers need to know of an uplink: SNR over the demodulation limit (dB), gateways that heard
    it, and GPS time at its end (ms)."""

    margin_db: float
    gateways: int
    gps_ms: int


@dataclass(frozen=True)
class DeviceStatus:
    """A DevStatusAns: battery 0 (external), 1..254, 255 (unknown); margin in dB."""

    battery: int
    margin_db: int


def split(commands: bytes, lengths: dict[int, int]) -> list[tuple[int, bytes]]:
    """``(identifier, payload)`` of each command, up to the first one unknown or cut short (L2 5: the rest
    cannot be read)."""
    found = []
    at = 0
    while at < len(commands):
        length = lengths.get(commands[at])
        if length is None or at + 1 + length > len(commands):
            break
        found.append((commands[at], commands[at + 1 : at + 1 + length]))
        at += 1 + length
    return found


def take(session: Session, commands: bytes, now: Circumstances) -> tuple[bytes, DeviceStatus | None]:
    """Apply a device's commands to ``session``; the answers to send, and its status if it reported one."""
    answers = b""
    status = None
    requests = dict(split(session.sent_commands, DOWNLINK_LENGTHS))
    for identifier, payload in split(commands, UPLINK_LENGTHS):
        if identifier == LINK_CHECK:
            margin = max(0, min(254, int(now.margin_db)))
            answers += bytes((LINK_CHECK, margin, min(now.gateways, 255)))
        elif identifier == DEVICE_TIME:
            seconds, milliseconds = divmod(now.gps_ms, 1000)
            answers += struct.pack("<BIB", DEVICE_TIME, seconds & 0xFFFFFFFF, milliseconds * 256 // 1000)
        elif identifier == DEV_STATUS:
            margin = payload[1] & 0x3F
            status = DeviceStatus(payload[0], margin - 64 if margin > 31 else margin)
        elif identifier in requests:
            _apply(session, identifier, requests[identifier], payload)
    session.sent_commands = b""
    return answers, status


def _apply(session: Session, identifier: int, request: bytes, answer: bytes) -> None:
    """The device answered ``request``: follow it where it agreed."""
    if identifier == LINK_ADR:
        session.adr_patience, session.adr_again = 1, 0
        if answer[0] & 0x07 == 0x07:
            if session.power_index != request[0] & 0x0F:
                del session.history[:-1]  # SNR at another power says nothing about this one
            session.power_index = request[0] & 0x0F
            session.nb_trans = request[3] & 0x0F or session.nb_trans
            session.adr_refused = b""
        else:
            session.adr_refused = bytes((LINK_ADR,)) + request
    elif identifier == RX_PARAM_SETUP and answer[0] & 0x07 == 0x07:
        session.rx1_dr_offset = request[0] >> 4 & 0x07
        session.rx2_data_rate = request[0] & 0x0F
        session.rx2_hz = int.from_bytes(request[1:4], "little") * 100
    elif identifier == RX_TIMING_SETUP:
        session.rx1_delay_s = request[0] & 0x0F or 1
    elif identifier == NEW_CHANNEL and answer[0] & 0x03 == 0x03 and request[0] < _MAX_CHANNELS:
        missing = request[0] + 1 - len(session.channels_hz)
        session.channels_hz += [0] * missing
        session.channels_hz[request[0]] = int.from_bytes(request[1:4], "little") * 100
    elif identifier == DL_CHANNEL and answer[0] & 0x03 == 0x03 and request[0] < len(session.channels_hz):
        uplink_hz = session.channels_hz[request[0]]
        session.rx1_hz[str(uplink_hz)] = int.from_bytes(request[1:4], "little") * 100


def battery_pct(status: DeviceStatus) -> float | None:
    """Battery level in percent, None when external or unknown."""
    if status.battery in (0, _NO_BATTERY_LEVEL):
        return None
    return round((status.battery - 1) / 253 * 100, 1)
