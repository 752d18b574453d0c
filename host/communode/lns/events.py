# SPDX-License-Identifier: MIT
"""Events of the bench server in the shape of ChirpStack v4 integration events, plus a key ``event``.

What reads these reads a real ChirpStack too (there the event's name is in the topic). Identifiers are
derived, not random: the same frames give the same events.

Source: ChirpStack v4 api/proto, integration/integration.proto and gw/gw.proto, as Protocol Buffers map to
JSON.
"""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime
from typing import Any

from communode.lns.mac import DeviceStatus, battery_pct
from communode.lns.region import DataRate
from communode.lns.semtech import RxPacket
from communode.lns.session import Device

_SPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "bench.communode")
_TENANT = str(uuid.uuid5(_SPACE, "tenant"))
_APPLICATION = str(uuid.uuid5(_SPACE, "application"))
_PROFILE = str(uuid.uuid5(_SPACE, "device-profile"))


def utc_now() -> str:
    """The host's time as events carry it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def deduplication_id(gateway: str, packet: RxPacket) -> str:
    """A UUID for one transmission, from its first copy."""
    return str(uuid.uuid5(_SPACE, f"{gateway}|{packet.tmst_us}|{packet.gps_ms}|{packet.payload.hex()}"))


def device_info(device: Device) -> dict[str, Any]:
    """``deviceInfo``"""
    return {
        "tenantId": _TENANT,
        "tenantName": "bench",
        "applicationId": _APPLICATION,
        "applicationName": "bench",
        "deviceProfileId": _PROFILE,
        "deviceProfileName": "class A",
        "deviceName": device.name or device.dev_eui,
        "devEui": device.dev_eui,
        "deviceClassEnabled": "CLASS_A",
        "tags": {},
    }


def rx_info(gateway: str, packet: RxPacket) -> dict[str, Any]:
    """One element of ``rxInfo``"""
    info: dict[str, Any] = {"gatewayId": gateway, "uplinkId": packet.tmst_us}
    if packet.time:
        info["gwTime"] = packet.time
    if packet.gps_ms is not None:
        info["timeSinceGpsEpoch"] = f"{packet.gps_ms / 1000:.3f}s"
    return info | {
        "rssi": round(packet.rssi_dbm),
        "snr": packet.snr_db,
        "channel": packet.channel,
        "rfChain": packet.rf_chain,
        "context": base64.b64encode(packet.tmst_us.to_bytes(4, "big")).decode(),
        "crcStatus": "CRC_OK",
    }


def tx_info(frequency_hz: int, rate: DataRate, coding_rate: int = 5) -> dict[str, Any]:
    """``txInfo``"""
    return {
        "frequency": frequency_hz,
        "modulation": {
            "lora": {
                "bandwidth": rate.bandwidth_hz,
                "spreadingFactor": rate.spreading_factor,
                "codeRate": f"CR_4_{coding_rate}",
            }
        },
    }


def join(device: Device, time: str, duplicates: str, dev_addr: int) -> dict[str, Any]:
    """The device joined: sent at its first uplink under the new keys."""
    return {
        "event": "join",
        "deduplicationId": duplicates,
        "time": time,
        "deviceInfo": device_info(device),
        "devAddr": f"{dev_addr:08x}",
    }


def ack(
    device: Device, time: str, duplicates: str, item: str, acknowledged: bool, fcnt: int
) -> dict[str, Any]:
    """A confirmed downlink was acknowledged, or the next uplink came without."""
    return {
        "event": "ack",
        "deduplicationId": duplicates,
        "time": time,
        "deviceInfo": device_info(device),
        "queueItemId": item,
        "acknowledged": acknowledged,
        "fCntDown": fcnt,
    }


def status(device: Device, time: str, duplicates: str, reported: DeviceStatus) -> dict[str, Any]:
    """The device answered a DevStatusReq."""
    level = battery_pct(reported)
    return {
        "event": "status",
        "deduplicationId": duplicates,
        "time": time,
        "deviceInfo": device_info(device),
        "margin": reported.margin_db,
        "externalPowerSource": reported.battery == 0,
        "batteryLevelUnavailable": reported.battery == 255,
        "batteryLevel": level if level is not None else 0.0,
    }


def log(level: str, code: str, time: str, description: str, device: Device | None = None) -> dict[str, Any]:
    """Something that somebody should know. ``code`` as ChirpStack's LogCode."""
    event: dict[str, Any] = {"event": "log", "time": time}
    if device is not None:
        event["deviceInfo"] = device_info(device)
    return event | {"level": level, "code": code, "description": description, "context": {}}
