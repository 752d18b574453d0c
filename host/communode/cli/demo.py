# SPDX-License-Identifier: MIT
"""``communode demo``: three virtual nodes through their whole life."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from communode.cli._options import json_option
from communode.report import Report


@click.command()
@click.option("--nodes", type=click.IntRange(1, 100), default=3, show_default=True, help="How many nodes.")
@click.option(
    "--hours", type=click.FloatRange(0.5, 24 * 60), default=24.0, show_default=True, help="Virtual time."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Same seed, same day.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("build/demo"), show_default=True
)
@json_option
def demo(nodes: int, hours: float, seed: int, out: Path, as_json: bool) -> int:
    """Build, flash and provision virtual nodes, and let them live a day.

    Writes summary.json, capture.pcap, keys.json, readings.sqlite and report.html.

    \b
    Example: communode demo --nodes 6 --hours 48 --out build/demo
    """
    from communode.demo.judge import judge_town
    from communode.demo.live import show_progress
    from communode.demo.report import write_report
    from communode.demo.town import Town, TownSettings
    from communode.messages import text
    from communode.virtual.processor import find_unix_port

    find_unix_port()
    report = Report(as_json)
    out.mkdir(parents=True, exist_ok=True)
    for old in ("summary.json", "capture.pcap", "keys.json", "readings.sqlite", "lns.sqlite", "report.html"):
        (out / old).unlink(missing_ok=True)
    with show_progress(report) as progress:
        town = Town(TownSettings(out, nodes, hours, seed), progress)
        town.prepare()
        town.live()
    verdict = judge_town(town)
    summary = town.summary()
    summary["ok"] = bool(summary["ok"] and verdict.ok)
    summary["values"] = {
        "compared": verdict.compared,
        "marked_by_node": verdict.marked,
        "wrong": verdict.wrong[:20],
    }
    _write_private(out / "keys.json", town.keys())
    write_report(town, summary, verdict, out / "report.html")
    town.readings.close()
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    report.result(summary)
    totals = {
        "nodes": len(summary["nodes"]),
        "records": sum(item["records_delivered"] for item in summary["nodes"]),
        "lost": sum(item["records_lost"] for item in summary["nodes"]),
        "compared": verdict.compared,
        "wrong": len(verdict.wrong),
        "wall_s": summary["wall_s"],
        "report": out / "report.html",
    }
    report.line(text("demo.verdict.ok" if summary["ok"] else "demo.verdict.failed", **totals))
    return 0 if summary["ok"] else 1


def _write_private(path: Path, value: Any) -> None:
    """Write JSON that holds keys: for the owner only."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
