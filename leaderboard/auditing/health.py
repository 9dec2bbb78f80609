"""Health of a scenario: does it still tell methods apart, and is doing nothing beaten?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median

import numpy as np

from harness.records.record import BASE
from leaderboard import formats, statistics
from leaderboard.auditing.evidence import Case
from leaderboard.auditing.finding import Finding, some
from leaderboard.standings.standings import Row, ScenarioStanding

FEWEST_ITEMS = 6
"""A sign test over items that all speak for one side needs so many to reach 5 %."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a scenario can tell. None: not known."""

    scenario: str
    metric: str
    ranked: int  # methods
    best: float | None  # mean of the best ranked method
    middle: float | None  # median of the ranked methods
    reference: float | None  # frozen
    ceiling: float | None  # frozen
    smallest: float | None  # difference that can be separated, see statistics/power.py
    seeds: int  # of the ranked row that has fewest
    nothing: float | None  # what doing nothing scores
    nothing_is: str  # where that is from: BASE, "untrained" or "floor"
    open: int  # pairs of ranked methods that the tests leave in any order
    pairs: int


def of(standing: ScenarioStanding, cases: Sequence[Case]) -> Health:
    """The health of one scenario; `cases` are its own."""
    sign = 1.0 if standing.problem.higher_is_better else -1.0
    ranked = [row for row in standing.ranked if row.score]
    means = [row.score.mean for row in ranked if row.score]
    nothing, source = _nothing(standing, cases)
    pairs = list(combinations(ranked, 2))
    return Health(
        standing.scenario.name,
        standing.problem.metric,
        len(ranked),
        sign * max(sign * mean for mean in means) if means else None,
        median(means) if means else None,
        standing.anchor.reference.value if standing.anchor else None,
        standing.anchor.ceiling.value if standing.anchor else None,
        standing.separable.difference if standing.separable else None,
        min((len(row.entry.runs) for row in ranked), default=0),
        nothing,
        source,
        sum(_overlap(a, b) for a, b in pairs),
        len(pairs),
    )


def _nothing(standing: ScenarioStanding, cases: Sequence[Case]) -> tuple[float | None, str]:
    for row in standing.rows:
        if row.method == BASE and row.comparable and row.score:
            return row.score.mean, BASE
    untrained = [f.untrained for case in cases for f in case.facts if f.untrained is not None]
    if untrained:
        return fmean(untrained), "untrained"
    floor = standing.problem.metric_floor
    return (floor, "floor") if math.isfinite(floor) else (None, "")


def _overlap(a: Row, b: Row) -> bool:
    if not a.ranks or not b.ranks:
        return False
    return a.ranks[0] <= b.ranks[1] and b.ranks[0] <= a.ranks[1]


def findings(
    suite: str, cases: Sequence[Case], health: Sequence[Health], items: Mapping[str, int]
) -> list[Finding]:
    """Everything about the health of a suite's scenarios; `items`: test items, by scenario."""
    there: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        there[case.scenario].append(case)
    found = _saturated(suite, health)
    for one in health:
        own = there[one.scenario]
        found += _unbeaten(suite, one, own)
        found += _inseparable(suite, one) if _within_noise(one) is None else []
        found += _far(suite, own)
        found += _failed(suite, one, own)
    return found + _few_items(suite, there, items)


_CALLED = {
    BASE: "the row of doing nothing",
    "untrained": "the untrained network",
    "floor": "a method that learns nothing",
}


def _unbeaten(suite: str, health: Health, cases: Sequence[Case]) -> list[Finding]:
    """Rows that are not shown to be above what doing nothing scores.

    Where that was run the board has tested each against it; else it is held to be a constant.
    """
    if health.nothing is None:
        return []

    low = [
        (case.scenario, case.method)
        for case in cases
        if (case.row.idle if health.nothing_is == BASE else _at_most(case, health.nothing))
    ]
    if not low:
        return []
    ranked = [case for case in cases if case.row.ranks]
    every = "every ranked method, " if {c.method for c in ranked} <= {m for _, m in low} else ""
    return [
        Finding(
            "do-nothing",
            suite,
            f"{formats.name(health.scenario)}: {every}{some(method for _, method in low)} "
            f"{'does' if len(low) == 1 else 'do'} not end above {_CALLED[health.nothing_is]} "
            f"({_shown(health.nothing)} {formats.words(health.metric)}).",
            "Do not read these ranks as progress; look at the tuning ranges, or say why learning "
            "cannot pay here.",
            tuple(low),
        )
    ]


def _at_most(case: Case, constant: float) -> bool:
    """Whether the interval of a row does not lie above a constant."""
    score = case.row.score
    if score is None:
        return False
    return case.sign * (score.mean - constant) <= (score.half_width or 0.0)


def _within_noise(health: Health) -> float | None:
    """How far the reference, the median, the best and the ceiling lie apart, if that is noise."""
    known = (health.best, health.middle, health.reference, health.ceiling)
    points = [value for value in known if value is not None]
    if health.smallest is None or health.reference is None or health.ranked < 2:
        return None
    spread = max(points) - min(points)
    return spread if spread <= health.smallest else None


def _saturated(suite: str, health: Sequence[Health]) -> list[Finding]:
    within = [(one, spread) for one in health if (spread := _within_noise(one)) is not None]
    if not within:
        return []
    told = (f"{one.scenario} {_shown(spread)} of {_shown(one.smallest or 0.0)}"
            for one, spread in within)  # fmt: skip
    return [
        Finding(
            "saturated",
            suite,
            f"On {len(within)} of {formats.quantity(len(health), 'scenario')} the reference, the "
            "median, the best and the ceiling lie within the smallest difference that can be "
            f"separated: {some(told)}.",
            "Ranks here say little: make the problems harder, or add seeds or test items.",
        )
    ]


def _inseparable(suite: str, health: Health) -> list[Finding]:
    """Most pairs of ranked methods stay in any order."""
    if health.ranked < 3 or 2 * health.open <= health.pairs:
        return []
    at_best = (
        f"; a difference of {_shown(health.smallest)} is separated with probability "
        f"{statistics.POWER:g}, by {formats.quantity(health.seeds, 'seed')}"
        if health.smallest is not None
        else ""
    )
    return [
        Finding(
            "separation",
            suite,
            f"{formats.name(health.scenario)}: {health.open} of "
            f"{formats.quantity(health.pairs, 'pair')} of ranked methods stay in any order"
            f"{at_best}.",
            "Add seeds or test items, or read only the rank sets.",
        )
    ]


def _far(suite: str, cases: Sequence[Case]) -> list[Finding]:
    """Seeds that stand apart from the others of their row."""
    apart = cases[0].standing.apart if cases else ()
    told = []
    for one in apart:
        value = next(run.value for run in one.row.entry.runs if run.seed == one.seed)
        middle = _shown(value - one.deviation)
        told.append(f"{one.row.method} seed {one.seed} ({_shown(value)}, median {middle})")
    if not told:
        return []
    name = cases[0].scenario
    return [
        Finding(
            "outliers",
            suite,
            f"{formats.name(name)}: seeds far from the others of their row: {some(told, 4)}.",
            "A mean hides them: look at these runs, and add seeds.",
            tuple(dict.fromkeys((name, one.row.method) for one in apart)),
        )
    ]


def _failed(suite: str, health: Health, cases: Sequence[Case]) -> list[Finding]:
    failed = [(case, len(case.row.entry.failures)) for case in cases if case.row.entry.failures]
    if not failed:
        return []
    runs = sum(len(case.row.entry.runs) for case in cases)
    return [
        Finding(
            "failures",
            suite,
            f"{formats.name(health.scenario)}: {sum(n for _, n in failed)} of "
            f"{formats.quantity(runs, 'run')} failed and count as the floor: "
            f"{some(f'{case.method} {n}' for case, n in failed)}.",
            "Read why: bench results --failures; mend the method, or say that it cannot do this.",
            tuple((case.scenario, case.method) for case, _ in failed),
        )
    ]


def _few_items(
    suite: str, cases: Mapping[str, Sequence[Case]], items: Mapping[str, int]
) -> list[Finding]:
    """Pairs that the tests separate by fewer test items than a sign test needs."""
    rows, told = [], []
    for scenario, there in cases.items():
        count = items.get(scenario, 0)
        means = [(c.sign * c.row.score.mean, c) for c in there if c.row.ranks and c.row.score]
        if not count or not all(_right_or_wrong(case, count) for _, case in means):
            continue
        for (one, a), (other, b) in combinations(means, 2):
            better, worse = (a, b) if one > other else (b, a)
            there_are = min(_different(a) or count, _different(b) or count)
            apart = abs(one - other) * there_are
            if apart < FEWEST_ITEMS and not _overlap(a.row, b.row):
                rows += [(scenario, better.method), (scenario, worse.method)]
                told.append(
                    f"{better.method} before {worse.method} on {scenario} by {apart:.1f} of "
                    f"{formats.count(there_are)} items"
                )
    if not rows:
        return []
    return [
        Finding(
            "items",
            suite,
            f"The tests separate {formats.quantity(len(told), 'pair')} of methods that differ "
            f"by fewer than {FEWEST_ITEMS} test items: {some(told, 3)}.",
            "Where seeds share their test items such an order is of these items: add some; where "
            "records do not say which were tested, run them again, and tests are over items too.",
            tuple(dict.fromkeys(rows)),
        )
    ]


def _different(case: Case) -> int:
    """How many items its runs tested, each once; 0 where that is not known."""
    items = case.row.entry.items
    return len(np.unique(np.concatenate(items.ids))) if items else 0


def _right_or_wrong(case: Case, items: int) -> bool:
    """Whether scores are shares of items that are right: whole numbers of them."""
    right = [run.value * items for run in case.row.entry.runs if not run.failed]
    return all(abs(value - round(value)) < 1e-6 for value in right)


def _shown(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
