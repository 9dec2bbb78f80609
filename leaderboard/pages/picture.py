"""The picture: one scenario's standing as an SVG that stands alone, for a README or a slide.

A filled dot is a method's mean with the setting that another problem chose, a line its interval; an
open dot is the same method with the setting that the judged problem chose itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leaderboard import formats
from leaderboard.drawing import chart
from leaderboard.pages import markup, page
from leaderboard.standings.board import BOUND
from leaderboard.standings.gap import GapLine
from leaderboard.standings.standings import Row, ScenarioStanding

WIDTH, LINE, TOP, FOOT = 600, 21, 150, 72  # px: the whole, a row, above and below the rows
START, END = 226, 526  # px: between the names and the scores
LONGEST = 17  # characters of a name
COLOURS = ("paper", "ink", "muted", "grid", "hue", "alert")


@dataclass(frozen=True, slots=True)
class Line:
    """One method: where its marks go, in px, and what is written beside them."""

    y: int
    rank: str
    method: str
    score: str
    mean: float
    whisker: tuple[float, float] | None  # the ends of the interval
    usual: float | None  # the mean when tuned on the judged problem itself
    told: str  # by how much the usual practice flatters it; on one line only
    ranked: bool


def render(standing: ScenarioStanding, gaps: Sequence[GapLine]) -> str:
    """The SVG of a scenario; `gaps` are its methods under both protocols, if any has both."""
    rows = [row for row in standing.rows if row.score and (row.ranks or row.why_unranked == BOUND)]
    digits = page.digits_of(row.score for row in rows)
    usual = {line.method: line.usual.mean for line in gaps}
    axis = chart.scale(_values(rows, usual), START, END, log=False)
    widest = _widest(gaps)
    lines = [
        _line(TOP + LINE * i, row, axis, digits, usual.get(row.method), widest)
        for i, row in enumerate(rows)
        if axis
    ]
    known = [line.gap.mean for line in gaps if line.gap]
    return (
        markup.environment()
        .get_template("picture.svg.j2")
        .render(
            standing=standing,
            lines=lines,
            ticks=axis.ticks if axis else (),
            bottom=TOP + LINE * len(lines),
            height=TOP + LINE * len(lines) + FOOT,
            seeds=formats.between(len(row.entry.runs) for row in rows),
            direction=page.direction(standing),
            palettes=[palette(scheme) for scheme in (0, 1)],
            mean_gap=formats.signed(sum(known) / len(known), digits) if known else "",
            most=formats.signed(widest.gap.mean, digits) if widest and widest.gap else "",
            widest=_named(widest.method) if widest else "",
            first=next((line.rank for line in lines if "–" in line.rank), ""),
            width=WIDTH,
            top=TOP,
        )
    )


def palette(scheme: int) -> dict[str, str]:
    """The colours of the site by name; scheme 0 is light, 1 dark. The style sheet is their home."""
    style = (markup.TEMPLATES / "style.css").read_text(encoding="utf-8")
    block = re.findall(r":root \{(.*?)\}", style, re.S)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#\w+);", block))
    return {name: colours[name] for name in COLOURS}


def _line(
    y: int,
    row: Row,
    axis: chart.Scale,
    digits: int,
    usual: float | None,
    widest: GapLine | None,
) -> Line:
    assert row.score  # the caller's choice of rows
    mean, half = row.score.mean, row.score.half_width
    told = ""
    if widest and widest.gap and widest.method == row.method and usual is not None:
        told = formats.signed(widest.gap.mean, digits)
    return Line(
        y,
        formats.ranks(*row.ranks) if row.ranks else BOUND,
        _named(row.method),
        formats.number(mean, digits),
        axis.at(mean),
        None if half is None else (axis.at(mean - half), axis.at(mean + half)),
        None if usual is None else axis.at(usual),
        told,
        row.ranks is not None,
    )


def _named(method: str) -> str:
    """The method's name, cut where the dots would begin."""
    name = formats.name(method)
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _values(rows: Iterable[Row], usual: dict[str, float]) -> list[float]:
    """What the axis must hold: the means under both protocols, and the ends of the intervals."""
    values = []
    for row in rows:
        if row.score:
            half = row.score.half_width or 0.0
            values += [row.score.mean - half, row.score.mean + half]
            values += [usual[row.method]] if row.method in usual else []
    return values


def _widest(gaps: Sequence[GapLine]) -> GapLine | None:
    """The method that the usual practice flatters most, beyond what seeds explain; None: nobody."""
    beyond = [
        line
        for line in gaps
        if line.gap and line.gap.half_width is not None and line.gap.mean > line.gap.half_width
    ]
    return max(beyond, key=lambda line: line.gap.mean if line.gap else 0.0, default=None)
