"""The gap: the same methods tuned on the evaluation problem itself, beside the held-out protocol.

How much better the usual practice looks, and whether it ranks methods in another order: S. Cha,
K. Cho, 2025, "Hyperparameters in Continual Learning: A Reality Check",
https://arxiv.org/abs/2403.09066.
"""

from __future__ import annotations

from dataclasses import dataclass

from leaderboard import statistics
from leaderboard.standings.board import RANKED_PROTOCOL, Entry, Problem, Scenario
from leaderboard.standings.estimates import Estimate, estimate
from leaderboard.standings.standings import ScenarioStanding, Standings

PROTOCOLS = (RANKED_PROTOCOL, "conventional")
"""Held out, and as is usual."""


@dataclass(frozen=True, slots=True)
class GapLine:
    """One method under both protocols."""

    method: str
    heldout: Estimate
    usual: Estimate
    gap: Estimate | None  # how much better the usual practice looks, seed by seed; None unpaired
    heldout_ranks: tuple[int, int]  # rank sets among the methods of this table
    usual_ranks: tuple[int, int]
    own_model: bool  # whether it brings its own network
    same: bool  # whether both protocols chose the same setting
    keys: tuple[str, str]  # of a run of each protocol: its selection names the trials

    @property
    def changed(self) -> bool:
        """Whether the two rank sets differ at all."""
        return self.heldout_ranks != self.usual_ranks

    @property
    def moved(self) -> bool:
        """Whether the two rank sets have no place in common."""
        (a, b), (c, d) = self.heldout_ranks, self.usual_ranks
        return b < c or d < a


@dataclass(frozen=True, slots=True)
class GapTable:
    """One scenario: the methods that have both with as many trials, by their held-out mean."""

    scenario: Scenario
    problem: Problem
    lines: tuple[GapLine, ...]

    @property
    def mean_gap(self) -> float | None:
        """Over the methods whose gap is known."""
        known = [line.gap.mean for line in self.lines if line.gap]
        return sum(known) / len(known) if known else None

    @property
    def swapped(self) -> int:
        """Pairs of methods whose means stand in opposite orders under the two protocols."""
        sign = 1 if self.problem.higher_is_better else -1
        means = [(sign * line.heldout.mean, sign * line.usual.mean) for line in self.lines]
        return sum(
            (a[0] - b[0]) * (a[1] - b[1]) < 0 for i, a in enumerate(means) for b in means[i + 1 :]
        )


def tables(standings: Standings) -> tuple[GapTable, ...]:
    """One table per scenario on which two methods or more have both; the others say nothing.

    Bounds are left out: they have more than their rivals under either protocol.
    """
    found = []
    for suite in standings.suites:
        for standing in suite.scenarios:
            lines = _lines(standing)
            if len(lines) > 1:
                found.append(GapTable(standing.scenario, standing.problem, lines))
    return tuple(found)


def _lines(standing: ScenarioStanding) -> tuple[GapLine, ...]:
    sign = 1.0 if standing.problem.higher_is_better else -1.0
    heldout, usual = (usable(standing, p) for p in PROTOCOLS)
    methods = [m for m in sorted(set(heldout) & set(usual)) if comparable(heldout[m], usual[m])]
    if not methods:
        return ()
    ranks = [
        statistics.compare([_sample(entries[m], sign) for m in methods]).ranks
        for entries in (heldout, usual)
    ]
    lines = []
    for i, method in enumerate(methods):
        scores = [
            estimate([run.value for run in entries[method].runs], len(entries[method].runs))
            for entries in (heldout, usual)
        ]
        if scores[0] is None or scores[1] is None:
            continue
        gap = _gap(heldout[method], usual[method], sign)
        before, after = ((int(r[i][0]), int(r[i][1])) for r in ranks)
        first, second = heldout[method].runs[0], usual[method].runs[0]
        same, keys = first.setting == second.setting, (first.key, second.key)
        own_model = heldout[method].own_model
        lines.append(
            GapLine(method, scores[0], scores[1], gap, before, after, own_model, same, keys)
        )
    return tuple(sorted(lines, key=lambda line: (-sign * line.heldout.mean, line.method)))


def comparable(heldout: Entry, usual: Entry) -> bool:
    """Whether the two were chosen out of as many settings, by all of their runs."""
    return len({run.trials for entry in (heldout, usual) for run in entry.runs}) == 1


def usable(standing: ScenarioStanding, protocol: str) -> dict[str, Entry]:
    """By method: the entry of a protocol that would be ranked if its protocol were."""
    return {
        entry.method: entry
        for entry in (row.entry for row in standing.rows)
        if entry.protocol == protocol
        and entry.runs
        and not entry.debugging
        and not entry.own_budget
        and not entry.apart
        and not entry.bound
        and entry.unranked in ("", protocol)
        and len(entry.runs) >= statistics.MINIMUM_SEEDS
    }


def _sample(entry: Entry, sign: float) -> statistics.Sample:
    return statistics.Sample(
        tuple(run.seed for run in entry.runs), tuple(sign * run.value for run in entry.runs)
    )


def _gap(heldout: Entry, usual: Entry, sign: float) -> Estimate | None:
    """Usual minus held-out, better being positive, over the seeds that both have."""
    first = {run.seed: run.value for run in heldout.runs}
    second = {run.seed: run.value for run in usual.runs}
    shared = sorted(set(first) & set(second))
    if len(shared) < statistics.MINIMUM_SEEDS:
        return None
    return estimate([sign * (second[s] - first[s]) for s in shared], len(first))
