"""What came of a run, as far as its record is concerned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.contract import Point
from harness.records.record import Cost, Failure, Isolation, ItemScores, Prediction


@dataclass(frozen=True)
class Outcome:
    """All that a proctor has to say at the end."""

    cost: Cost
    isolation: Isolation = "process"  # that was in force, as the engine saw it
    failure: Failure | None = None
    killed: bool = False  # by a signal that anybody may have sent: nobody's failure as yet
    quality_matrix: tuple[tuple[float, ...], ...] = ()
    untrained_quality: tuple[float, ...] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[Point, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    outcomes: tuple[ItemScores, ...] = ()
    tested: tuple[tuple[int, ...], ...] = ()
    parameters: int | None = None
    weights_sha256: str | None = None
    carried_bytes: tuple[int, ...] = ()
    unhashed_modules: tuple[str, ...] = ()
