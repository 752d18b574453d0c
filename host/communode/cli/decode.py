# SPDX-License-Identifier: MIT
"""``communode decode``: an application payload in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from communode.cli._options import json_option
from communode.report import Report


def _show_readings(data: bytes, report: Report) -> dict[str, Any]:
    from communode.ingest.readings import decode_readings

    decoded = decode_readings(data)
    records = []
    for record in decoded.records:
        time = record.time.isoformat().replace("+00:00", "Z") if record.time else None
        readings = [vars(item) for item in record.readings]
        records.append(
            {
                "record_id": record.record_id,
                "time": time,
                "uncertainty_s": record.uncertainty_s,
                "readings": readings,
            }
        )
        report.line(f"{decoded.profile} {record.record_id} {time or '-'} (+-{record.uncertainty_s} s)")
        for item in record.readings:
            value = "-" if item.value is None else f"{item.value:g}"
            report.line(f"  {item.quantity:20} {value:>10} {item.unit:6} {item.quality}")
    return {"profile": decoded.profile, "records": records}


def _show_alarms(data: bytes, report: Report) -> dict[str, Any]:
    from communode.ingest.alarms import decode_alarms

    decoded = decode_alarms(data)
    alarms = []
    for item in decoded.reports:
        row = vars(item) | {"time": item.time_utc, "severity": item.severity}
        alarms.append(row)
        value = "-" if item.value is None else f"{item.value:g} {item.unit}"
        report.line(f"{item.alarm:24} {item.state:12} {value:>14} {item.time_utc or '-'} {item.severity}")
    return {"record_id": decoded.record_id, "alarms": alarms}


def _show_status(data: bytes, report: Report) -> dict[str, Any]:
    from communode.ingest.status import decode_status

    decoded = decode_status(data)
    for name, value in decoded.values.items():
        report.line(f"{name:18} {'-' if value is None else value}")
    for event in decoded.events:
        report.line(f"event              {event.event} {event.detail}".rstrip() + f" x {event.count}")
    return {"status": decoded.as_json()}


_SHOWN: dict[int, Callable[[bytes, Report], dict[str, Any]]] = {
    2: _show_readings,
    5: _show_alarms,
    6: _show_status,
}


@click.command()
@click.option("--f-port", type=click.IntRange(1, 223), required=True, help="FPort of the uplink.")
@click.argument("payload", metavar="HEX")
@json_option
def decode(f_port: int, payload: str, as_json: bool) -> None:
    """Decode an application payload given in hex: readings, alarms or status.

    \b
    Example: communode decode --f-port 2 2001070000007b0f3131080a1c...
    Example: communode decode --f-port 5 203412563412443322110312030201050008070000
    """
    from communode.errors import CommunodeError

    if f_port not in _SHOWN:
        known = ", ".join(map(str, _SHOWN))
        raise CommunodeError("payload.port", usage=True, port=f_port, known=known)
    try:
        data = bytes.fromhex(payload)
    except ValueError:
        raise CommunodeError("payload.hex", usage=True) from None
    report = Report(as_json)
    report.result({"ok": True, **_SHOWN[f_port](data, report)})
