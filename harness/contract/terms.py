"""The words that suites, methods and harness have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy.typing as npt

Array = npt.NDArray[Any]

SideName = Literal["tuning", "evaluation"]
Tier = Literal["core", "full"]
Deliverable = Literal["predictions", "weights"]

CONTRACT_VERSION = 1
"""Part of every run's key: raised when the harness itself would change a run's outcome."""


@dataclass(frozen=True)
class Call:
    """A function named as data, so that it can cross a process border and enter a run's key.

    `target` is "package.module:function"; calling it with `arguments` (JSON values) builds the
    thing: a network, a constraint.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    formerly: str = ""  # its first target, where the function has moved since records were made

    @property
    def identity(self) -> str:
        """The target by which it counts in run keys and seeds, wherever the function lies now."""
        return self.formerly or self.target


@dataclass(frozen=True)
class Budget:
    """What a run may spend; None means not limited. The same for every method of a scenario."""

    epochs: float | None = None  # passes over each experience's own samples, repeats counted
    steps: int | None = None  # batches per experience
    seconds: float | None = None  # of training; ends `batches()` at the next batch, over-run kept
    limit_seconds: float = 600.0  # of the whole run; then it is killed and recorded as a time-out
    memory_bytes: int | None = 4 << 30  # address space the run may add to what it starts with
    patience: int | None = None
    """Early stopping, one rule for all methods: `batches()` ends when so many evaluation points
    within an experience have brought no better quality than the best before them."""
    exemplars: int | None = None
    """Training samples that may be kept beyond an experience, all classes together."""
    carried_bytes: int | None = None
    """What a method's state may have at the end of an experience, pickled; the problem apart."""
    spend: Mapping[str, int] = field(default_factory=dict)
    """Limits by name of what is counted beside samples, per run: "reward_calls" (counted by the
    harness), "generated_tokens", "trained_tokens" (declared through `Experience.spend`)."""


LIFTABLE = frozenset({"exemplars", "carried_bytes"})
"""Limits that a method may be run without if it says so (`lifts`): it is a bound then, no rival."""
