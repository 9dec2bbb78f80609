"""The protocol: which runs there are, and which setting wins. Pure: records in, plans out.

Fairness lives here. Every method gets the same number of trials, the same points rule, the same
seeds and the same budget; failures are never replaced; evaluation sees a selection and nothing
else of the tuning phase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from harness import seeds, space
from harness.contract import CONTRACT_VERSION, Scalar, SideName
from harness.errors import HeldoutError
from harness.records.record import (
    SET_BY_HARNESS,
    Isolation,
    Phase,
    Protocol,
    Provenance,
    Record,
    RunSpec,
    Selection,
    TuningCost,
)

STUDY_SEED = 0  # of the Sobol sequence: the same points for everyone


@dataclass(frozen=True)
class Study:
    """One method on one scenario under one protocol: all that decides which runs there are."""

    suite: str
    scenario: str
    scenario_version: int
    scenario_hash: str
    fingerprints: Mapping[SideName, str]  # of each side's data
    higher_is_better: bool
    method: str
    method_hash: str
    defaults: Mapping[str, Scalar]  # every hyper-parameter
    space: space.Space
    budget: Mapping[str, Any]
    threads: int
    device: str
    libraries: Mapping[str, str]
    isolation: Isolation
    protocol: Protocol
    trials: int
    tuning_seeds: int
    seeds: int
    fixed: Mapping[str, Scalar]  # given by hand; with protocol "untuned" nothing is searched
    contract: int = CONTRACT_VERSION
    environment: Mapping[str, str] = field(default_factory=dict)  # variables let through, by name
    salt_sha256: str = ""  # of the results folder's salt

    @property
    def label(self) -> str:
        """How errors call this study."""
        return f"{self.method} on {self.suite}/{self.scenario}, {self.protocol}"


class IncompleteError(HeldoutError):
    """Evaluation was asked for without a finished tuning phase."""


PROTOCOLS: Mapping[str, tuple[Protocol, ...]] = {
    "heldout": ("heldout",),
    "conventional": ("conventional",),
    "untuned": ("untuned",),
    "both": ("heldout", "conventional"),
}
"""By what is asked for: the protocols of the studies that a method has on each scenario."""


def settings(study: Study) -> list[dict[str, Scalar]]:
    """The full setting of every trial, in order; a method with nothing to tune has one trial."""
    searched = {name: d for name, d in study.space.items() if name not in study.fixed}
    return [
        {**study.defaults, **point, **study.fixed}
        for point in space.points(searched, study.trials, STUDY_SEED)
    ]


def plan_tuning(study: Study) -> list[RunSpec]:
    """Every tuning run: trials x tuning seeds. Empty for the protocol `untuned`."""
    if study.protocol == "untuned":
        return []
    side: SideName = "evaluation" if study.protocol == "conventional" else "tuning"
    return [
        replace(_spec(study, side, "tuning", setting, seed), trial=trial)
        for trial, setting in enumerate(settings(study))
        for seed in seeds.tuning(study.tuning_seeds)
    ]


def select(study: Study, records: Mapping[str, Record]) -> Selection | None:
    """The setting with the best mean primary metric; None for the protocol `untuned`.

    `records` maps keys to finished tuning runs. A trial with a failed run has failed and cannot
    win; it is not replaced. Of equal trials the earlier wins. Raises IncompleteError while a run
    is missing, and HeldoutError when every trial has failed.
    """
    plan = plan_tuning(study)
    if not plan:
        return None
    missing = [spec for spec in plan if spec.key not in records]
    if missing:
        raise IncompleteError(
            f"{study.label} has no selection: {len(missing)} of {len(plan)} tuning runs are "
            f"missing; run: {_command(study, 'tuning')}"
        )
    scores = trial_scores([spec.key for spec in plan], study.tuning_seeds, records)
    best = best_trial(scores, higher_is_better=study.higher_is_better)
    if best is None:
        failures = [records[spec.key].failure for spec in plan]
        reason = next(failure.reason for failure in failures if failure is not None)
        raise HeldoutError(
            f"{study.label}: every one of {len(scores)} trials failed, so there is nothing to "
            f"evaluate; the first: {reason}"
        )
    return Selection(
        setting=settings(study)[best],
        trial=best,
        score=float(scores[best] or 0.0),
        trials=len(scores),
        failed_trials=scores.count(None),
        tuning_seeds=seeds.tuning(study.tuning_seeds),
        tuning_keys=tuple(spec.key for spec in plan),
        cost=tuning_cost([records[key] for key in dict.fromkeys(s.key for s in plan)]),
        evaluation_seeds=study.seeds,
    )


def plan_evaluation(study: Study, selection: Selection | None) -> list[RunSpec]:
    """Every evaluation run: the selected setting on the evaluation side, with fresh seeds.

    Without a selection only the protocol `untuned` has anything to run, marked so.
    """
    if selection is None:
        if study.protocol != "untuned":
            raise IncompleteError(
                f"{study.label} has no selection; run: {_command(study, 'tuning')}"
            )
        setting: Mapping[str, Scalar] = {**study.defaults, **study.fixed}
    else:
        setting = selection.setting
    fresh = seeds.evaluation(study.seeds)
    return [_spec(study, "evaluation", "evaluation", setting, seed) for seed in fresh]


def plan_reproduction(study: Study) -> list[RunSpec]:
    """Runs of a setting that others have reported, on the evaluation side; never ranked."""
    setting = {**study.defaults, **study.fixed}
    return [
        _spec(study, "evaluation", "reproduction", setting, seed)
        for seed in seeds.evaluation(study.seeds)
    ]


def tuning_cost(records: Sequence[Record]) -> TuningCost:
    """What tuning runs cost together; a sum over runs where one was not measured is None."""
    costs = [record.cost for record in records]
    provenances = {cost.energy_provenance for cost in costs}
    provenance: Provenance = provenances.pop() if len(provenances) == 1 else "unknown"
    joules = _total([cost.energy_joules for cost in costs]) if provenance != "unknown" else None
    samples = _total([cost.samples_seen for cost in costs])
    return TuningCost(
        runs=len(records),
        failed_runs=sum(record.status == "failed" for record in records),
        seconds=_total([cost.wall_seconds for cost in costs]),
        cpu_seconds=_total([cost.cpu_seconds for cost in costs]),
        energy_joules=joules,
        energy_provenance=provenance,
        samples=None if samples is None else int(samples),
    )


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(sum(known)) if len(known) == len(values) else None


def trial_scores(
    keys: Sequence[str], tuning_seeds: int, records: Mapping[str, Record]
) -> list[float | None]:
    """Mean primary metric per trial over its seeds; None for a trial with a failed run.

    `keys` are those of all tuning runs in the order of the plan: trial by trial.
    """
    found: list[float | None] = []
    for first in range(0, len(keys), tuning_seeds):
        scores = [records[key].score for key in keys[first : first + tuning_seeds]]
        known = [score for score in scores if score is not None]
        found.append(fmean(known) if len(known) == len(scores) else None)
    return found


def best_trial(scores: Sequence[float | None], *, higher_is_better: bool) -> int | None:
    """The trial that wins: the best, of equal ones the earliest; None where all have failed."""
    sign = 1.0 if higher_is_better else -1.0
    alive = [(sign * score, -trial) for trial, score in enumerate(scores) if score is not None]
    return -max(alive)[1] if alive else None


def _spec(
    study: Study, side: SideName, phase: Phase, setting: Mapping[str, Scalar], seed: int
) -> RunSpec:
    return RunSpec(
        suite=study.suite,
        scenario=study.scenario,
        scenario_version=study.scenario_version,
        scenario_hash=study.scenario_hash,
        side=side,
        data_fingerprint=study.fingerprints[side],
        method=study.method,
        method_hash=study.method_hash,
        setting=setting,
        phase=phase,
        protocol=study.protocol,
        seed=seed,
        budget=study.budget,
        threads=study.threads,
        device=study.device,
        libraries=study.libraries,
        isolation=study.isolation,
        contract=study.contract,
        environment={**(SET_BY_HARNESS if study.contract >= 2 else {}), **study.environment},
        salt_sha256=study.salt_sha256 if study.contract >= 2 else "",
    )


def _command(study: Study, phase: Phase) -> str:
    """The command that runs one phase of this study."""
    protocol = "" if study.protocol == "heldout" else f" --protocol {study.protocol}"
    protocol += "" if study.isolation == "sandbox" else f" --isolation {study.isolation}"
    protocol += "" if study.device == "cpu" else f" --device {study.device}"
    protocol += "".join(f" --env {name}" for name in study.environment)
    return (
        f"bench run {study.suite}/{study.scenario} {study.method} --phase {phase}"
        f" --trials {study.trials}{protocol}"
    )
