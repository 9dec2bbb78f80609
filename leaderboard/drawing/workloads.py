"""Workloads: what the targets of a suite's scenarios cost, beside the frozen reference.

A workload is a scenario and one of its targets. Costs are medians over seeds, divided by those of
the frozen reference, so that a new entry changes no old number; a target that most runs missed cost
infinitely much. The profile is that of `statistics.profile`.
"""

from __future__ import annotations

import math
import statistics as plain
from collections.abc import Sequence
from dataclasses import dataclass

from leaderboard import statistics
from leaderboard.drawing import reach
from leaderboard.drawing.panels import Panels, Series, panels
from leaderboard.standings.overall import Division, Overall
from leaderboard.standings.standings import MEASURED, Row, ScenarioStanding, SuiteStanding


@dataclass(frozen=True, slots=True)
class Line:
    """One method over the workloads."""

    method: str
    reached: int  # workloads whose target most runs reached
    own_model: bool  # whether it brings its own network
    scores: tuple[float | None, ...]  # per cost, mean height of the profile; None: not measured


@dataclass(frozen=True, slots=True)
class Workloads:
    """The table and the profile of the methods of one division."""

    scenarios: tuple[str, ...]
    references: tuple[str, ...]  # methods whose frozen costs are the unit
    count: int
    costs: tuple[str, ...]
    lines: tuple[Line, ...]
    profile: Panels | None  # of the first cost


def of_suite(standing: SuiteStanding, overall: Overall) -> Workloads | None:
    """Of the first division with targets that its reference reached; None without one."""
    for division in overall.divisions:
        found = _of_division(standing, division)
        if found:
            return found
    return None


def _of_division(standing: SuiteStanding, division: Division) -> Workloads | None:
    scenarios = [s for s in standing.scenarios if s.scenario.name in division.scenarios]
    costs = {cost: _frozen(scenarios, cost) for cost in reach.COSTS}
    first, *others = costs
    places = set(costs[first])
    if not places:
        return None
    names = [cost for cost in others if set(costs[cost]) == places]
    kept = (first, *(c for c in names if c != "joules" or _measured(scenarios)))
    lines, series = [], []
    for total in division.totals:
        rows = {s.scenario.name: _row(s, total.method) for s in scenarios}
        times = {cost: _medians(rows, costs[cost], cost) for cost in kept}
        scores = tuple(_score(times[cost], list(costs[cost].values())) for cost in kept)
        reached = sum(math.isfinite(time) for time in times[first] or ())
        lines.append(Line(total.method, reached, total.own_model, scores))
        series += _series(total.method, times[first], list(costs[first].values()), reached)
    here = [s for s in scenarios if s.scenario.name in dict(places)]
    references = sorted({s.anchor.reference.method for s in here if s.anchor})
    drawn = panels(series, f"{first} over those of the reference", "share reached", log_x=True)
    return Workloads(
        tuple(s.scenario.name for s in here),
        tuple(references),
        len(places),
        kept,
        tuple(lines),
        drawn,
    )


_Frozen = dict[tuple[str, str], float]


def _frozen(scenarios: Sequence[ScenarioStanding], cost: str) -> _Frozen:
    """By scenario and target: what it cost the frozen reference."""
    start = f"{cost}_to_"
    return {
        (s.scenario.name, name.removeprefix(start)): value
        for s in scenarios
        if s.anchor
        for name, value in s.anchor.reference_costs
        if name.startswith(start)
    }


def _measured(scenarios: Sequence[ScenarioStanding]) -> bool:
    """Whether all joules here were measured, those of the reference included."""
    runs = {r.key: r for s in scenarios for row in s.rows for r in row.entry.runs}
    frozen = [key for s in scenarios if s.anchor for key in s.anchor.reference.keys]
    kinds = {run.energy_provenance for run in runs.values() if not run.failed}
    return kinds == {MEASURED} and all(key in runs for key in frozen)


def _row(standing: ScenarioStanding, method: str) -> Row:
    return next(row for row in standing.ranked if row.method == method)


def _medians(rows: dict[str, Row], frozen: _Frozen, cost: str) -> list[float] | None:
    """Per workload, inf where most runs missed it; None where the cost of one is not known."""
    found = []
    for scenario, target in frozen:
        metrics = [{} if r.failed else dict(r.metrics) for r in rows[scenario].entry.runs]
        for run in metrics:
            if f"{reach.WALL}_to_{target}" in run and f"{cost}_to_{target}" not in run:
                return None
        found.append(plain.median_high(run.get(f"{cost}_to_{target}", math.inf) for run in metrics))
    return found


def _score(times: list[float] | None, reference: list[float]) -> float | None:
    return None if times is None else float(statistics.profile_score(times, reference))


def _series(
    method: str, times: list[float] | None, reference: list[float], reached: int
) -> list[Series]:
    if times is None:
        return []
    heights = statistics.profile(times, reference).tolist()
    blank = [math.nan] * len(heights)
    told = f"{reached} of {len(reference)} targets reached"
    taus = statistics.TAUS.tolist()
    return [Series(method, taus, heights, blank, blank, told, steps=True)]
