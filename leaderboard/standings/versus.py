"""Two methods against each other, per scenario and over a suite: difference, interval, verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import HeldoutError, did_you_mean
from harness.records.record import BASE
from leaderboard import statistics
from leaderboard.standings.board import BOUND, NOTHING, RANKED_PROTOCOL
from leaderboard.standings.standings import Row, ScenarioStanding, SuiteStanding

SUITE = "over the suite"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first method minus the second, above 0 where the first is better."""

    place: str  # a scenario's name, or SUITE
    difference: float | None
    half_width: float | None  # of the 95 % interval; None: no seed variance, or no difference
    improvement: float | None  # how often a run of the first beats one of the second
    improvement_ends: tuple[float, float] | None  # of its 95 % interval; None: no seed variance
    seeds: tuple[int, int]  # runs of either
    p: float | None  # of scenarios Holm-corrected over all of them
    verdict: str


def compare(standing: SuiteStanding, one: str, two: str) -> list[Difference]:
    """Every scenario that either method has, then the suite.

    The scenarios are one family of tests; the test over the suite is one planned test. Over the
    suite the difference is between normalised scores, over the scenarios with frozen anchors that
    both methods cover.
    """
    for method in (one, two):
        if method not in standing.suite.methods:
            raise HeldoutError(
                f"no run in {standing.suite.name} names a method {method!r}"
                f"{did_you_mean(method, standing.suite.methods)}; see: bench results"
            )
    if one == two:
        raise HeldoutError(f"{one!r} is compared with itself; name two methods")
    found = [(s, _row(s, one), _row(s, two)) for s in standing.scenarios]
    tested = {s.scenario.name: _samples(s, a, b) for s, a, b in found if _usable(a) and _usable(b)}
    contrasts = {name: statistics.between([a], [b]) for name, (a, b) in tested.items()}
    adjusted = statistics.holm([contrast.p.item() for contrast in contrasts.values()])
    p = {name: float(value) for name, value in zip(contrasts, adjusted, strict=True)}
    lines = []
    for scenario, a, b in found:
        name = scenario.scenario.name
        if name in tested:
            lines.append(_line(name, [tested[name]], contrasts[name], p[name], one, two))
        elif not (_lacking(a) and _lacking(b)):
            lines.append(_nothing(name, a, b, one, two))
    shared = [
        tuple(_normalised(scenario, sample) for sample in tested[scenario.scenario.name])
        for scenario, _, _ in found
        if scenario.anchor and scenario.problem.bounded and scenario.scenario.name in tested
    ]
    if shared:
        pairs = [(a, b) for a, b in shared]
        contrast = statistics.between([a for a, _ in pairs], [b for _, b in pairs])
        lines.append(_line(SUITE, pairs, contrast, contrast.p.item(), one, two))
    return lines


_Pair = tuple[statistics.Sample, statistics.Sample]


def _row(standing: ScenarioStanding, method: str) -> Row | None:
    rows = [r for r in standing.rows if r.method == method]
    usual = [r for r in rows if r.entry.protocol == RANKED_PROTOCOL and not r.entry.debugging]
    usual = rows if method == BASE else usual
    return next((r for r in usual if not (r.entry.own_budget or r.entry.apart)), None)


def _usable(row: Row | None) -> bool:
    if row is None or row.entry.unranked not in ("", BOUND, NOTHING):
        return False
    return len(row.entry.runs) >= statistics.MINIMUM_SEEDS


def _lacking(row: Row | None) -> bool:
    return row is None or bool(row.lacking)


def _samples(standing: ScenarioStanding, a: Row | None, b: Row | None) -> _Pair:
    sign = 1.0 if standing.problem.higher_is_better else -1.0
    one, two = (
        statistics.Sample(
            tuple(run.seed for run in row.entry.runs),
            tuple(sign * run.value for run in row.entry.runs),
            row.entry.items.scaled(sign) if row.entry.items else None,
        )
        for row in (a, b)
        if row is not None
    )
    return one, two


def _normalised(standing: ScenarioStanding, sample: statistics.Sample) -> statistics.Sample:
    anchor = standing.anchor
    assert anchor is not None
    width = abs(anchor.ceiling.value - anchor.floor.value)
    return statistics.Sample(
        sample.seeds,
        tuple(value / width for value in sample.values),
        sample.items.scaled(1 / width) if sample.items else None,
    )


def _line(
    place: str,
    pairs: Sequence[_Pair],
    contrast: statistics.Contrast,
    p: float,
    one: str,
    two: str,
) -> Difference:
    value, width = contrast.value.item(), contrast.half_width.item()
    share, _ = statistics.probability_of_improvement(
        [a.values for a, _ in pairs], [b.values for _, b in pairs]
    )
    better = one if value > 0 else two
    verdict = f"{better} is better" if p <= statistics.ALPHA else "no difference shown"
    if math.isnan(width):
        verdict += ", no seed variance"
    return Difference(
        place,
        value,
        None if math.isnan(width) else width,
        float(share.value),
        None if math.isnan(float(share.low)) else (float(share.low), float(share.high)),
        (sum(len(a.values) for a, _ in pairs), sum(len(b.values) for _, b in pairs)),
        p,
        verdict,
    )


def _nothing(place: str, a: Row | None, b: Row | None, one: str, two: str) -> Difference:
    reasons = [
        f"{method}: {'not run' if row is None else _why(row)}"
        for method, row in ((one, a), (two, b))
        if not _usable(row)
    ]
    counts = [len(row.entry.runs) if row else 0 for row in (a, b)]
    return Difference(
        place, None, None, None, None, (counts[0], counts[1]), None, "; ".join(reasons)
    )


def _why(row: Row) -> str:
    return f"not applicable ({row.lacking})" if row.lacking else row.why_unranked
