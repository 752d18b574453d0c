# SPDX-License-Identifier: MIT
"""The table of kernels in firmware/node/dsp/README.md: made from measured rows, and read back by a test."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from .compiler import DSP
from .counts import MACHINES, Row

README = DSP / "README.md"
BEGIN, END = "<!-- kernels: begin, written by make bench -->", "<!-- kernels: end -->"


def render(rows: Sequence[Row], versions: Mapping[str, str]) -> str:
    """The table as Markdown."""
    head = ["kernel", "per"]
    for isa in MACHINES:
        head += [isa, "C", "plain", "ratio to C"]
    lines = [f"| {' | '.join(head)} |", "|---|---|" + "---:|" * (len(head) - 2)]
    names = list(dict.fromkeys(row.name for row in rows))
    for name in names:
        mine = {row.isa: row for row in rows if row.name == name}
        cells = [name, next(iter(mine.values())).element]
        for isa in MACHINES:
            row = mine[isa]
            cells += [
                f"{row.instructions_per_element:.1f}",
                f"{row.c_instructions_per_element:.1f}",
                f"{row.naive_instructions_per_element:.1f}",
                f"{row.ratio:.2f}",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    medians = [statistics.median(row.ratio for row in rows if row.isa == isa) for isa in MACHINES]
    worst = [max(row.ratio for row in rows if row.isa == isa) for isa in MACHINES]
    pairs = zip(MACHINES, medians, worst, strict=True)
    summary = [f"{isa}: median ratio {median:.2f}, worst {most:.2f}" for isa, median, most in pairs]
    lines += ["", "; ".join(summary)]
    made = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines[-1] += f". Every kernel was exact in {min(row.bit_exact_runs for row in rows)} runs. {made}."
    return "\n".join(lines)


def publish_table(path: Path, rows: Sequence[Row], versions: Mapping[str, str]) -> str:
    """Put the table between the markers of a README; returns it."""
    text = path.read_text("utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    table = render(rows, versions)
    path.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", "utf-8")
    return table


def published(path: Path) -> dict[str, dict[str, float]]:
    """Instructions per element by instruction set and kernel, as the README says."""
    table = path.read_text("utf-8").split(BEGIN)[1].split(END)[0]
    found: dict[str, dict[str, float]] = {isa: {} for isa in MACHINES}
    for line in table.splitlines()[4:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) < 2:
            break
        for place, isa in enumerate(MACHINES):
            found[isa][cells[0]] = float(cells[2 + 4 * place])
    return found
