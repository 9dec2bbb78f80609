"""Where dots and whiskers go: from numbers to pixels on an axis that all rows of a table share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leaderboard import formats
from leaderboard.standings.estimates import Estimate
from leaderboard.standings.standings import Row

WIDTH, HEIGHT, PADDING = 220, 28, 10  # px


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled position on an axis."""

    x: str  # px, as written into the page
    label: str


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear axis from `low` to `high`."""

    low: float
    high: float
    ticks: tuple[Tick, ...] = ()

    def x(self, value: float) -> str:
        """The position of a value in px, kept inside the picture."""
        share = (value - self.low) / (self.high - self.low)
        return f"{PADDING + min(max(share, 0.0), 1.0) * (WIDTH - 2 * PADDING):.1f}"


@dataclass(frozen=True, slots=True)
class Marks:
    """One row's picture: a dot for the mean, whiskers for the interval, below them the runs."""

    seeds: tuple[str, ...]  # the values that the mean is of: successful runs, or scenarios
    failed: tuple[str, ...]  # failed runs, at the metric's floor
    mean: str
    low: str | None
    high: str | None
    beyond_low: bool  # the whisker goes on outside the picture
    beyond_high: bool


def axis(rows: Iterable[Row]) -> Axis | None:
    """The axis of a scenario's table."""
    shown = [row for row in rows if row.score]
    values = [run.value for row in shown for run in row.entry.runs]
    return spanning(values, [row.score for row in shown if row.score])


def spanning(values: Sequence[float], estimates: Iterable[Estimate]) -> Axis | None:
    """The axis that shows every value, and every interval unless that dwarfs the values."""
    if not values:
        return None
    low, high = min(values), max(values)
    span, size = high - low, max(abs(low), abs(high))
    if span <= max(1e-9 * size, 1e-300):  # one value: some room on both sides of it
        span = 0.1 * size if size > 1e-290 else 1.0
    if not math.isfinite(4 * span):
        return None
    ends = [end for estimate in estimates for end in _ends(estimate)]
    low = max(min([low, *ends]), low - span / 2) - span / 20
    high = min(max([high, *ends]), high + span / 2) + span / 20
    bare = Axis(low, high)
    step = _step(high - low)
    digits = max(0, -math.floor(math.log10(step)))
    first, last = math.ceil(low / step), math.floor(high / step)
    places = [k * step for k in range(first, min(last, first + 9) + 1)]
    return Axis(low, high, tuple(Tick(bare.x(v), formats.number(v, digits)) for v in places))


def marks(row: Row, on: Axis) -> Marks | None:
    """The picture of one row of a scenario's table, or None where there is no number to show."""
    if not row.score:
        return None
    good = [run.value for run in row.entry.runs if not run.failed]
    return placed(row.score, good, [run.value for run in row.entry.failures], on)


def placed(estimate: Estimate, values: Sequence[float], failed: Sequence[float], on: Axis) -> Marks:
    """An estimate, and the values it is of, on an axis."""
    ends = _ends(estimate)
    return Marks(
        seeds=_places(on, values),
        failed=_places(on, failed),
        mean=on.x(estimate.mean),
        low=on.x(ends[0]) if ends else None,
        high=on.x(ends[1]) if ends else None,
        beyond_low=bool(ends) and ends[0] < on.low,
        beyond_high=bool(ends) and ends[1] > on.high,
    )


def _places(on: Axis, values: Sequence[float]) -> tuple[str, ...]:
    return tuple(on.x(value) for value in sorted(set(values)))


def _ends(estimate: Estimate) -> tuple[float, ...]:
    if estimate.half_width is None:
        return ()
    return estimate.mean - estimate.half_width, estimate.mean + estimate.half_width


def _step(span: float) -> float:
    """1, 2 or 5 times a power of ten, so that three to six ticks fit."""
    power = 10.0 ** math.floor(math.log10(span / 6))
    return next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= 6)
