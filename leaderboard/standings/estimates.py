"""Estimates: means over runs, with their intervals; of energy one for each provenance."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leaderboard import statistics
from leaderboard.standings.board import Run


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over runs, with its interval where it has one."""

    mean: float
    half_width: float | None  # of the 95 % interval
    why_none: str  # "no seed variance", "too few seeds", or "" where there is an interval
    known: int  # runs that gave a number
    of: int  # runs that could have


@dataclass(frozen=True, slots=True)
class Energy:
    """Training energy of the runs that share a provenance; other provenances stand apart."""

    joules: float  # mean over `runs`
    provenance: str  # "measured", "estimated" or "constant"
    runs: int


def estimate(values: Sequence[float], of: int, width: float | None = None) -> Estimate | None:
    """Mean and interval of `values`, given by that many of `of` runs; None where there are none.

    The interval is that of new seeds, or half of it is `width`, where more is known.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite or len(finite) < len(values):
        return None
    width = float(statistics.half_width(finite)) if width is None else width
    why = "no seed variance" if math.isnan(width) else "" if math.isfinite(width) else "too wide"
    if len(finite) < statistics.MINIMUM_SEEDS:
        why = "too few seeds"
    return Estimate(float(statistics.mean(finite)), None if why else width, why, len(finite), of)


def over_known(values: Sequence[float | None]) -> Estimate | None:
    """Over the runs that have the number; the estimate says how many that are."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return estimate(known, len(values))


def by_provenance(runs: Iterable[Run]) -> tuple[Energy, ...]:
    """One mean per provenance: measured and estimated joules are different quantities."""
    found: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        if run.energy_joules is not None and run.energy_provenance != "unknown":
            found[run.energy_provenance].append(run.energy_joules)
    return tuple(
        Energy(float(statistics.mean(joules)), provenance, len(joules))
        for provenance, joules in sorted(found.items())
    )
