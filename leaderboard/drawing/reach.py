"""Reach: which runs got to the targets that the scenario had fixed beforehand, and at what cost.

The harness stores the cost of the first evaluation that reached a target among a run's metrics,
as "seconds_to_0.9"; a run without that metric did not reach it (harness/proctor/targets.py).
"""

from __future__ import annotations

import math
import re
import statistics as averages
from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard.drawing.panels import Panels, Series, panels
from leaderboard.standings.board import Run
from leaderboard.standings.standings import Row, ScenarioStanding

_METRIC = re.compile(r"(.{1,60})_to_(-?[0-9][0-9.e+-]{0,20})")
COSTS = ("cpu_seconds", "flops", "samples", "joules")
"""Costs that have a column, where any run has them; the others are among the further metrics."""
WALL = "seconds"
"""A cost that every run with a target has, and no column: it depends on what else was running."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One method and one target."""

    reached: int  # runs
    of: int
    medians: tuple[float | None, ...]  # per cost, over all runs; inf: most did not reach it


@dataclass(frozen=True, slots=True)
class Reached:
    """The table of a scenario and the profile of its methods."""

    targets: tuple[str, ...]
    costs: tuple[str, ...]
    rows: tuple[tuple[Row, tuple[Cell, ...]], ...]  # a cell per target
    profile: Panels | None


def of_scenario(standing: ScenarioStanding) -> Reached | None:
    """What came of the targets; None where no run reached one or the scenario has none."""
    rows = [row for row in standing.rows if row.entry.runs]
    found = {
        match.group(1, 2)
        for name in standing.secondary
        if (match := _METRIC.fullmatch(name)) and _is_number(match[2])
    }
    targets = sorted({target for cost, target in found if cost == WALL}, key=float)
    if not targets:
        return None
    measured = all(row.measured for row in rows if row.successes)
    costs = tuple(
        cost
        for cost in COSTS
        if any((cost, target) in found for target in targets)
        and (cost != "joules" or measured)  # else they are CPU seconds in another unit
    )
    lines = tuple((row, tuple(_cell(row, target, costs) for target in targets)) for row in rows)
    series = [one for row in standing.ranked if (one := _profile(row, targets))]
    drawn = panels(series, "CPU seconds of training", "share reached", log_x=True)
    return Reached(tuple(targets), costs, lines, drawn)


def shown(metric: str) -> bool:
    """Whether a metric is the cost of a target that has its column here, or nowhere."""
    match = _METRIC.fullmatch(metric)
    return match is not None and match[1] in (*COSTS, WALL) and _is_number(match[2])


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _cell(row: Row, target: str, costs: Sequence[str]) -> Cell:
    metrics = [_metrics(run) for run in row.entry.runs]
    reached = sum(f"{WALL}_to_{target}" in found for found in metrics)
    medians = []
    for cost in costs:
        values = [found.get(f"{cost}_to_{target}") for found in metrics]
        missing = sum(v is None for v in values) > len(metrics) - reached  # reached, not counted
        known = [math.inf if v is None else v for v in values]
        medians.append(None if missing else averages.median_high(known))
    return Cell(reached, len(metrics), tuple(medians))


def _metrics(run: Run) -> dict[str, float]:
    return {} if run.failed else dict(run.metrics)


def _profile(row: Row, targets: Sequence[str]) -> Series | None:
    """The share of a method's runs and targets reached within each CPU time."""
    metrics = [_metrics(run) for run in row.entry.runs]
    times = sorted(
        found[name]
        for found in metrics
        for target in targets
        if (name := f"cpu_seconds_to_{target}") in found and 0 < found[name] < math.inf
    )
    if not times:
        return None
    count = len(metrics) * len(targets)
    share = [(i + 1) / count for i in range(len(times))]
    blank = [math.nan] * len(times)
    told = f"{len(times)} of {count} reached, the first after {times[0]:.3g} CPU s"
    return Series(row.method, times, share, blank, blank, told, steps=True)
