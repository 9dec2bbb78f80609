"""Small multiples: one panel per method on shared axes, all the others faint behind it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.drawing import chart

WIDTH, HEIGHT = 216, 132  # px of one panel
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 8, 20  # px around the drawing
MOST = 36
"""Panels on a page; the rest is in the data."""


@dataclass(frozen=True, slots=True)
class Series:
    """What one panel shows; the four sequences are (points,) and ascend in x."""

    label: str  # untrusted
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]  # NaN where there is no band
    high: Sequence[float]
    told: str  # the text alternative, without the label
    steps: bool = False  # whether y holds until the next point, instead of a straight line


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel's marks, as SVG paths in px."""

    label: str
    told: str
    line: str
    band: str  # "" without one


@dataclass(frozen=True, slots=True)
class Panels:
    """The panels of a figure and the axes they share."""

    x: chart.Scale
    y: chart.Scale
    x_label: str
    y_label: str
    panels: tuple[Panel, ...]
    left_out: int  # for want of room


def panels(
    series: Sequence[Series], x_label: str, y_label: str, *, log_x: bool | None = None
) -> Panels | None:
    """Lay out one panel per series; None where there is nothing to draw."""
    shown = series[:MOST]
    xs = [v for s in shown for v in s.x]
    ys = [v for s in shown for values in (s.y, s.low, s.high) for v in values]
    across = chart.scale(xs, LEFT, WIDTH - RIGHT, log=log_x)
    means = [v for s in shown for v in s.y]
    up = chart.scale(_reined(means, ys), HEIGHT - BOTTOM, TOP, log=False)
    if across is None or up is None:
        return None
    drawn = tuple(_panel(s, across, up) for s in shown)
    return Panels(across, up, x_label, y_label, drawn, len(series) - len(shown))


def _reined(means: Sequence[float], values: Sequence[float]) -> list[float]:
    """All values, but bands only as far as half a span beyond the means, which they would dwarf."""
    known = [v for v in means if math.isfinite(v)]
    if not known:
        return []
    room = (max(known) - min(known)) / 2 or math.inf
    low, high = min(known) - room, max(known) + room
    return [min(max(v, low), high) for v in values if math.isfinite(v)]


def _panel(series: Series, across: chart.Scale, up: chart.Scale) -> Panel:
    points = [(across.at(x), up.at(y)) for x, y in zip(series.x, series.y, strict=True)]
    if series.steps:
        corners = [(after[0], before[1]) for before, after in itertools.pairwise(points)]
        points = [p for pair in zip(points, [*corners, points[-1]], strict=True) for p in pair]
    rows = zip(series.x, series.low, series.high, strict=True)
    banded = [row for row in rows if math.isfinite(row[1]) and math.isfinite(row[2])]
    band = ""
    if len(banded) > 1:
        band = chart.area(
            [(across.at(x), up.at(low)) for x, low, _ in banded],
            [(across.at(x), up.at(high)) for x, _, high in banded],
        )
    return Panel(series.label, series.told, chart.path(points), band)
