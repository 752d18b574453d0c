# SPDX-License-Identifier: MIT
"""The one table of what things cost in virtual time (``costs.toml``)."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path


@cache
def cost_table() -> dict[str, dict[str, int]]:
    """``{section: {name: value}}``; every line of the file must name its source."""
    tables = tomllib.loads(Path(__file__).with_name("costs.toml").read_text("utf-8"))
    costs: dict[str, dict[str, int]] = {}
    for section, lines in tables.items():
        costs[section] = {}
        for name, line in lines.items():
            if not line["source"]:
                raise ValueError(f"costs.toml: {section}.{name} names no source")
            costs[section][name] = int(line["value"])
    return costs


def frozen_costs(chip: str) -> dict[str, dict[str, int]]:
    """The table for a frozen build on ``chip``: nothing is mounted, read from a file system or linked."""
    costs = {section: dict(lines) for section, lines in cost_table().items()}
    frozen = costs["frozen"]
    costs["boot"]["wake_ms"] = frozen["esp32_wake_ms"] if chip == "esp32" else frozen["wake_ms"]
    costs["processor"]["import_us"] = frozen["import_us"]
    costs["processor"]["vfs_read_us"] = costs["processor"]["vfs_read_us_per_kb"] = 0
    return costs
