"""What the harness sees of a run and of the weights that it delivers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from harness.contract.terms import Array

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Point:
    """Where a run stood at one evaluation. Time and samples count learning only."""

    experience: int  # position in the stream of the experience being learned
    samples_seen: int
    train_seconds: float
    train_cpu_seconds: float
    quality: float  # on validation data if there is any, else mean over tests of what has begun
    constraint_met: bool | None = None  # by the weights at this point; None without a constraint
    measures: Mapping[str, float] = field(default_factory=dict)
    """What the audit, `Scenario.measure` and `Scenario.secondary` found at this point, and what had
    been spent by then, as "spent/generated_tokens"."""
    train_flops: int | None = None  # so far, from a pass of its own; None: not counted
    train_joules: float | None = None  # so far, got as the record's `energy_joules`


@dataclass(frozen=True)
class Trace:
    """What the harness saw of one run, handed to `Scenario.metrics`."""

    quality: Array  # (experiences, tests) float64, after learning each experience
    untrained: Array | None = None  # (tests,), before any training; None if not asked for
    points: tuple[Point, ...] = ()  # every evaluation, the one after the last batch at the end
    measures: Mapping[str, float] = field(default_factory=dict)  # of the last point
    spent: Mapping[str, int] = field(default_factory=dict)  # as `Cost.spent` in the record


@dataclass(frozen=True)
class Audit:
    """What a constraint found in delivered weights."""

    violations: tuple[str, ...] = ()  # one sentence each, saying by how much
    measures: Mapping[str, float] = field(default_factory=dict)  # e.g. {"nonzero_fraction": .02}


class Constraint(Protocol):
    """What delivered weights must satisfy, e.g. a share of zeros."""

    def audit(
        self,
        weights: Mapping[str, Tensor],
        encoded: Mapping[str, Tensor],
        initial: Mapping[str, Array],
    ) -> Audit:
        """Check the delivered state dict, parameters and buffers, in the harness' process.

        `encoded` is what the method delivered beside it as `self.encoded`, a mapping of names to
        tensors (codes and scales, say) from which the constraint can rebuild the weights.
        `initial` is `Stream.initial_weights`, empty where the scenario has none.
        """
