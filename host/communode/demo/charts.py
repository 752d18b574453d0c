# SPDX-License-Identifier: MIT
"""The charts of the demonstration's report, as SVG text. Drawing only: what is drawn comes from `report`."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "communode",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#98a2ae",
        "axes.labelcolor": "#475467",
        "xtick.color": "#475467",
        "ytick.color": "#475467",
        "axes.grid": True,
        "grid.color": "#e6e9ee",
        "grid.linewidth": 0.6,
    }
)

from matplotlib.figure import Figure  # noqa: E402

BLUE, GREY, AMBER, RED, GREEN, VIOLET, TEAL = (
    "#1a66c9",
    "#98a2ae",
    "#d98a00",
    "#c2302c",
    "#2b8a3e",
    "#7048b6",
    "#0b8a8a",
)
PHASE_COLOURS = {
    "boot": VIOLET,
    "active": BLUE,
    "light_sleep": TEAL,
    "deep_sleep": GREY,
    "radio": AMBER,
}


@dataclass(frozen=True)
class Series:
    """One quantity of one node: hours, stored values, which of them the node itself marked, and the truth."""

    title: str
    unit: str
    hours: Sequence[float]
    values: Sequence[float]
    marked: Sequence[bool]
    truth_hours: Sequence[float]
    truth: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Words:
    """Legend and axis texts in the reader's language."""

    hours: str
    stored: str
    marked: str
    world: str
    tolerance: str
    outage: str
    received: str
    lost: str
    charge: str
    phases: dict[str, str]


def _svg(figure: Figure) -> str:
    """The figure as SVG, without the XML prologue, as wide as its place."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    return re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", svg, count=1)


def _unique(svg: str, prefix: str) -> str:
    """Prefix all ids, because several charts share one page."""
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', svg)
    svg = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{prefix}\2"', svg)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", svg)


def _hour_axis(axes: Any, end: float, words: Words) -> None:
    step = next(step for step in (0.25, 0.5, 1, 3, 6, 12, 24, 72, 168) if end / step <= 9)
    axes.set_xlim(0, end)
    axes.set_xticks([step * i for i in range(int(end / step) + 1)])
    axes.set_xlabel(words.hours)


def quantity_chart(series: Series, outage: tuple[float, float], end: float, words: Words, prefix: str) -> str:
    """Stored values as dots over the world's line with the sensor's stated error as a band."""
    figure = Figure(figsize=(5.6, 2.35), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(*outage, color="#fdecc8", lw=0, label=words.outage)
    axes.fill_between(
        series.truth_hours, series.low, series.high, color="#d9e6f7", lw=0, label=words.tolerance
    )
    axes.plot(series.truth_hours, series.truth, color=GREY, lw=1.2, label=words.world)
    good = [i for i, mark in enumerate(series.marked) if not mark]
    bad = [i for i, mark in enumerate(series.marked) if mark]
    axes.plot(
        [series.hours[i] for i in good],
        [series.values[i] for i in good],
        "o",
        ms=2.6,
        mew=0,
        color=BLUE,
        label=words.stored,
    )
    if bad:
        axes.plot(
            [series.hours[i] for i in bad],
            [series.values[i] for i in bad],
            "o",
            ms=4,
            mfc="none",
            color=RED,
            label=words.marked,
        )
    axes.set_title(f"{series.title} ({series.unit})", loc="left", fontsize=10, color="#101828")
    _hour_axis(axes, end, words)
    axes.margins(y=0.15)
    return _unique(_svg(figure), prefix)


def legend(words: Words, prefix: str) -> str:
    """One legend for all quantity charts."""
    figure = Figure(figsize=(8.6, 0.34))
    axes = figure.subplots()
    axes.axis("off")
    handles = [
        axes.plot([], [], "o", ms=4, mew=0, color=BLUE, label=words.stored)[0],
        axes.plot([], [], "o", ms=5, mfc="none", color=RED, label=words.marked)[0],
        axes.plot([], [], color=GREY, lw=1.4, label=words.world)[0],
        axes.fill_between([], [], [], color="#d9e6f7", label=words.tolerance),
        axes.fill_between([], [], [], color="#fdecc8", label=words.outage),
    ]
    axes.legend(handles=handles, loc="center", ncols=5, frameon=False, fontsize=9)
    return _unique(_svg(figure), prefix)


def link_chart(
    rows: Sequence[tuple[str, Sequence[tuple[float, bool]]]],
    outage: tuple[float, float],
    end: float,
    words: Words,
    prefix: str,
) -> str:
    """Uplinks as strokes in time, one row a node: received or not."""
    figure = Figure(figsize=(11.4, 0.75 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvspan(*outage, color="#fdecc8", lw=0, label=words.outage)
    for index, (_, uplinks) in enumerate(rows):
        for received, colour in ((True, GREEN), (False, RED)):
            hours = [hour for hour, got in uplinks if got == received]
            label = (words.received if received else words.lost) if index == 0 else ""  # one legend for all
            axes.vlines(hours, index - 0.34, index + 0.34, color=colour, lw=1.0, label=label)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    _hour_axis(axes, end, words)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 1.0 + 0.55 / (0.75 + 0.42 * len(rows))),
        ncols=3,
        frameon=False,
    )
    return _unique(_svg(figure), prefix)


def energy_chart(rows: Sequence[tuple[str, dict[str, float]]], words: Words, prefix: str) -> str:
    """Charge of each node by phase, stacked."""
    figure = Figure(figsize=(11.4, 0.95 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    left = [0.0] * len(rows)
    for phase, colour in PHASE_COLOURS.items():
        widths = [charges.get(phase, 0.0) for _, charges in rows]
        axes.barh(range(len(rows)), widths, left=left, color=colour, height=0.6, label=words.phases[phase])
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for index, total in enumerate(left):
        axes.text(total + max(left) * 0.008, index, f"{total / 1000:.2f} C", va="center", color="#475467")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, max(left, default=1.0) * 1.12 or 1.0)
    axes.set_xlabel(words.charge)
    axes.grid(axis="y", visible=False)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 1.0 + 0.55 / (0.95 + 0.42 * len(rows))),
        ncols=5,
        frameon=False,
    )
    return _unique(_svg(figure), prefix)
