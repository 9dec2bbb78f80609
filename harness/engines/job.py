"""A run to be done, and the record of one that was."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.contract import Scenario
from harness.declared import Declaration
from harness.engines import repetition
from harness.metering import machine
from harness.metering.energy import HardwareModel
from harness.proctor import targets
from harness.proctor.outcome import Outcome
from harness.records.record import BASE, Record, RunSpec, Selection


@dataclass(frozen=True)
class Job:
    """A run to be done, with what is needed beside its specification."""

    spec: RunSpec
    scenario: Scenario
    target: str  # the method, as the method's process imports it
    budget_standard: bool
    declaration: Declaration  # as the method was asked before its runs, not as it says in one
    selection: Selection | None = None
    borders: bool = True  # without, one process learns and answers: to see whether it differs


def recorded(job: Job, outcome: Outcome, started_at: str, model: HardwareModel) -> Record:
    """The record of a run on this machine, `model` being what is known of its energy."""
    spec, metric = job.spec, job.scenario.metric
    if spec.method != BASE:  # which spent nothing, and no energy
        outcome = repetition.with_energy(outcome, model.joules_per_cpu_second(spec.device))
        if outcome.cost.energy_provenance != "measured":
            outcome = replace(outcome, cost=model.estimated(outcome.cost, spec.device))
    cost = outcome.cost
    cost = replace(cost, contended=repetition.contended(cost, spec.threads))
    reached = targets.costs(
        outcome.curve, job.scenario.targets, higher_is_better=metric.higher_is_better
    )
    return Record(
        spec=spec,
        tier=job.scenario.tier,
        budget_standard=job.budget_standard,
        status="failed" if outcome.failure else "ok",
        metric=metric.name,
        metric_unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        metric_floor=metric.floor,
        machine=machine.this_machine(),
        started_at=started_at,
        isolation=outcome.isolation,
        cost=cost,
        score=None if outcome.failure else outcome.metrics[metric.name],
        metrics={} if outcome.failure else {**outcome.metrics, **reached},
        quality_matrix=outcome.quality_matrix,
        untrained_quality=outcome.untrained_quality,
        curve=outcome.curve,
        predictions=outcome.predictions,
        outcomes=outcome.outcomes,
        tested=outcome.tested,
        parameters=outcome.parameters,
        weights_sha256=outcome.weights_sha256,
        carried_bytes=outcome.carried_bytes,
        selection=job.selection,
        failure=outcome.failure,
        unhashed_modules=outcome.unhashed_modules,
    )
