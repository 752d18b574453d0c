#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Cut the recordings that the virtual world replays out of the collected ones: ``cut_series.py SOURCE``.

Writes ``host/communode/virtual/series/*.csv``; its README says where SOURCE's files come from. Rows are
left out and one column is integrated, nothing else: the same SOURCE gives the same bytes.
"""

from __future__ import annotations

import csv
import itertools
import sys
from datetime import UTC, datetime
from pathlib import Path

SERIES = Path(__file__).resolve().parents[1] / "host" / "communode" / "virtual" / "series"
HOLD_S = 5.0  # a fixture that runs reports each 1-5 s: a flow holds no longer than that without a new report
STEP_L = 0.25  # the index is written at least each so many litres


def read(path: Path) -> list[dict[str, str]]:
    """All rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(name: str, columns: list[str], rows: list[list[str]]) -> None:
    """Write one series, LF, no quotes."""
    with (SERIES / name).open("w", encoding="utf-8", newline="\n") as file:
        for row in [columns, *rows]:
            file.write(",".join(row) + "\n")


def cut(source: Path, target: str, columns: list[str], every: int = 1) -> None:
    """Keep every n-th row and the named columns; rows without any value go."""
    rows = [[row[name] for name in columns] for row in read(source)[::every]]
    write(target, columns, [row for row in rows if any(row[1:])])


def integrate(source: Path, target: str, flows: list[str]) -> None:
    """Add up flows (L/min) of several fixtures to one register (L), written where it moves."""
    pieces: list[tuple[float, float, float]] = []  # begin, end, L/min
    rows = read(source)
    for flow in flows:
        reports = [(datetime.fromisoformat(r["time"]).timestamp(), float(r[flow])) for r in rows if r[flow]]
        for (begin, rate), (after, _) in itertools.pairwise(reports):
            if rate > 0:
                pieces.append((begin, min(after, begin + HOLD_S), rate))
    moments = sorted({moment for begin, end, _ in pieces for moment in (begin, end)})
    first, last = (datetime.fromisoformat(rows[n]["time"]).timestamp() for n in (0, -1))
    rates = dict.fromkeys(moments, 0.0)
    for begin, end, rate in pieces:
        rates[begin] += rate
        rates[end] -= rate
    points, index, flowing, before, written = [(first, 0.0)], 0.0, 0.0, first, 0.0
    for moment in moments:
        index += flowing * (moment - before) / 60
        starts = flowing < 1e-9
        flowing += rates[moment]
        if starts or flowing < 1e-9 or index - written >= STEP_L:
            points.append((moment, index))
            written = index
        before = moment
    points.append((last, index))
    stamps = [datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for moment, _ in points]
    rows_out = [[stamp, f"{value:.3f}"] for stamp, (_, value) in zip(stamps, points, strict=True)]
    write(target, ["time", "water_index_l"], rows_out)


def main() -> int:
    """Cut everything."""
    source = Path(sys.argv[1])
    cut(
        source / "air_indoor_office.csv",
        "indoor_office.csv",
        ["time", "co2_ppm", "temperature_c", "relative_humidity_pct"],
        every=5,
    )
    outdoors = ["time", "pm25_ug_m3", "pm10_ug_m3", "no2_ug_m3", "pressure_hpa"]
    cut(source / "air_outdoor_winter.csv", "outdoor_air.csv", outdoors)
    river = ["water_level_m", "temperature_c", "conductivity_us_cm", "turbidity_ntu", "ph"]
    cut(source / "river_spring_flood.csv", "river.csv", ["time", *river, "dissolved_oxygen_mg_l"])
    cut(source / "noise_laeq.csv", "noise.csv", ["time", "laeq_db"], every=5)
    bins = source / "bin_fill_daily.csv"
    cut(bins, "bin_fill.csv", list(read(bins)[0]))
    integrate(
        source / "water_fixtures_1s.csv", "water_meter.csv", ["shower_flow_l_min", "kitchen_flow_l_min"]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
