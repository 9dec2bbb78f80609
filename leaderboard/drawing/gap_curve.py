"""The gap against the number of trials: what it seems to be, what it is, and what fresh seeds say.

Numbers of trials are powers of two and stand evenly apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.drawing import chart
from leaderboard.standings.estimates import Estimate
from leaderboard.standings.suite_gap import SuiteGap

WIDTH, HEIGHT = 460, 230  # px
LEFT, RIGHT, TOP, BOTTOM = 52, 40, 12, 34
BESIDE = 5.0
"""Px that whiskers of the two lines stand apart."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A dot and its interval, in px."""

    x: float
    y: float
    whisker: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Curve:
    """The picture of one suite, in px."""

    ticks: tuple[chart.Tick, ...]  # numbers of trials
    y: chart.Scale
    zero: float
    worth: str  # SVG path
    seeming: str  # SVG path
    luck: str  # SVG path of the area between the two
    worths: tuple[Mark, ...]
    seemings: tuple[Mark, ...]
    fresh: Mark | None  # beyond the last number of trials


def of_suite(suite: SuiteGap) -> Curve | None:
    """None where there are fewer than two numbers of trials."""
    steps = suite.steps
    if len(steps) < 2:
        return None
    known = [one for step in steps for one in (step.worth, step.seeming)]
    known += [suite.gap] if suite.gap else []
    up = chart.scale(_shown(known), HEIGHT - BOTTOM, TOP, log=False)
    if up is None:
        return None
    slots = len(steps) + 1
    width = (WIDTH - LEFT - RIGHT) / slots
    places = [round(LEFT + (i + 0.5) * width, 1) for i in range(slots)]
    worths = _marks(places, [step.worth for step in steps], up, BESIDE / 2)
    seemings = _marks(places, [step.seeming for step in steps], up, -BESIDE / 2)
    lower, upper = ([(mark.x, mark.y) for mark in marks] for marks in (worths, seemings))
    return Curve(
        tuple(chart.Tick(x, str(s.trials)) for x, s in zip(places, steps, strict=False)),
        up,
        up.at(0.0),
        chart.path(lower),
        chart.path(upper),
        chart.area(lower, upper),
        worths,
        seemings,
        _mark(places[-1], suite.gap, up) if suite.gap else None,
    )


def _shown(estimates: Sequence[Estimate]) -> list[float]:
    """All means and 0; intervals as far as twice the span of the means beyond, or all of them."""
    means = [0.0, *(one.mean for one in estimates)]
    room = 2 * (max(means) - min(means)) or math.inf
    low, high = min(means) - room, max(means) + room
    ends = [end for one in estimates for end in _ends(one)]
    return [*means, *(min(max(end, low), high) for end in ends)]


def _ends(one: Estimate) -> tuple[float, ...]:
    if one.half_width is None:
        return ()
    return one.mean - one.half_width, one.mean + one.half_width


def _marks(
    places: Sequence[float], estimates: Sequence[Estimate], up: chart.Scale, beside: float
) -> tuple[Mark, ...]:
    """One per estimate, a little beside its place."""
    shown = zip(places, estimates, strict=False)
    return tuple(_mark(round(x + beside, 1), one, up) for x, one in shown)


def _mark(x: float, one: Estimate, up: chart.Scale) -> Mark:
    ends = _ends(one)
    return Mark(x, up.at(one.mean), (up.at(ends[0]), up.at(ends[1])) if ends else None)
