"""The gap of a suite: what choosing on the evaluation problem is worth there, and who lacks it.

A method counts once, by the mean over its scenarios, and the interval is the t interval over
methods: what other methods like these would show on the same scenarios. It holds the luck of tuning
and of seeds, as each method was tuned and judged for itself, but not what all of them share: the
scenarios, their data and the seeds.
"""

from __future__ import annotations

import statistics as plain
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from leaderboard.standings import gap, prefixes
from leaderboard.standings.board import Entry
from leaderboard.standings.estimates import Estimate, estimate
from leaderboard.standings.gap import GapLine, GapTable
from leaderboard.standings.prefixes import Choice, Tried, Wanted
from leaderboard.standings.standings import ScenarioStanding, Standings, SuiteStanding

COVERED_TIER = "core"
"""Of which every scenario is to have both protocols."""


@dataclass(frozen=True, slots=True)
class Lack:
    """Methods of a scenario that lack a protocol, or had other numbers of trials under the two."""

    suite: str
    scenario: str
    methods: tuple[str, ...]  # with as many seeds; none where nothing tuned is there to compare
    seeds: int  # evaluation runs that they have
    trials: int | None  # the most that any method of the scenario had
    device: str


@dataclass(frozen=True, slots=True)
class Step:
    """What both protocols would have chosen with so many trials: means as of the suite's gap."""

    trials: int
    heldout: float  # scores on the evaluation problem, by seeds that did not choose
    usual: float
    worth: Estimate  # usual minus held out, better being positive
    heldout_all: float  # by all seeds, which also chose
    usual_all: float
    seeming: Estimate
    same: int  # choices that are the same under both protocols
    of: int  # methods on scenarios


@dataclass(frozen=True, slots=True)
class SuiteGap:
    """The scenarios of one tier of a suite."""

    suite: str
    tier: str
    scenarios: int  # that the records name
    tables: tuple[GapTable, ...]
    left_out: tuple[str, ...]  # scenarios of `tables` that the means leave out: nothing is frozen
    normalised: bool  # means are shares of the way from the frozen floor to the ceiling
    gap: Estimate | None  # over methods, of runs with fresh seeds
    median: float | None
    steps: tuple[Step, ...]  # none where nothing was tuned, or the trials are not there
    lacking: tuple[Lack, ...]

    @property
    def methods(self) -> int:
        """Methods that have both protocols on a scenario."""
        return len({line.method for table in self.tables for line in table.lines})

    @property
    def cells(self) -> int:
        """Methods on scenarios with both protocols."""
        return sum(len(table.lines) for table in self.tables)

    @property
    def same(self) -> int:
        """How many of these chose the same setting both ways."""
        return sum(line.same for table in self.tables for line in table.lines)

    @property
    def swapped(self) -> int:
        """Pairs of methods whose means stand in opposite orders under the two protocols."""
        return sum(table.swapped for table in self.tables)

    @property
    def moved(self) -> int:
        """Methods on scenarios whose two rank sets have no place in common."""
        return sum(line.moved for table in self.tables for line in table.lines)


@dataclass(frozen=True, slots=True)
class _Unit:
    """How the scores of a scenario enter a mean over scenarios: better is higher."""

    sign: float  # -1 where the metric is to be low
    zero: float = 0.0  # of the signed score
    size: float = 1.0

    def scaled(self, choice: Choice) -> Choice:
        """A choice with its scores in this unit."""
        names = "heldout", "usual", "heldout_all", "usual_all"
        scores = {name: (getattr(choice, name) - self.zero) / self.size for name in names}
        return replace(choice, **scores)


@dataclass(frozen=True, slots=True)
class _Cell:
    """A method on a scenario: what it would have chosen, as far as the trials are there."""

    method: str
    unit: _Unit
    trials: int
    choices: tuple[Choice, ...]


def of_standings(standings: Standings, table: pa.Table) -> tuple[SuiteGap, ...]:
    """By suite and tier: those with a scenario that has both protocols, or has to have them.

    `table` holds the rows of all phases.
    """
    tables = {(t.scenario.suite, t.scenario.name): t for t in gap.tables(standings)}
    tried = prefixes.read(table, [_wanted(t, line) for t in tables.values() for line in t.lines])
    tiers = _tiers(table)
    found = []
    for suite in standings.suites:
        name = suite.suite.name
        known = {one.scenario.name: one.problem.tier for one in suite.scenarios}
        known |= {scenario: tiers[name, scenario] for scenario in suite.waiting}
        for tier in sorted(set(known.values()), key=lambda tier: (tier != COVERED_TIER, tier)):
            here = [scenario for scenario in known if known[scenario] == tier]
            both = tuple(tables[name, s] for s in here if (name, s) in tables)
            lacking = _lacking(suite, here) if tier == COVERED_TIER else ()
            if both or lacking:
                found.append(_of_tier(suite, tier, len(here), both, tried, lacking))
    return tuple(found)


def _tiers(table: pa.Table) -> dict[tuple[str, str], str]:
    """By suite and scenario: its tier, of several the last by name."""
    names = ["suite", "scenario", "tier"]
    rows = table.group_by(names).aggregate([]).to_pylist()
    return {
        (suite, s): tier for suite, s, tier in sorted(tuple(row[n] for n in names) for row in rows)
    }


def _wanted(table: GapTable, line: GapLine) -> Wanted:
    sign = 1.0 if table.problem.higher_is_better else -1.0
    return Wanted(*line.keys, sign, table.problem.metric_floor)


def _of_tier(
    suite: SuiteStanding,
    tier: str,
    scenarios: int,
    tables: tuple[GapTable, ...],
    tried: Mapping[Wanted, Tried],
    lacking: tuple[Lack, ...],
) -> SuiteGap:
    units, normalised = _units(suite, tables)
    as_it_is = not normalised and any(not t.problem.higher_is_better for t in tables)
    sign = -1.0 if as_it_is else 1.0  # a metric that is to be low is shown as it is
    lines = [(t, line) for t in tables if t.scenario.name in units for line in t.lines]
    gaps = _over_methods(
        (line.method, line.gap.mean / units[t.scenario.name].size) for t, line in lines if line.gap
    )
    cells = []
    for t, line in lines:
        if trials := tried.get(_wanted(t, line)):
            unit = units[t.scenario.name]
            found = tuple(unit.scaled(choice) for choice in prefixes.choices(trials))
            cells.append(_Cell(line.method, unit, trials.trials, found))
    return SuiteGap(
        suite.suite.name,
        tier,
        scenarios,
        tables,
        tuple(t.scenario.name for t in tables if t.scenario.name not in units),
        normalised,
        estimate(gaps, len(gaps)),
        plain.median(gaps) if gaps else None,
        _steps([cell for cell in cells if cell.choices], sign),
        lacking,
    )


def _units(suite: SuiteStanding, tables: Sequence[GapTable]) -> tuple[dict[str, _Unit], bool]:
    """By scenario, and whether they are normalised, which they are where their metrics differ."""
    signs = {t.scenario.name: 1.0 if t.problem.higher_is_better else -1.0 for t in tables}
    kinds = {(t.problem.metric, t.problem.metric_unit, t.problem.higher_is_better) for t in tables}
    if len(kinds) <= 1:
        return {name: _Unit(sign) for name, sign in signs.items()}, False
    anchors = {one.scenario.name: one.anchor for one in suite.scenarios}
    units = {}
    for name, sign in signs.items():
        anchor = anchors[name]
        if anchor and (size := sign * (anchor.ceiling.value - anchor.floor.value)) > 0:
            units[name] = _Unit(sign, sign * anchor.floor.value, size)
    return units, True


def _over_methods(values: Iterable[tuple[str, float]]) -> list[float]:
    """Of values by method, one a scenario: the mean of each method."""
    found: dict[str, list[float]] = defaultdict(list)
    for method, value in values:
        found[method].append(value)
    return [plain.fmean(found[method]) for method in sorted(found)]


def _steps(cells: Sequence[_Cell], sign: float) -> tuple[Step, ...]:
    """As far as every method with something to tune was tried: all steps are of the same cells."""
    tuned = [len(cell.choices) for cell in cells if cell.trials > 1]
    steps = [
        _step([(cell.method, cell.choices[i]) for cell in cells], sign)
        for i in range(min(tuned, default=0))
    ]
    return tuple(step for step in steps if step)


def _step(chosen: Sequence[tuple[str, Choice]], sign: float) -> Step | None:
    def over(values: Iterable[float]) -> list[float]:
        return _over_methods(zip((method for method, _ in chosen), values, strict=True))

    found = [choice for _, choice in chosen]
    worth, seeming = (
        estimate(values, len(values))
        for values in (over(c.worth for c in found), over(c.seeming for c in found))
    )
    if worth is None or seeming is None:
        return None
    return Step(
        found[0].trials,
        sign * plain.fmean(over(c.heldout for c in found)),
        sign * plain.fmean(over(c.usual for c in found)),
        worth,
        sign * plain.fmean(over(c.heldout_all for c in found)),
        sign * plain.fmean(over(c.usual_all for c in found)),
        seeming,
        sum(c.same for c in found),
        len(found),
    )


def _lacking(suite: SuiteStanding, names: Sequence[str]) -> tuple[Lack, ...]:
    """Of these scenarios: who has one protocol only, and those where nobody has any."""
    evaluated = {one.scenario.name: one for one in suite.scenarios}
    found = []
    for name in names:
        place = suite.suite.name, name
        standing = evaluated.get(name)
        entries = _half(standing) if standing else {}
        if standing is None or not any(gap.usable(standing, p) for p in gap.PROTOCOLS):
            found.append(Lack(*place, (), 0, None, ""))
        trials = [run.trials for entry in entries.values() for run in entry.runs if run.trials]
        alike: dict[tuple[int, str], list[str]] = defaultdict(list)
        for method, entry in sorted(entries.items()):
            alike[len(entry.runs), entry.runs[0].device].append(method)
        for (seeds, device), methods in sorted(alike.items()):
            found.append(Lack(*place, tuple(methods), seeds, max(trials, default=None), device))
    return tuple(found)


def _half(standing: ScenarioStanding) -> dict[str, Entry]:
    """By method: an entry that has none comparable under the other protocol."""
    heldout, usual = (gap.usable(standing, protocol) for protocol in gap.PROTOCOLS)
    return {
        method: entry
        for method, entry in (usual | heldout).items()
        if not (method in heldout and method in usual)
        or not gap.comparable(heldout[method], usual[method])
    }
