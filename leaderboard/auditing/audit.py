"""The audit of a board: every finding of every suite. Pure: standings and records in, findings out.

Law 12: from the records alone a board says where its own ranks are weak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from leaderboard.auditing import costs, evidence, fairness, health, tuning
from leaderboard.auditing.evidence import Case, Descriptions
from leaderboard.auditing.finding import Finding, ordered
from leaderboard.auditing.health import Health
from leaderboard.auditing.tuning import Growth
from leaderboard.standings.standings import Standings, SuiteStanding

Items = Mapping[tuple[str, str], int]
"""By suite and scenario: how many test items there are."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What the tuning of one row says of itself."""

    scenario: str
    method: str
    trials: int | None
    growth: Growth | None
    settings: int  # that were run on both sides
    transfer: float | None  # rank correlation between the sides


@dataclass(frozen=True, slots=True)
class SuiteAudit:
    """What is to be said of one suite."""

    suite: str
    findings: tuple[Finding, ...] = ()
    tuned: tuple[Tuned, ...] = ()
    health: tuple[Health, ...] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """What is to be said of a board."""

    suites: tuple[SuiteAudit, ...] = ()

    def of(self, suite: str) -> SuiteAudit:
        """The audit of a suite; one without findings where there is none."""
        known = (one for one in self.suites if one.suite == suite)
        return next(known, SuiteAudit(suite))


NOTHING = Audit()


def of_board(standings: Standings, table: pa.Table, described: Descriptions, items: Items) -> Audit:
    """The audit of every suite."""
    cases = evidence.read(standings, table, described)
    return Audit(
        tuple(_of_suite(suite, cases[suite.suite.name], items) for suite in standings.suites)
    )


def _of_suite(standing: SuiteStanding, cases: Sequence[Case], items: Items) -> SuiteAudit:
    suite = standing.suite.name
    own = {scenario: count for (name, scenario), count in items.items() if name == suite}
    healths = tuple(
        health.of(one, [case for case in cases if case.standing is one])
        for one in standing.scenarios
    )
    found = [
        *(one for look in _LOOKS for one in look(suite, cases)),
        *health.findings(suite, cases, healths, own),
    ]
    return SuiteAudit(suite, ordered(found), tuple(map(_tuned, cases)), healths)


_LOOKS = (
    *(tuning.edges, tuning.few_trials, tuning.more_trials, tuning.transfers),
    *(fairness.unequal, fairness.unpaired, fairness.compute, fairness.carried),
    *(costs.clock, costs.energy, costs.machines),
)


def _tuned(case: Case) -> Tuned:
    return Tuned(
        case.scenario,
        case.method,
        case.tried,
        tuning.growth(case),
        len(case.pairs),
        tuning.transfer(case.pairs),
    )
