"""Rules on what the stopwatch shows: a run must not look cheaper than it is.

Each raises RunFailure("budget") with what to do. The clock is the proctor's, so no claim of the
method's process enters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.contract import Budget
from harness.errors import RunFailure
from harness.metering.meter import Stopwatch

SHARE, SECONDS = 0.1, 2.0  # of a budget in seconds: the last step, what follows it
CORES_SHARE, CORES_SECONDS = 1.25, 0.2  # of the CPU time that a run's threads have, and beyond it
ANSWERING_SHARE, ANSWERING_SECONDS = 3.0, 0.1  # of learning, and beyond it


def of_seconds(watch: Stopwatch, limit: float | None) -> None:
    """Training took longer than a budget in seconds allows.

    The iterator in the method's process ends in time by a clock that a method could stop.
    """
    taken = watch.train_seconds
    if limit is not None and taken > limit * (1 + SHARE) + SECONDS:
        raise RunFailure(
            "budget",
            f"trained for {taken:.1f} s; the budget allows {limit:g} s: end `learn` when "
            "`batches` ends",
        )


def of_cores(watch: Stopwatch, threads: int) -> None:
    """More cores were at work than the run has, so that its seconds would be cheap."""
    wall, cpu = watch.train_seconds, watch.train_cpu_seconds
    if cpu > threads * wall * CORES_SHARE + CORES_SECONDS:
        raise RunFailure(
            "budget",
            f"kept {cpu / wall:.1f} cores busy while learning; a run has {threads}: start no "
            "threads of your own",
        )


def has_own_budget(limits: Mapping[str, Any], budget: Budget) -> bool:
    """Whether the limits of a run are others than its scenario's: it is ranked nowhere."""
    return any(
        limits[name] != getattr(budget, name) for name in ("epochs", "steps", "seconds", "patience")
    )


def of_answering(watch: Stopwatch) -> None:
    """Learning may have been put off until it costs nothing: `predict` is off the clock.

    For scenarios that judge cost, on their own budget: a shorter run learns less and answers as
    often. What can be hidden in answers stays, but is bounded.
    """
    learning, answering = watch.train_cpu_seconds, watch.predict_cpu_seconds
    if answering > learning * ANSWERING_SHARE + ANSWERING_SECONDS:
        raise RunFailure(
            "budget",
            f"answering took {answering:.2f} CPU seconds, learning {learning:.2f}; where cost is "
            f"judged it may be {ANSWERING_SHARE:g} times as much: learn in `learn`, and answer "
            "whole batches",
        )
