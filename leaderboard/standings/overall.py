"""Overall: a suite's methods over its scenarios, in numbers. Words and pictures come later.

The scenarios are those with frozen anchors. Methods to which the same of them apply are ranked
against each other over exactly those, as one family of tests; so are the methods that cover these
and more. Nothing is averaged over what happens to be there: a method that lacks a scenario which
applies to it has no mean and no rank.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.records.record import BASE
from leaderboard import statistics
from leaderboard.standings.anchors import Anchor
from leaderboard.standings.board import BOUND, NOTHING, RANKED_PROTOCOL, Entry
from leaderboard.standings.estimates import Energy, Estimate
from leaderboard.standings.standings import MEASURED, Row, ScenarioStanding, SuiteStanding, Tuning

State = Literal["ranked", "failed", "unranked", "stale", "not run", "not applicable"]
FEWEST_FOR_MIDDLE = 4
"""Scenarios below which the interval of an interquartile mean does not cover what it says."""


@dataclass(frozen=True, slots=True)
class Cell:
    """How a method stands on one scenario."""

    scenario: str
    state: State  # "ranked": all runs count; "failed": some do as the floor; else no score counts
    reason: str  # in words; "" where ranked
    score: float | None  # mean of the normalised difference to the reference


@dataclass(frozen=True, slots=True)
class Total:
    """One line of the suite's table: a method under one protocol."""

    method: str
    protocol: str
    cells: tuple[Cell, ...]  # of every scenario with anchors
    scenarios: tuple[str, ...]  # that the numbers below are of; none for an incomplete line
    ranks: tuple[int, int] | None
    why_unranked: str
    score: Estimate | None  # difference to the reference, floor to ceiling being 1
    middle: Estimate | None  # interquartile mean of the same, from 4 scenarios on
    seeds: tuple[int, ...]  # runs on each scenario
    tuning: Tuning | None  # summed over scenarios
    train_cpu_seconds: float | None  # to train once on each scenario: the sum of means
    train_flops: float | None  # likewise
    train_seconds: float | None  # likewise, wall; None too where a run had to wait for others
    energy: Energy | None  # likewise, where counters measured it on every scenario
    isolation: tuple[str, ...]
    failed: int  # runs that count as the floor
    stale: int
    superseded: int
    own_model: bool  # whether it brings its own network on any of them
    reproduced: bool  # on every scenario, see `standings.Row.reproduced`

    @property
    def applicable(self) -> int:
        """Scenarios that apply to the method."""
        return sum(cell.state != "not applicable" for cell in self.cells)

    @property
    def covered(self) -> int:
        """Those on which it has a score that counts."""
        return sum(cell.score is not None for cell in self.cells)

    @property
    def complete(self) -> bool:
        """Whether nothing that applies is missing."""
        return 0 < self.covered == self.applicable


@dataclass(frozen=True, slots=True)
class Division:
    """Methods ranked against each other over the same scenarios."""

    scenarios: tuple[str, ...]
    totals: tuple[Total, ...]
    comparison: statistics.Comparison  # in the order of `totals`
    elsewhere: int | None  # pairs that differ on scenarios like these too; None: too few to say


@dataclass(frozen=True, slots=True)
class Overall:
    """A suite's table."""

    anchors: tuple[Anchor, ...]  # in use, by scenario
    missing: tuple[str, ...]  # evaluated scenarios that nothing was frozen for
    stale: tuple[Anchor, ...]  # frozen for an older edition of their scenario
    unbounded: tuple[str, ...]  # scenarios that stand for themselves: their metric has no end
    divisions: tuple[Division, ...]  # with most scenarios first
    unranked: tuple[Total, ...]

    @property
    def best(self) -> tuple[Total, ...]:
        """The methods that may be first of the largest division."""
        totals = self.divisions[0].totals if self.divisions else ()
        return tuple(total for total in totals if total.ranks and total.ranks[0] == 1)


Samples = dict[str, statistics.Sample]
_Line = tuple[str, str, bool, str]
"""Method, protocol, whether it is debugging, and why it stands apart beside that, else ""."""


def of_suite(standing: SuiteStanding) -> Overall:
    """Rank the methods of a suite over its scenarios with frozen anchors."""
    whole, standing = (
        standing,
        replace(standing, scenarios=tuple(s for s in standing.scenarios if s.problem.bounded)),
    )
    frozen = {s.scenario.name: s.anchor for s in standing.scenarios if s.anchor}
    rows, samples = _rows(standing), _samples(standing)
    totals = {line: _total(line, rows[line], samples[line], frozen) for line in sorted(rows)}
    complete = [
        line for line, total in totals.items() if total.complete and _eligible(line, rows[line])
    ]
    own = {line: totals[line].scenarios for line in complete}
    divisions = []
    for names in sorted(set(own.values()), key=lambda names: (-len(names), names)):
        members = [line for line in complete if set(names) <= set(own[line])]
        if len(members) > 1:
            parts = [
                totals[m] if own[m] == names else _total(m, rows[m], samples[m], frozen, names)
                for m in members
            ]
            divisions.append(_division(names, parts, [samples[m] for m in members]))
    ranked = {total.method for division in divisions for total in division.totals}
    alone = {line for line in complete if line[0] not in ranked}
    rest = [
        replace(total, why_unranked="no other method has the same scenarios")
        if line in alone
        else total
        for line, total in totals.items()
        if line in alone or line not in complete
    ]
    return Overall(
        tuple(frozen.values()),
        tuple(s.scenario.name for s in standing.scenarios if not s.anchor and not s.stale_anchor),
        tuple(s.stale_anchor for s in standing.scenarios if s.stale_anchor),
        tuple(s.scenario.name for s in whole.scenarios if not s.problem.bounded),
        tuple(divisions),
        tuple(sorted(rest, key=_order)),
    )


def _eligible(line: _Line, rows: Mapping[str, Row]) -> bool:
    _, protocol, debugging, apart = line
    usual = protocol == RANKED_PROTOCOL and not debugging and not apart
    return usual and not _is_bound(rows)


def _is_bound(rows: Mapping[str, Row]) -> bool:
    return any(row.entry.bound for row in rows.values())


def _order(total: Total) -> tuple[bool, float, str, str]:
    score = -total.score.mean if total.score else math.inf
    return total.score is None, score, total.method, total.protocol


def _rows(standing: SuiteStanding) -> dict[_Line, dict[str, Row]]:
    """By line and scenario; of several own budgets the one with most runs stands for all."""
    found: dict[_Line, dict[str, Row]] = defaultdict(dict)
    for scenario in standing.scenarios:
        if scenario.anchor:
            for row in sorted(scenario.rows, key=lambda row: len(row.entry.runs)):
                entry = row.entry
                line = (entry.method, entry.protocol, entry.debugging, _apart(entry))
                found[line][scenario.scenario.name] = row
    return found


def _apart(entry: Entry) -> str:
    return "own budget" if entry.own_budget else entry.apart


def _samples(standing: SuiteStanding) -> dict[_Line, Samples]:
    """By line and scenario: the normalised scores that count."""
    found: dict[_Line, Samples] = defaultdict(dict)
    scenarios = {s.scenario.name: s for s in standing.scenarios}
    for line, rows in _rows(standing).items():
        for name, row in rows.items():
            sample = _sample(row, scenarios[name])
            if sample:
                found[line][name] = sample
    return found


def _sample(row: Row, standing: ScenarioStanding) -> statistics.Sample | None:
    anchor, runs = standing.anchor, row.entry.runs
    if anchor is None or len(runs) < statistics.MINIMUM_SEEDS:
        return None
    values = statistics.normalised(
        [run.value for run in runs],
        anchor.floor.value,
        anchor.reference.value,
        anchor.ceiling.value,
    )
    if not all(map(math.isfinite, values)):
        return None
    items, width = row.entry.items, anchor.ceiling.value - anchor.floor.value
    return statistics.Sample(
        tuple(run.seed for run in runs),
        tuple(map(float, values)),
        items.scaled(1 / width) if items else None,
    )


def _cell(name: str, row: Row | None, sample: statistics.Sample | None) -> Cell:
    entry = row.entry if row else None
    if sample and entry:
        failed = len(entry.failures)
        reason = f"{failed} of {len(entry.runs)} runs failed, counted as the floor"
        mean = float(statistics.mean(sample.values))
        return Cell(name, "failed" if failed else "ranked", reason if failed else "", mean)
    if entry and entry.runs:
        few = len(entry.runs) < statistics.MINIMUM_SEEDS
        reason = f"fewer than {statistics.MINIMUM_SEEDS} seeds" if few else "no finite score"
        return Cell(name, "unranked", reason, None)
    if row and row.lacking:
        return Cell(name, "not applicable", row.lacking, None)
    if entry and entry.stale:
        return Cell(name, "stale", "only runs of an older scenario or method source", None)
    if entry and entry.hopeless:
        return Cell(name, "failed", f"all {entry.hopeless} tuning runs failed", None)
    return Cell(name, "not run", "not run", None)


def _total(
    line: _Line,
    rows: Mapping[str, Row],
    samples: Samples,
    frozen: Mapping[str, Anchor],
    over: Sequence[str] = (),
) -> Total:
    """A line, its numbers over the scenarios `over`; without them over all that apply to it."""
    cells = tuple(_cell(name, rows.get(name), samples.get(name)) for name in frozen)
    lacking = {cell.scenario for cell in cells if cell.state == "not applicable"}
    names = tuple(over) or tuple(name for name in frozen if name not in lacking)
    whole = bool(names) and all(name in samples for name in names)
    chosen = [rows[name] for name in names] if whole else []
    present = [row for row in rows.values() if row.entry.runs]
    return Total(
        method=line[0],
        protocol=line[1],
        cells=cells,
        scenarios=names if whole else (),
        ranks=None,
        why_unranked=_why(line, rows, names, whole),
        score=_mean([samples[name] for name in names]) if whole else None,
        middle=_middle([samples[name].values for name in names]) if whole else None,
        seeds=tuple(len(row.entry.runs) for row in chosen),
        tuning=_tuning([row.tuning for row in chosen]),
        train_cpu_seconds=_sum([_mean_of(row.train_cpu_seconds) for row in chosen]),
        train_flops=_sum([_mean_of(row.train_flops) for row in chosen]),
        train_seconds=_sum([_mean_of(row.train_seconds) for row in chosen]),
        energy=_energy(chosen),
        isolation=tuple(sorted({level for row in chosen or present for level in row.isolation})),
        failed=sum(len(row.entry.failures) for row in chosen or present),
        stale=sum(row.entry.stale for row in rows.values()),
        superseded=sum(row.entry.superseded for row in rows.values()),
        own_model=any(row.entry.own_model for row in rows.values()),
        reproduced=bool(chosen) and all(row.reproduced for row in chosen),
    )


def _why(line: _Line, rows: Mapping[str, Row], names: Sequence[str], whole: bool) -> str:
    method, protocol, debugging, apart = line
    if method == BASE:
        return NOTHING
    if protocol != RANKED_PROTOCOL:
        return protocol or "no protocol"
    if debugging or apart:
        return "debugging" if debugging else apart
    if not whole:
        return "incomplete" if names else "no scenario with frozen constants applies"
    return BOUND if _is_bound(rows) else ""


def _division(
    names: tuple[str, ...], totals: Sequence[Total], samples: Sequence[Samples]
) -> Division:
    table = [[mine[name] for name in names] for mine in samples]
    comparison = statistics.compare_over(table)
    ranks = [(int(first), int(last)) for first, last in comparison.ranks]
    ranked = [replace(total, ranks=rank) for total, rank in zip(totals, ranks, strict=True)]

    def place(k: int) -> tuple[int, float, int, str]:
        score = ranked[k].score
        return ranks[k][0], -score.mean if score else 0.0, ranks[k][1], ranked[k].method

    order = sorted(range(len(ranked)), key=place)
    return Division(
        names,
        tuple(ranked[k] for k in order),
        comparison.ordered(order),
        _elsewhere(table),
    )


def _elsewhere(table: Sequence[Sequence[statistics.Sample]]) -> int | None:
    """Pairs of methods whose scenario means differ beyond what other scenarios may turn round."""
    if len(table[0]) < statistics.FEWEST_SCENARIOS:
        return None
    means = [[float(statistics.mean(sample.values)) for sample in row] for row in table]
    return int((statistics.wilcoxon_p(means) <= statistics.ALPHA).sum()) // 2


def _mean(samples: Sequence[statistics.Sample]) -> Estimate:
    return _estimate(statistics.mean_over(samples), [sample.values for sample in samples])


def _middle(values: Sequence[Sequence[float]]) -> Estimate | None:
    if len(values) < FEWEST_FOR_MIDDLE:
        return None
    return _estimate(statistics.interquartile_mean(list(values)), values)


def _estimate(contrast: statistics.Contrast, values: Sequence[Sequence[float]]) -> Estimate:
    width, runs = float(contrast.half_width.item()), sum(map(len, values))
    flat = math.isnan(width)
    why = "no seed variance" if flat else ""
    value = round(float(contrast.value.item()), 12) + 0.0  # the reference itself is 0, not -2e-17
    return Estimate(value, None if flat else width, why, runs, runs)


def _tuning(found: Sequence[Tuning | None]) -> Tuning | None:
    known = [tuning for tuning in found if tuning]
    if not known or len(known) < len(found):
        return None
    provenances = {tuning.energy_provenance for tuning in known}
    alike = len(provenances) == 1
    return Tuning(
        sum(tuning.runs for tuning in known),
        sum(tuning.failed_runs for tuning in known),
        _sum([tuning.seconds for tuning in known]),
        _sum([tuning.cpu_seconds for tuning in known]),
        _sum([tuning.energy_joules for tuning in known]) if alike else None,
        provenances.pop() if alike else "unknown",
    )


def _energy(rows: Sequence[Row]) -> Energy | None:
    parts = [row.measured for row in rows]
    known = [part for part in parts if part]
    if not known or len(known) < len(parts):
        return None
    joules, runs = sum(part.joules for part in known), sum(part.runs for part in known)
    return Energy(joules, MEASURED, runs)


def _mean_of(estimate: Estimate | None) -> float | None:
    return estimate.mean if estimate else None


def _sum(values: Iterable[float | None]) -> float | None:
    """None where any is not measured, or there is none."""
    found = list(values)
    known = [value for value in found if value is not None]
    return math.fsum(known) if known and len(known) == len(found) else None
