# SPDX-License-Identifier: MIT
"""``report.html``: one self-contained page that shows what the day was like. Charts are drawn in `charts`."""

from __future__ import annotations

import base64
import html
from datetime import datetime
from pathlib import Path
from typing import Any

from communode import __version__
from communode.demo import charts
from communode.demo.judge import Verdict
from communode.demo.town import HOUR_US, Town, TownNode
from communode.messages import language, text
from communode.virtual.chips import TRUTH, tolerance

_PRINTED = {"degC": "°C", "ug/m3": "µg/m³", "deg": "°", "uS/cm": "µS/cm"}  # units as print has them

_STYLE = """
:root{--ink:#101828;--soft:#475467;--line:#e6e9ee;--card:#fff;--page:#f5f6f8}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,"DejaVu Sans",sans-serif}
main{max-width:1240px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:18px;margin:36px 0 10px}p{margin:4px 0;color:var(--soft)}
.pill{display:inline-block;padding:2px 12px;border-radius:99px;font-weight:600;color:#fff;font-size:14px}
.good{background:#2b8a3e}.bad{background:#c2302c}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:20px 0}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
.tile b{display:block;font-size:24px;line-height:1.25}.tile span{color:var(--soft);font-size:13px}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(440px,1fr));gap:12px}
.card svg,.legend svg{display:block;width:100%;height:auto}
.legend{max-width:860px;margin:4px auto 8px}
table{border-collapse:collapse;width:100%}
th,td{text-align:right;padding:6px 10px;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:600;font-size:13px;white-space:normal}
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}
tr:last-child td{border-bottom:0}
code{font:13px ui-monospace,"DejaVu Sans Mono",monospace}.scroll{overflow-x:auto}
footer{margin-top:40px;color:var(--soft);font-size:13px}ul{color:#c2302c}
"""


def write_report(town: Town, summary: dict[str, Any], verdict: Verdict, path: Path) -> None:
    """Write the page. Everything in it is inline; it names no key."""
    words = _words()
    end = max([summary["hours"], *(_last_hour(town, node) for node in town.nodes)])
    outage = (town.outage[0] / HOUR_US, town.outage[1] / HOUR_US)
    sections = [
        _head(town, summary, verdict),
        f"<h2>{_t('link')}</h2><div class='card'>"
        + charts.link_chart(
            [(_name(node), _uplinks(town, node)) for node in town.nodes], outage, end, words, "l-"
        )
        + "</div>",
        _table(summary),
        f"<h2>{_t('energy')}</h2><p>{_t('energy_note')}</p><div class='card'>"
        + charts.energy_chart([(_name(node), _charges(node)) for node in town.nodes], words, "e-")
        + "</div>",
        f"<h2>{_t('quantities')}</h2><div class='legend'>{charts.legend(words, 'g-')}</div>",
    ]
    for node in town.nodes:
        drawn = [
            charts.quantity_chart(series, outage, end, words, f"q{node.number}-{index}-")
            for index, series in enumerate(_series(town, node))
        ]
        sections.append(f"<h2>{html.escape(_name(node))} · {html.escape(node.board.title)}</h2>")
        cards = "".join(f"<div class='card'>{chart}</div>" for chart in drawn)
        sections.append(f"<div class='charts'>{cards}</div>" if cards else f"<p>{_t('nothing')}</p>")
    sections.append(f"<footer>communode {__version__} · {_t('footer')}</footer>")
    page = (
        f"<!doctype html><html lang='{language()}'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>communode · {_t('title')}</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(sections)}</main></body></html>\n"
    )
    path.write_text(page, "utf-8")


def _t(key: str, **values: Any) -> str:
    return html.escape(text(f"demo.report.{key}", **values), quote=False)


def _words() -> charts.Words:
    def say(key: str) -> str:
        return text(f"demo.report.{key}")

    phases = {phase: text(f"demo.phase.{phase}") for phase in charts.PHASE_COLOURS}
    return charts.Words(
        hours=say("hours"),
        stored=say("stored"),
        marked=say("marked"),
        world=say("world"),
        tolerance=say("tolerance"),
        outage=say("outage"),
        received=say("received"),
        lost=say("lost"),
        charge=say("charge"),
        phases=phases,
    )


def _name(node: TownNode) -> str:
    return f"{node.profile.name}-{node.number + 1}"


def _head(town: Town, summary: dict[str, Any], verdict: Verdict) -> str:
    nodes = summary["nodes"]
    tiles = [
        (_share(sum(item["joined"] for item in nodes), len(nodes)), "tile_joined"),
        (sum(item["records_delivered"] for item in nodes), "tile_stored"),
        (sum(item["records_lost"] for item in nodes), "tile_lost"),
        (_share(verdict.compared - len(verdict.wrong), verdict.compared), "tile_values"),
        (f"{sum(item['uplinks_sent'] - item['uplinks_received'] for item in nodes)}", "tile_air"),
        (f"{sum(item['deep_sleeps'] for item in nodes)}", "tile_sleeps"),
        (f"{summary['wall_s']:.1f} s", "tile_wall"),
    ]
    pill = "good" if summary["ok"] else "bad"
    hours = f"{summary['hours']:g}"
    listed = "".join(f"<li>{html.escape(line)}</li>" for line in verdict.wrong[:10])
    return (
        f"<h1>{_t('title')} <span class='pill {pill}'>{_t(pill)}</span></h1>"
        f"<p>{_t('lead', nodes=len(nodes), hours=hours, seed=summary['seed'])}</p>"
        f"<div class='tiles'>"
        + "".join(f"<div class='tile'><b>{value}</b><span>{_t(key)}</span></div>" for value, key in tiles)
        + "</div>"
        + (f"<ul>{listed}</ul>" if listed else "")
    )


def _share(part: int, whole: int) -> str:
    return str(whole) if part == whole else f"{part} / {whole}"


def _table(summary: dict[str, Any]) -> str:
    keys = (
        "board",
        "profile",
        "dev_eui",
        "uplinks_sent",
        "uplinks_received",
        "downlinks_received",
        "records_taken",
        "records_delivered",
        "records_lost",
        "airtime_ms",
        "energy_mj",
        "deep_sleeps",
    )
    head = "".join(f"<th>{_t('column_' + key)}</th>" for key in keys)
    rows = ""
    for item in summary["nodes"]:
        cells = [
            f"<code>{item[key]}</code>" if key == "dev_eui" else html.escape(str(item[key])) for key in keys
        ]
        rows += "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    return f"<div class='card scroll' style='margin-top:12px'><table><tr>{head}</tr>{rows}</table></div>"


def _last_hour(town: Town, node: TownNode) -> float:
    own = [item.end_us for item in town.transmissions if item.source == node.mac.hex()]
    return max(own, default=0) / HOUR_US


def _uplinks(town: Town, node: TownNode) -> list[tuple[float, bool]]:
    heard = {base64.b64decode(event["phy"]) for event in town.heard if event["dev_eui"] == node.dev_eui}
    return [
        (item.start_us / HOUR_US, item.payload in heard)
        for item in town.transmissions
        if item.source == node.mac.hex()
    ]


def _charges(node: TownNode) -> dict[str, float]:
    assert node.body is not None
    return node.body.ledger.charge_mc() | {"radio": node.body.radio.charge_uc() / 1000}


def _series(town: Town, node: TownNode) -> list[charts.Series]:
    found: dict[str, list[tuple[float, float, bool, str]]] = {}
    for _, time_utc, quantity, value, unit, quality, _ in town.readings.rows(node.dev_eui):
        if time_utc is None or value is None:
            continue
        since = datetime.fromisoformat(time_utc) - town.world.start_utc
        found.setdefault(quantity, []).append((since.total_seconds() / 3600, value, quality != "good", unit))
    result = []
    for quantity in node.profile.quantities:
        rows = found.get(quantity)
        if not rows:
            continue
        last = max(hour for hour, *_ in rows)
        hours = [last * i / 400 for i in range(401)]
        truth = [node.world.value(TRUTH[quantity][0], int(hour * HOUR_US)) for hour in hours]
        errors = [tolerance(quantity, value) for value in truth]
        result.append(
            charts.Series(
                title=text(f"quantity.{quantity}"),
                unit=_PRINTED.get(rows[0][3], rows[0][3]),
                hours=[row[0] for row in rows],
                values=[row[1] for row in rows],
                marked=[row[2] for row in rows],
                truth_hours=hours,
                truth=truth,
                low=[value - error for value, error in zip(truth, errors, strict=True)],
                high=[value + error for value, error in zip(truth, errors, strict=True)],
            )
        )
    return result
