# SPDX-License-Identifier: MIT
"""The register's nodes and sites as CSV and GeoJSON, in and out. Neither ever holds a key.

CSV: UTF-8, comma, one node a line, columns `COLUMNS`; importing takes any order and subset with ``dev_eui``.
A node that is known is left as it is, but placed where the file says, if it is nowhere yet.

GeoJSON: one Point a site, with the node that is there (RFC 7946: longitude first).

Cells that a spreadsheet would run as a formula are written with an apostrophe in front, and read without it
(OWASP, "CSV Injection").
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from communode.errors import CommunodeError
from communode.fleet.register import NewNode, Register, Row
from communode.identity import parse_eui

COLUMNS = (
    "dev_eui",
    "join_eui",
    "name",
    "profile",
    "board",
    "mac",
    "serial",
    "tenant",
    "site",
    "latitude",
    "longitude",
    "batch",
    "network",
    "state",
    "firmware",
    "keys",
    "joined_at",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(nodes: list[Row]) -> str:
    """Nodes as `Register.nodes` gives them."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for node in nodes:
        writer.writerow([_cell(node[column]) for column in COLUMNS])
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None or isinstance(value, float):
        return "" if value is None else repr(value)
    text = str(value)
    return "'" + text if text.startswith(_FORMULA) else text


def _plain(text: str | None) -> str:
    text = (text or "").strip()
    return text[1:] if text[:1] == "'" and text[1:].startswith(_FORMULA) else text


def to_geojson(register: Register) -> dict[str, Any]:
    """All sites that have a place on the map."""
    nodes = {node["dev_eui"]: node for node in register.nodes()}
    features = []
    for site in register.sites():
        if site["latitude"] is None:
            continue
        node = nodes.get(site["dev_eui"], {})
        told = {name: node.get(name) for name in ("dev_eui", "profile", "state", "joined_at")}
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [site["longitude"], site["latitude"]]},
                "properties": {
                    "tenant": site["tenant"],
                    "site": site["name"],
                    "address": site["address"],
                    "node": node.get("name"),
                    **told,
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}


def import_csv(register: Register, text: str) -> tuple[int, int]:
    """Nodes and sites of a CSV, all or none; how many nodes are new, and how many were known.

    CommunodeError ``fleet.bad_line`` with the line's number and what is wrong with it.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    fields = set(reader.fieldnames or ())
    if "dev_eui" not in fields or not fields <= set(COLUMNS):
        unknown = ", ".join(sorted(str(name) for name in fields - set(COLUMNS))) or "-"
        raise CommunodeError("fleet.bad_columns", usage=True, unknown=unknown, known=", ".join(COLUMNS))
    new = known = 0
    with register.transaction():
        for line in reader:
            try:
                fresh = _import_line(register, {name: _plain(line[name]) for name in fields})
            except (ValueError, AttributeError, CommunodeError) as error:
                reason = error.message if isinstance(error, CommunodeError) else str(error)
                raise CommunodeError(
                    "fleet.bad_line", usage=True, line=reader.line_num, reason=reason
                ) from None
            new, known = new + fresh, known + (not fresh)
    return new, known


def _import_line(register: Register, line: dict[str, str]) -> bool:
    """One node; whether it is new."""
    dev_eui = parse_eui(line["dev_eui"]).hex()
    if line.get("site"):
        place = [float(line[name]) if line.get(name) else None for name in ("latitude", "longitude")]
        register.add_site(line.get("tenant", ""), line["site"], place[0], place[1])
    if register.find_node(dev_eui):
        if line.get("site") and register.node(dev_eui)["site"] is None:
            register.place(dev_eui, f"{line.get('tenant', '')}/{line['site']}")
        return False
    mac = line.get("mac", "").replace(":", "").replace("-", "").lower()
    if len(mac) != 12 or not all(digit in "0123456789abcdef" for digit in mac):
        raise ValueError("mac: 12 hex digits")
    register.add_node(
        NewNode(
            dev_eui=dev_eui,
            join_eui=parse_eui(line.get("join_eui") or "0" * 16).hex(),
            name=line.get("name") or dev_eui,
            profile=line.get("profile", ""),
            board=line.get("board", ""),
            mac=mac,
            **{name: line.get(name, "") for name in ("tenant", "site", "serial", "batch", "network")},
        ),
        keys="elsewhere",
        state="provisioned",
    )
    return True


def import_geojson(register: Register, text: str) -> int:
    """Sites of a GeoJSON FeatureCollection of Points with ``tenant`` and ``site`` (or ``name``); how many.

    CommunodeError ``fleet.bad_geojson`` names the feature.
    """
    number = 0
    try:
        features = json.loads(text)["features"]
        with register.transaction():
            for feature in features:
                number += 1
                properties = feature["properties"]
                longitude, latitude = (float(value) for value in feature["geometry"]["coordinates"][:2])
                name = str(properties.get("site") or properties["name"])
                address = str(properties.get("address") or "")
                register.add_site(str(properties.get("tenant") or ""), name, latitude, longitude, address)
    except (ValueError, KeyError, TypeError, AttributeError, CommunodeError):
        raise CommunodeError("fleet.bad_geojson", usage=True, feature=number) from None
    return number
