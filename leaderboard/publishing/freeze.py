"""Freezing: from held-out evaluation runs to the constants that a suite is measured between."""

from __future__ import annotations

import math
import re
import statistics as plain
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from harness.errors import HeldoutError, did_you_mean
from harness.records.reading import read_table
from harness.registry import applicability
from leaderboard import statistics
from leaderboard.standings import anchors, board
from leaderboard.standings.anchors import Anchor, Value
from leaderboard.standings.board import RANKED_PROTOCOL, Entry, Problem, Scenario, Suite

_COST = re.compile(r".+_to_[-+.e\d]+")
"""Metrics that say what reaching a target cost, e.g. "seconds_to_0.9"."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """What freezing came to on one scenario."""

    anchor: Anchor
    changed: bool  # whether a constant differs from what was frozen before


def freeze(
    results: Path,
    place: str,
    reference: str,
    floor: str | None,
    ceiling: str | None,
    bounds: Collection[str] = (),
) -> list[Frozen]:
    """Freeze the scenarios that "SUITE" or "SUITE/GLOB" means; all of them or none.

    `reference`, `floor` and `ceiling` are "METHOD" or "SCENARIO:METHOD". Without a floor it is the
    metric's own, without a ceiling the reference. `bounds` are the methods that are not ranked
    because they have more than their rivals.
    """
    table, _ = read_table(results)
    read = board.read(table)
    suite = _suite(read, place.partition("/")[0], results)
    chosen = _chosen(suite, place)
    _check_bounds(suite, bounds)
    declared = applicability.of_suite(suite.name, suite.methods)
    file = anchors.path(results, suite.name)
    old = {a.scenario: a for a in anchors.read_file(file)} if file.exists() else {}
    new: dict[str, Anchor] = {}
    for scenario, problem in chosen:
        top = _value(suite, scenario, ceiling or reference)
        low = _value(suite, scenario, floor) if floor else Value(problem.metric_floor)
        zero = _value(suite, scenario, reference)
        if zero.method in bounds:
            raise HeldoutError(
                f"{zero.method} cannot be both the reference and a bound, which is not ranked; "
                "choose a reference that has no more than its rivals"
            )
        _check_order(scenario, problem, low, top)
        told = declared.get(scenario.name)
        anchor = Anchor(
            suite=suite.name,
            scenario=scenario.name,
            scenario_hash=problem.scenario_hash,
            data_fingerprint=problem.data_fingerprint,
            version=1,
            floor=low,
            reference=zero,
            ceiling=top,
            reference_costs=_costs(_entry(suite, scenario, reference)),
            deliverable=told.deliverable if told else "",
            not_applicable=tuple(sorted(told.not_applicable.items())) if told else (),
            bounds=tuple(sorted(set(bounds))),
        )
        new[scenario.name] = anchors.frozen_again(old.get(scenario.name), anchor)
    if any(old.get(name) != anchor for name, anchor in new.items()):
        anchors.write(results, suite.name, (old | new).values())
    return [Frozen(a, _version(old, name) != a.version) for name, a in new.items()]


def _version(old: Mapping[str, Anchor], scenario: str) -> int:
    return old[scenario].version if scenario in old else 0


def _suite(read: board.Board, name: str, results: Path) -> Suite:
    known = {suite.name: suite for suite in read.suites}
    if name not in known:
        raise HeldoutError(
            f"{results} has no run of a suite {name!r}{did_you_mean(name, known)}; "
            "see: bench results"
        )
    return known[name]


def _chosen(suite: Suite, place: str) -> list[tuple[Scenario, Problem]]:
    glob = place.partition("/")[2] or "*"
    found = [(s, s.problem) for s in suite.scenarios if s.problem and fnmatchcase(s.name, glob)]
    if not found:
        names = ", ".join(s.name for s in suite.scenarios)
        raise HeldoutError(
            f"no evaluated scenario of {suite.name} is called {glob!r}; it has {names}"
        )
    return found


def _check_bounds(suite: Suite, bounds: Collection[str]) -> None:
    for method in bounds:
        if method not in suite.methods:
            raise HeldoutError(
                f"no run in {suite.name} names a method {method!r} to be a bound"
                f"{did_you_mean(method, suite.methods)}; see: bench results"
            )


def _entry(suite: Suite, scenario: Scenario, chosen: str) -> Entry:
    """The runs that "METHOD" or "SCENARIO:METHOD" means, seen from a scenario."""
    known = {s.name: s for s in suite.scenarios}
    place, _, rest = chosen.partition(":")
    where, method = (known[place], rest) if place in known and rest else (scenario, chosen)
    for entry in where.entries:
        if entry.method == method and entry.protocol == RANKED_PROTOCOL and not entry.unranked:
            if entry.failures:
                raise HeldoutError(
                    f"{len(entry.failures)} of {len(entry.runs)} runs of {method} on {where.id} "
                    "failed; a constant needs runs that did not, choose another method"
                )
            _check_alike(scenario, where)
            return entry
    hint = "" if method in suite.methods else did_you_mean(method, suite.methods)
    raise HeldoutError(
        f"{where.id} has no {statistics.MINIMUM_SEEDS} held-out evaluation runs of {method!r}"
        f"{hint}; run it: bench run {where.id} {method}, or name fewer scenarios: "
        f"bench leaderboard freeze '{suite.name}/GLOB'"
    )


def _value(suite: Suite, scenario: Scenario, chosen: str) -> Value:
    entry = _entry(suite, scenario, chosen)
    mean = float(statistics.mean([run.value for run in entry.runs]))
    if not math.isfinite(mean):
        raise HeldoutError(f"the mean of {chosen} on {scenario.id} is not finite; choose another")
    first = entry.runs[0]
    return Value(mean, first.scenario, first.method, tuple(run.key for run in entry.runs))


def _check_alike(scenario: Scenario, other: Scenario) -> None:
    one, two = scenario.problem, other.problem
    if (
        one
        and two
        and (one.metric_unit, one.higher_is_better)
        != (
            two.metric_unit,
            two.higher_is_better,
        )
    ):
        raise HeldoutError(
            f"{scenario.id} measures {one.metric} ({one.metric_unit}) and {other.id} {two.metric} "
            f"({two.metric_unit}); choose a constant of the same measure, or name fewer scenarios"
        )


def _check_order(scenario: Scenario, problem: Problem, low: Value, top: Value) -> None:
    if not math.isfinite(low.value):
        raise HeldoutError(
            f"{scenario.id}: its metric has no finite floor; give one with --floor SCENARIO:METHOD"
        )
    sign = 1 if problem.higher_is_better else -1
    if not sign * (top.value - low.value) > 0:
        raise HeldoutError(
            f"{scenario.id}: the ceiling {top.value:.4g} is no better than the floor "
            f"{low.value:.4g}; give a better one with --ceiling SCENARIO:METHOD"
        )


def _costs(entry: Entry) -> tuple[tuple[str, float], ...]:
    """Medians of what reaching each target cost; a run that missed it counts as infinite."""
    found = [dict(run.metrics) for run in entry.runs]
    names = sorted({name for run in found for name in run if _COST.fullmatch(name)})
    medians = {name: plain.median([run.get(name, math.inf) for run in found]) for name in names}
    return tuple((n, float(x)) for n, x in medians.items() if math.isfinite(x) and x > 0)
