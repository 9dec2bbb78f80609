"""The protocol: which runs there are, and which setting wins. Pure: records in, plans out.

Fairness lives here. Every method gets the same number of trials, the same points rule, the same
seeds and the same budget; failures are never replaced; evaluation sees a selection and nothing
else of the tuning phase. From version 2 of the contract on trial 0 is the default setting, what a
scenario shares takes the same coordinates in every method, and a failed run counts as the floor.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from harness import seeds, space
from harness.contract import CONTRACT_VERSION, LIFTABLE, Budget, Scalar, SideName
from harness.errors import HeldoutError
from harness.records.record import (
    BASE,
    BASE_HASH,
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
from harness.space import Space

STUDY_SEED = 0  # of the Sobol sequence: the same points for everyone
EQUAL_CHANCES = 2
"""The version of the contract from which on the default is tried first, what a scenario shares is
searched by all, and a failed tuning run counts as the floor."""


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
    space: Space
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
    shared: Space = field(default_factory=dict)
    """All that the scenario shares, for the method's learning rule, fields or not."""
    stated_trials: int | None = None  # by the scenario; `trials` may be another number

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


def searched(study: Study) -> dict[str, space.Dimension]:
    """What tuning searches: what the scenario shares, in place of a method's own range for it.

    Raises HeldoutError where that is no space, or the method cannot search it.
    """
    shared = study.shared if study.contract >= EQUAL_CHANCES else {}
    wrong = space.problems(shared, list(shared), f"{study.suite}/{study.scenario}")
    for sentence in wrong or space.misfits(shared, study.defaults, study.label):
        raise HeldoutError(sentence)
    found = space.searched(study.space, shared, study.defaults)
    return {name: d for name, d in found.items() if name not in study.fixed}


def settings(study: Study) -> list[dict[str, Scalar]]:
    """The full setting of every trial, in order; a method with nothing to tune has one trial."""
    dimensions = searched(study)
    if study.contract >= EQUAL_CHANCES:
        points = space.tried(dimensions, study.shared, study.trials, STUDY_SEED)
    else:
        points = space.points(dimensions, study.trials, STUDY_SEED)
    return [{**study.defaults, **point, **study.fixed} for point in points]


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

    `records` maps keys to finished tuning runs. A failed run counts as the metric's floor; a trial
    of which every run failed has failed and cannot win (before version 2 of the contract: of which
    any run failed). None is replaced. Of equal trials the earlier wins. Raises IncompleteError
    while a run is missing, and HeldoutError when every trial has failed.
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
    dimensions, later = searched(study), study.contract >= EQUAL_CHANCES
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
        stated_trials=enough_trials(study.stated_trials, dimensions) if later else None,
        space=space.to_json(dimensions) if later else None,
    )


def enough_trials(stated: int | None, dimensions: Mapping[str, Any]) -> int | None:
    """How many trials a method needs: as many as its scenario states, with nothing to tune one."""
    return stated if dimensions else 1


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


def limits(budget: Budget) -> dict[str, Any]:
    """The budget as JSON, in which 10 and 10.0 epochs are the same."""
    limits = dataclasses.asdict(budget)
    for name in ("epochs", "seconds", "limit_seconds"):
        limits[name] = None if limits[name] is None else float(limits[name])
    for name in LIFTABLE:
        if limits[name] is None:
            del limits[name]  # as in the keys of runs from before there was such a limit
    return limits


def doing_nothing(study: Study, budget: Mapping[str, Any]) -> Study:
    """The study of the untrained network beside a method's; the scenario's own `budget`.

    Nothing is searched or spent, so that only what the network and its tests are is in its keys.
    """
    return replace(
        study, method=BASE, method_hash=BASE_HASH, defaults={}, space={}, fixed={},
        budget=budget, protocol="untuned", environment={},
    )  # fmt: skip


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
    """Mean primary metric per trial over its seeds; None for a trial that has failed.

    `keys` are those of all tuning runs in the order of the plan: trial by trial.
    """
    return [
        _trial_score([records[key] for key in keys[first : first + tuning_seeds]])
        for first in range(0, len(keys), tuning_seeds)
    ]


def _trial_score(runs: Sequence[Record]) -> float | None:
    """With failed runs at the floor, where there is one, unless all have failed."""
    counted = [_counted(run) for run in runs]
    if all(run.score is None for run in runs) or None in counted:
        return None
    return fmean(value for value in counted if value is not None)


def _counted(run: Record) -> float | None:
    if run.score is not None or run.spec.contract < EQUAL_CHANCES:
        return run.score
    return run.metric_floor if math.isfinite(run.metric_floor) else None


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
