"""What further passes over a run add to its outcome: steadier costs, and FLOPs. Pure functions.

All passes are the same run: same key, so the same weights and predictions (law 10). One that came
out differently adds nothing, and the costs of the first pass stand as they are.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from harness.proctor.outcome import Outcome
from harness.records.record import Cost

MAX_REPETITIONS = 60


def wanted(outcome: Outcome, window_seconds: float) -> int:
    """How many passes after the first, a warm-up that counts for nothing, fill the window.

    One at least; 0 where there is no window, or where the first pass failed.
    """
    seconds = outcome.cost.train_seconds
    if outcome.failure is not None or not seconds or not window_seconds:
        return 0
    return max(1, min(math.ceil(window_seconds / seconds), MAX_REPETITIONS))


def same(one: Outcome, other: Outcome) -> bool:
    """Whether two passes came to the same end."""
    return (one.failure, one.weights_sha256, one.predictions, one.quality_matrix) == (
        other.failure,
        other.weights_sha256,
        other.predictions,
        other.quality_matrix,
    ) and len(one.curve) == len(other.curve)


def with_repetitions(first: Outcome, repeated: Sequence[Outcome]) -> Outcome:
    """The outcome with time and energy as means over repetitions, the first pass left out."""
    if not repeated or not all(same(first, outcome) for outcome in repeated):
        return first
    costs = [outcome.cost for outcome in repeated]
    cost = replace(
        first.cost,
        wall_seconds=_mean([cost.wall_seconds for cost in costs]),
        cpu_seconds=_mean([cost.cpu_seconds for cost in costs]),
        train_seconds=_mean([cost.train_seconds for cost in costs]),
        train_cpu_seconds=_mean([cost.train_cpu_seconds for cost in costs]),
        predict_seconds=_mean([cost.predict_seconds for cost in costs]),
        predict_cpu_seconds=_mean([cost.predict_cpu_seconds for cost in costs]),
        energy_components={
            name: statistics.fmean(cost.energy_components[name] for cost in costs)
            for name in first.cost.energy_components
        },
        repetitions=len(repeated),
    )
    curve = tuple(
        replace(
            point,
            train_seconds=statistics.fmean(p.train_seconds for p in points),
            train_cpu_seconds=statistics.fmean(p.train_cpu_seconds for p in points),
            train_joules=_mean([p.train_joules for p in points]),
        )
        for point, *points in zip(
            first.curve, *(outcome.curve for outcome in repeated), strict=True
        )
    )
    return replace(first, cost=cost, curve=curve)


def _mean(values: Sequence[float | None]) -> float | None:
    """None where one is not known."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def with_flops(outcome: Outcome, counted: Outcome) -> Outcome:
    """The outcome with the FLOPs of a pass that counted them."""
    if not same(outcome, counted):
        return outcome
    cost: Cost = replace(
        outcome.cost,
        train_flops=counted.cost.train_flops,
        predict_flops=counted.cost.predict_flops,
    )
    curve = tuple(
        replace(point, train_flops=other.train_flops)
        for point, other in zip(outcome.curve, counted.curve, strict=True)
    )
    return replace(outcome, cost=cost, curve=curve)


def without_joules(outcome: Outcome) -> Outcome:
    """The outcome without what counters said that do not cover its device: no curve mixes both."""
    curve = tuple(replace(point, train_joules=None) for point in outcome.curve)
    return replace(outcome, cost=replace(outcome.cost, energy_components={}), curve=curve)


def with_energy(outcome: Outcome, joules_per_cpu_second: float | None) -> Outcome:
    """The outcome with joules along the curve, from CPU seconds where no counter gave them."""
    if joules_per_cpu_second is None:
        return outcome
    curve = tuple(
        point
        if point.train_joules is not None
        else replace(point, train_joules=joules_per_cpu_second * point.train_cpu_seconds)
        for point in outcome.curve
    )
    return replace(outcome, curve=curve)


def contended(cost: Cost, threads: int) -> bool | None:
    """Whether training used less than 0.9 of the CPU time its threads had: it waited for others."""
    wall, cpu = cost.train_seconds, cost.train_cpu_seconds
    if not wall or cpu is None:
        return None
    return cpu / wall < 0.9 * threads
