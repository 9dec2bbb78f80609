"""Tuning: settings at an edge, too few trials, what more trials would bring, and transfer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import comb

import numpy as np

from leaderboard import formats
from leaderboard.auditing.evidence import Case, Pair
from leaderboard.auditing.finding import Finding, by_method, some
from leaderboard.auditing.ranges import Dimension, is_number

EDGE = 0.1
"""The outermost tenth of a range, at either end, is its edge."""
SHARE = 0.5
"""Of a method's scenarios: a setting at the same edge on fewer is left to chance."""
FEW_TRIALS = 8
"""Where no record says how many trials its scenario states."""
ENOUGH_SETTINGS = 6
"""Of fewer settings a rank correlation says nothing."""
TRANSFERS = 0.5
"""A smaller rank correlation means that settings do not transfer."""
MADE_UP = 0.5
"""Share of a separated difference that more trials must be expected to make up to be told."""


# --- the edge of a range ------------------------------------------------------------------------


def edges(suite: str, cases: Sequence[Case]) -> list[Finding]:
    """Per method, hyper-parameter and end: selected there on half of its scenarios or more."""
    tuned: dict[str, set[str]] = defaultdict(set)
    met: dict[tuple[str, str, str], list[tuple[Case, bool]]] = defaultdict(list)
    for case in cases:
        names = searched(case)
        if names:
            tuned[case.method].add(case.scenario)
        for name in names:
            end, extreme = _end(case, name)
            if end:
                met[case.method, name, end].append((case, extreme))
    found = []
    for (method, name, end), there in sorted(met.items(), key=lambda item: item[0]):
        of = len(tuned[method])
        ranged = not all(extreme for _, extreme in there)
        if len(there) < SHARE * of or (len(there) == 1 and not ranged):
            continue
        values = [case.setting[name] for case, _ in there]
        found.append(
            Finding(
                "edge",
                suite,
                f"{formats.name(method)}: {_what(name, end, [e for _, e in there])} on "
                f"{len(there)} of {formats.quantity(of, 'scenario')} ({_span(values)}"
                f"{_ends(there[0][0], name)}).",
                f"The best {formats.name(name)} may lie beyond: widen its range "
                f"{'upwards' if end == 'highest' else 'downwards'} and tune it again.",
                tuple((case.scenario, method) for case, _ in there),
            )
        )
    return found


def searched(case: Case) -> list[str]:
    """The hyper-parameters that its tuning varied, by name."""
    if case.space is not None:
        return sorted(case.space.keys() & case.setting.keys())
    values = [{repr(t.setting.get(name)) for t in case.trials} for name in sorted(case.setting)]
    return [name for name, seen in zip(sorted(case.setting), values, strict=True) if len(seen) > 1]


def _end(case: Case, name: str) -> tuple[str, bool]:
    """("highest", "lowest" or "", whether it is seen from the values that were tried only)."""
    value = case.setting[name]
    if not is_number(value):
        return "", False
    dimension = case.space.get(name) if case.space else None
    place = dimension.place(value) if dimension else None
    if place is not None and (place <= EDGE or place >= 1 - EDGE):
        return ("lowest" if place <= EDGE else "highest"), False
    tried = {t.setting[name] for t in case.trials if is_number(t.setting.get(name))}
    if len(tried) >= 3 and value in (min(tried), max(tried)) and _ordered(case, name, dimension):
        return ("lowest" if value == min(tried) else "highest"), True
    return "", False


def _ordered(case: Case, name: str, dimension: Dimension | None) -> bool:
    """A range without ends, such as a choice of two, has no edge either."""
    return dimension is not None or not case.space or name not in case.space


def _what(name: str, end: str, extremes: Sequence[bool]) -> str:
    shown = formats.name(name)
    if all(extremes):
        return f"the trial with the {end} {shown} won"
    edge = "upper" if end == "highest" else "lower"
    return f"the selected {shown} lies at the {edge} edge of its range"


def _span(values: Iterable[float]) -> str:
    low, high = min(values := list(values)), max(values)
    shown = formats.setting(low)
    return shown if low == high else f"{shown} to {formats.setting(high)}"


def _ends(case: Case, name: str) -> str:
    dimension = case.space.get(name) if case.space else None
    if dimension is None:
        return ""
    ends = f"{formats.setting(dimension.low)} to {formats.setting(dimension.high)}"
    return f"; its range is {ends}"


# --- trials -------------------------------------------------------------------------------------


def few_trials(suite: str, cases: Sequence[Case]) -> list[Finding]:
    """Rows that were tuned with fewer trials than their scenario states, or than FEW_TRIALS."""
    short: dict[tuple[int, int, bool], list[tuple[str, str]]] = defaultdict(list)
    for case in cases:
        enough = FEW_TRIALS if case.stated is None else case.stated
        nothing = case.space is not None and not case.space
        if case.tried is not None and case.tried < enough and not nothing:
            short[case.tried, enough, case.stated is not None].append((case.scenario, case.method))
    return [
        Finding(
            "few trials",
            suite,
            f"{formats.quantity(len(rows), 'row')} of {some(scenario for scenario, _ in rows)} "
            f"{'was' if len(rows) == 1 else 'were'} tuned with {formats.quantity(tried, 'trial')}, "
            f"fewer than {'the scenario states' if known else 'usual'} ({enough}): "
            f"{some(by_method(rows))}.",
            f"Which settings were drawn decides: bench run {formats.name(suite)} "
            f"--trials {enough}, or do not rank them.",
            tuple(rows),
        )
        for (tried, enough, known), rows in sorted(short.items())
    ]


@dataclass(frozen=True, slots=True)
class Growth:
    """How the best score of a tuning grows with its trials, in the scenario's own direction.

    `half` and `all` are expected over which of the trials are drawn, without replacement: the
    order-statistic curve of J. Dodge et al., 2019, "Show Your Work",
    https://arxiv.org/abs/1909.03004. `more` is how much better the best of twice as many is
    expected to be. It assumes that good scores have an exponential tail: then the best two trials
    lie one scale apart (A. Renyi, 1953), and n more trials bring 1/(n+1) + ... + 1/(2n) of it.
    """

    trials: int
    half: float
    all: float
    more: float  # 0 or above: better


def growth(case: Case) -> Growth | None:
    """Of a tuning with two trials or more that have a score. A failed one gets the floor."""
    alive = sorted((case.sign * t.score for t in case.trials if t.score is not None), reverse=True)
    count = len(case.trials)
    if len(alive) < 2:
        return None
    floor = case.sign * case.standing.problem.metric_floor
    worst = min(alive[-1], floor) if np.isfinite(floor) else alive[-1]
    scores = [*alive, *[worst] * (count - len(alive))]
    return Growth(
        count,
        case.sign * expected_best(scores, count // 2),
        case.sign * expected_best(scores, count),
        (alive[0] - alive[1]) * sum(1 / k for k in range(count + 1, 2 * count + 1)),
    )


def expected_best(scores: Sequence[float], drawn: int) -> float:
    """Expected highest of `drawn` of these scores, drawn without replacement; higher is better."""
    total = comb(len(scores), drawn)
    return sum(x * (comb(i, drawn - 1) / total) for i, x in enumerate(sorted(scores)))


def more_trials(suite: str, cases: Sequence[Case]) -> list[Finding]:
    """Per scenario: pairs that the tests separate, of which more trials make up MADE_UP or more."""
    found = []
    for there in by_scenario(cases):
        ranked = [case for case in there if case.row.ranks and case.row.score]
        gains = {case.method: g.more for case in ranked if (g := growth(case))}
        near = []
        for better, worse in permutations(ranked, 2):
            nearer = gains.get(worse.method, 0.0) - gains.get(better.method, 0.0)
            apart = _mean(better) - _mean(worse)
            if _separated(better, worse) and nearer >= MADE_UP * apart:
                near.append((better, worse, nearer, apart))
        if not near:
            continue
        scenario = formats.name(there[0].scenario)
        told = (
            f"{formats.name(worse.method)} to {formats.name(better.method)} ({nearer:.2g} of "
            f"{apart:.2g})"
            for better, worse, nearer, apart in sorted(near, key=lambda one: one[3] - one[2])
        )
        trials = 2 * max(case.tried or 1 for case in ranked)
        found.append(
            Finding(
                "more trials",
                suite,
                f"{scenario}: twice as many trials are expected to bring nearer, or past: "
                f"{some(told, 3)}.",
                f"Tune with more: bench run {formats.name(suite)}/{scenario} --trials {trials}",
                tuple(dict.fromkeys((worse.scenario, worse.method) for _, worse, _, _ in near)),
            )
        )
    return found


def by_scenario(cases: Iterable[Case]) -> list[list[Case]]:
    """Cases by scenario, in their order."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.scenario, []).append(case)
    return list(groups.values())


def _separated(better: Case, worse: Case) -> bool:
    return bool(better.row.ranks and worse.row.ranks and better.row.ranks[1] < worse.row.ranks[0])


def _mean(case: Case) -> float:
    """Higher is better."""
    return case.sign * case.row.score.mean if case.row.score else -np.inf


# --- transfer -----------------------------------------------------------------------------------


def transfer(pairs: Sequence[Pair]) -> float | None:
    """Spearman's rank correlation of settings between the two sides; None where it has none."""
    if len(pairs) < 3:
        return None
    x, y = (_ranks(v) for v in ([p.tuning for p in pairs], [p.evaluation for p in pairs]))
    if x.std() == 0 or y.std() == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Ranks from 1, equal values sharing their mean; scipy.stats takes half a second to load."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], np.float64)


def transfers(suite: str, cases: Sequence[Case]) -> list[Finding]:
    """Per scenario: methods whose settings rank otherwise on the evaluation side."""
    found = []
    for there in by_scenario(cases):
        known = [(case, rho) for case in there if (rho := transfer(case.pairs)) is not None]
        enough = [(case, rho) for case, rho in known if len(case.pairs) >= ENOUGH_SETTINGS]
        low = sorted(((c, rho) for c, rho in enough if rho < TRANSFERS), key=lambda one: one[1])
        if low:
            scenario = formats.name(there[0].scenario)
            shown = some(f"{case.method} {formats.fixed(rho, 2)}" for case, rho in low)
            middle = formats.fixed(float(np.median([rho for _, rho in enough])), 2)
            found.append(
                Finding(
                    "transfer",
                    suite,
                    f"{scenario}: the settings of {shown} rank otherwise on the evaluation problem "
                    f"(Spearman; median of {formats.quantity(len(enough), 'method')}: {middle}).",
                    "Tuning cannot choose for them here: make the tuning side more like the "
                    "evaluation side, and do not read their ranks.",
                    tuple((case.scenario, case.method) for case, _ in low),
                )
            )
    return found
