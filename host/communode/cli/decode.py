# SPDX-License-Identifier: MIT
"""``communode decode``: an application payload in words."""

from __future__ import annotations

import click

from communode.cli._options import json_option
from communode.report import Report


@click.command()
@click.option("--f-port", type=click.IntRange(1, 223), required=True, help="FPort of the uplink.")
@click.argument("payload", metavar="HEX")
@json_option
def decode(f_port: int, payload: str, as_json: bool) -> None:
    """Decode an application payload given in hex.

    \b
    Example: communode decode --f-port 2 2001070000007b0f3131080a1c...
    """
    from communode.errors import CommunodeError
    from communode.ingest.readings import decode_readings
    from communode.node.codec import uplink

    if f_port != uplink.F_PORT:
        raise CommunodeError("payload.port", usage=True, port=f_port, known=uplink.F_PORT)
    try:
        data = bytes.fromhex(payload)
    except ValueError:
        raise CommunodeError("payload.hex", usage=True) from None
    decoded = decode_readings(data)
    report = Report(as_json)
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
    report.result({"ok": True, "profile": decoded.profile, "records": records})
