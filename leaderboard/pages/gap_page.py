"""The gap page: each method's two scores as two dots on one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.drawing import chart, plot
from leaderboard.pages import links, markup, page
from leaderboard.standings.gap import GapLine, GapTable


@dataclass(frozen=True, slots=True)
class Shown:
    """A scenario's table with its digits, its axis and where the dots of each line go, in px."""

    table: GapTable
    digits: int
    axis: chart.Scale | None
    lines: tuple[tuple[GapLine, tuple[float, float] | None], ...]  # (held out, usual)


def render(gaps: Sequence[GapTable]) -> str:
    """The page's HTML."""
    template = markup.environment().get_template("gap.html.j2")
    return template.render(
        shown=[_shown(table) for table in gaps], own_model=page.OWN_MODEL_BADGE, home=links.INDEX
    )


def _shown(table: GapTable) -> Shown:
    scores = [(line.heldout, line.usual, line.gap) for line in table.lines]
    digits = page.digits_of(score for line in scores for score in line)
    means = [(line.heldout.mean, line.usual.mean) for line in table.lines]
    axis = chart.scale(
        [mean for both in means for mean in both],
        plot.PADDING,
        plot.WIDTH - plot.PADDING,
        log=False,
    )
    places = [(axis.at(a), axis.at(b)) if axis else None for a, b in means]
    return Shown(table, digits, axis, tuple(zip(table.lines, places, strict=True)))
