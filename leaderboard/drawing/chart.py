"""Charts: from numbers to the coordinates of inline SVG. Draws nothing, decides on no words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leaderboard import formats

LOG_FROM = 10.0
"""Values that differ by this factor and more get a logarithmic axis."""

MOST_APART = 1e300
"""The quotient of two values that counts at most: beyond it the next one would be infinite."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled position on an axis."""

    at: float  # px
    label: str


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` at `start` px to `high` at `end` px."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The position of a value in px, kept on the axis."""
        low, high, v = self.low, self.high, value
        if self.log:
            low, high, v = math.log(low), math.log(high), math.log(max(value, self.low))
        share = min(max((v - low) / (high - low), 0.0), 1.0)
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """Up to six round numbers; on a logarithmic axis 1, 2 and 5 or powers of ten, thinned."""
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            if last - first < 1:
                decades = range(first - 1, last + 2)
                places = [m * 10.0**k for k in decades for m in (1, 2, 5)]
                places = [v for v in places if self.low <= v <= self.high]
            else:
                every = max(1, math.ceil((last - first) / 4))
                places = [10.0**k for k in range(first, last + 1, every)]
        else:
            step = _step(self.high - self.low)
            first, last = math.ceil(self.low / step), math.floor(self.high / step)
            places = [k * step for k in range(first, min(last, first + 9) + 1)]
        return tuple(Tick(self.at(v), formats.short(v)) for v in places)


def scale(
    values: Iterable[float], start: float, end: float, *, log: bool | None = None
) -> Scale | None:
    """An axis that holds all values; None where there are none or they are near infinity.

    `log` None: logarithmic where all values are positive and far apart.
    """
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return None
    low, high = min(known), max(known)
    size = max(abs(low), abs(high))
    if size > 1e250:
        return None
    if log is None:
        log = low > 1e-250 and high / low >= LOG_FROM
    if log and low > 1e-250:
        room = min(high / low, MOST_APART) ** 0.05 if high > low else 1.5
        return Scale(low / room, high * room, start, end, log=True)
    span = high - low
    if span <= max(1e-9 * size, 1e-300):
        span = 0.2 * size if size > 1e-290 else 1.0
        low, high = low - span / 2, high + span / 2
    return Scale(low - span / 20, high + span / 20, start, end)


def path(points: Iterable[tuple[float, float]]) -> str:
    """An SVG path through points in px."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def area(lower: Sequence[tuple[float, float]], upper: Sequence[tuple[float, float]]) -> str:
    """A closed SVG path between two lines."""
    return path([*lower, *reversed(upper)]) + "Z"


def _step(span: float) -> float:
    """1, 2 or 5 times a power of ten, so that three to six ticks fit."""
    power = 10.0 ** math.floor(math.log10(span / 5))
    return next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= 5)
