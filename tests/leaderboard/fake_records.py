"""Plausible records of suites and methods that do not exist."""

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.records import schema
from harness.records.record import Cost, Failure, Machine, Record, RunSpec, Selection, TuningCost

MACHINE = Machine("host", "cpu", "Linux", "3.11", "0.1.0", None, None)
TUNING = TuningCost(16, 1, 192.0, 380.0, 950.0, "estimated", 64_000)
SELECTION = Selection({"lr": 0.1}, 3, 0.8, 8, 0, (1_000_000, 1_000_001), ("a", "b"), TUNING)
COST = Cost(
    wall_seconds=14.0,
    train_seconds=12.0,
    train_cpu_seconds=11.0,
    peak_memory_bytes=310 << 20,
    energy_joules=140.0,
    energy_provenance="estimated",
)
SPEC = RunSpec(
    suite="shapes",
    scenario="squares",
    scenario_version=1,
    scenario_hash="s1",
    side="evaluation",
    data_fingerprint="d1",
    method="alpha",
    method_hash="m1",
    setting={"lr": 0.1},
    phase="evaluation",
    protocol="heldout",
    seed=0,
    budget={"epochs": 1},
    threads=1,
    device="cpu",
    libraries={"torch": "2"},
    isolation="process",
)
RECORD = Record(
    spec=SPEC,
    tier="core",
    budget_standard=True,
    status="ok",
    metric="average_accuracy",
    metric_unit="fraction",
    higher_is_better=True,
    metric_floor=0.1,
    machine=MACHINE,
    started_at="2026-01-01T00:00:00Z",
    isolation="process",
    cost=COST,
    score=0.8,
    selection=SELECTION,
)
_SPEC = {field.name for field in dataclasses.fields(RunSpec)}


def record(score=0.8, **changes):
    """One record; `changes` name fields of the spec or of the record. No score: it failed."""
    spec = dataclasses.replace(SPEC, **{k: v for k, v in changes.items() if k in _SPEC})
    rest = {k: v for k, v in changes.items() if k not in _SPEC}
    if "isolation" in changes:
        rest["isolation"] = changes["isolation"]
    if spec.protocol == "untuned":
        rest.setdefault("selection", None)
    if score is None:
        rest.setdefault("failure", Failure("exception", "ValueError: shapes do not match"))
        rest.setdefault("status", "failed")
    else:
        rest.setdefault("metrics", {rest.get("metric", RECORD.metric): score})
    return dataclasses.replace(RECORD, spec=spec, score=score, **rest)


def runs(method, scores, **changes):
    """One record per score, seeds from 0 (or from `first_seed`)."""
    first = changes.pop("first_seed", 0)
    return [record(s, method=method, seed=first + i, **changes) for i, s in enumerate(scores)]


def studied(method, protocol, tried, scores, step=0.1, **changes):
    """A whole study: `tried[i][j]` is what trial i gave seed j; the best mean is judged.

    Trial i has a step size of i + 1 times `step`.
    """
    side = "evaluation" if protocol == "conventional" else "tuning"
    settings = [{"lr": step * (1 + i)} for i in range(len(tried))]
    tuning = [
        record(
            score, method=method, protocol=protocol, phase="tuning", side=side, setting=setting,
            trial=trial, seed=1_000_000 + seed, selection=None, **changes,
        )
        for trial, (setting, line) in enumerate(zip(settings, tried, strict=True))
        for seed, score in enumerate(line)
    ]  # fmt: skip
    sign = 1 if changes.get("higher_is_better", True) else -1
    whole = [i for i, line in enumerate(tried) if None not in line]
    best = max(whole, key=lambda i: (sign * sum(tried[i]), -i))
    selection = dataclasses.replace(
        SELECTION,
        setting=settings[best],
        trial=best,
        trials=len(tried),
        tuning_seeds=tuple(1_000_000 + seed for seed in range(len(tried[0]))),
        tuning_keys=tuple(one.key for one in tuning),
    )
    chosen = {"setting": settings[best], "selection": selection, "protocol": protocol}
    return tuning + runs(method, scores, **chosen, **changes)


def table(records):
    """The table that the store would hand over, bulky columns included."""
    rows = [schema.to_row(r) for r in records]
    return pa.Table.from_pylist(rows, schema=schema.SCHEMA)


def write(folder: Path, records):
    """A results folder: one Parquet file per record."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in records:
        pq.write_table(table([each]), folder / f"{each.key}.parquet")
    return folder
