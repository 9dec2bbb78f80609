"""Studies and records of suites and methods that do not exist, and one study that was run."""

import dataclasses
import shutil
from collections.abc import Callable

import pytest
from forgery import CLASS

from harness import study
from harness.contract import Point
from harness.protocol import Study
from harness.records.record import (
    Cost,
    ItemScores,
    Machine,
    Prediction,
    Record,
    RunSpec,
    Selection,
    TuningCost,
)
from harness.records.store import Store
from harness.space import Choice, LogUniform

SPEC = RunSpec(
    suite="shapes",
    scenario="squares-in-order",
    scenario_version=2,
    scenario_hash="5c" * 32,
    side="evaluation",
    data_fingerprint="da" * 32,
    method="alpha",
    method_hash="3e" * 32,
    setting={"lr": 0.05, "width": 32, "nesterov": True, "schedule": "cosine"},
    phase="evaluation",
    protocol="heldout",
    seed=0,
    budget={"epochs": 2.0, "steps": None, "spend": {"reward_calls": 100}},
    threads=1,
    device="cpu",
    libraries={"numpy": "2.0.0", "torch": "2.13.0"},
    isolation="process",
)
TUNING_COST = TuningCost(16, 1, 192.0, 380.0, 950.0, "estimated", 64_000)
RECORD = Record(
    spec=SPEC,
    tier="core",
    budget_standard=True,
    status="ok",
    metric="average_accuracy",
    metric_unit="fraction",
    higher_is_better=True,
    metric_floor=0.1,
    machine=Machine("node1", "Some CPU @ 2 GHz", "Linux-6", "3.11.7", "0.1.0", "c0ffee", False),
    started_at="2026-01-02T03:04:05Z",
    isolation="process",
    cost=Cost(
        wall_seconds=12.5,
        cpu_seconds=12.25,
        train_seconds=10.0,
        train_cpu_seconds=9.75,
        predict_seconds=0.5,
        predict_cpu_seconds=0.25,
        peak_memory_bytes=310 << 20,
        start_memory_bytes=200 << 20,
        samples_seen=4000,
        samples_read=500,
        spent={"reward_calls": 12, "generated_tokens": 3},
        overrun_seconds=0.125,
        train_flops=1_200_000,
        predict_flops=340_000,
        repetitions=4,
        contended=False,
        energy_joules=140.5,
        energy_net_joules=100.25,
        energy_idle_watts=4.5,
        energy_components={"package-0": 130.5, "dram-0": 10.0},
        energy_provenance="estimated",
        energy_detail="CPU load x TDP",
    ),
    score=0.75,
    metrics={"average_accuracy": 0.75, "forgetting": 0.125},
    quality_matrix=((0.5, 0.25), (0.5, 1.0)),
    untrained_quality=(0.125, 0.0),
    curve=(
        Point(0, 2000, 5.0, 4.875, 0.5, True, {"nonzero": 0.5}, 600_000, 70.0),
        Point(1, 4000, 10.0, 9.75, 0.25),
    ),
    predictions=(
        Prediction(1, 0, (4,), (0, 1, 1, 0), None),
        Prediction(1, 1, (2, 2), None, (0.5, -1.5, 0.0, 3.25)),
    ),
    outcomes=(ItemScores(0, (1.0, 0.0, 0.0, 1.0)), ItemScores(1, (0.25, -1.5))),
    parameters=1234,
    weights_sha256="ab" * 32,
    selection=Selection(
        setting=SPEC.setting,
        trial=3,
        score=0.8,
        trials=8,
        failed_trials=1,
        tuning_seeds=(1_000_000, 1_000_001),
        tuning_keys=("aa" * 32, "bb" * 32),
        cost=TUNING_COST,
    ),
)
STUDY = Study(
    suite="shapes",
    scenario="squares-in-order",
    scenario_version=2,
    scenario_hash="5c" * 32,
    fingerprints={"tuning": "d1" * 32, "evaluation": "d2" * 32},
    higher_is_better=True,
    method="alpha",
    method_hash="3e" * 32,
    defaults={"lr": 0.05, "width": 32, "epochs_cap": 5},
    space={"lr": LogUniform(1e-3, 1.0), "width": Choice(16, 32, 64)},
    budget={"epochs": 2.0, "steps": None, "spend": {}},
    threads=1,
    device="cpu",
    libraries={"numpy": "2.0.0", "torch": "2.13.0"},
    isolation="process",
    protocol="heldout",
    trials=4,
    tuning_seeds=2,
    seeds=3,
    fixed={},
)
_SPEC_FIELDS = {field.name for field in dataclasses.fields(RunSpec)}
_RECORD_FIELDS = {field.name for field in dataclasses.fields(Record)}
_COST_FIELDS = {field.name for field in dataclasses.fields(Cost)}


def _record(**changes: object) -> Record:
    of_record = {name: value for name, value in changes.items() if name in _RECORD_FIELDS}
    of_spec = {name: value for name, value in changes.items() if name in _SPEC_FIELDS}
    of_cost = {name: value for name, value in changes.items() if name in _COST_FIELDS}
    known = of_record.keys() | of_spec.keys() | of_cost.keys()
    assert set(changes) == known, "no field of Record, RunSpec or Cost"
    of_record["cost"] = dataclasses.replace(of_record.get("cost", RECORD.cost), **of_cost)
    spec = dataclasses.replace(of_record.pop("spec", SPEC), **of_spec)
    return dataclasses.replace(RECORD, spec=spec, **of_record)


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Record]:
    """A plausible evaluation record; changes by the name of a field of Record, RunSpec or Cost."""
    return _record


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Study]:
    """A plausible study with a space of two dimensions; changes by the name of a field."""
    return lambda **changes: dataclasses.replace(STUDY, **changes)


@pytest.fixture(scope="module")
def honest(engine, tmp_path_factory):
    """A small real study: two methods, two trials of two seeds, three evaluation seeds."""
    root = tmp_path_factory.mktemp("honest") / "results"
    request = study.Request(CLASS, ("er", "finetune"), trials=2, seeds=3, budget={"epochs": "1"})
    summary = study.run(request, engine, Store.open(root))
    assert not summary.failed
    return root


@pytest.fixture
def root(honest, tmp_path):
    """A copy to spoil."""
    shutil.copytree(honest, tmp_path / "results", ignore=shutil.ignore_patterns(".cache"))
    return tmp_path / "results"
