"""How a record looks in Parquet: one explicit, versioned schema, and the way there and back.

Version 2 has lists of a name and a value where version 1 had maps, which most of the field's tools
cannot read, and `outcomes`. A digest is of values and not of their layout: such a list counts as
the pairs that a map had, and a column that came later counts only where it holds something. So a
record keeps its digest when its file is rewritten, and reading an older file is a cast.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from harness.contract import Point
from harness.fingerprint import digest
from harness.records.record import (
    Cost,
    Failure,
    ItemScores,
    Machine,
    Prediction,
    Record,
    RunSpec,
    Selection,
    TuningCost,
)

VERSION = 2
VERSION_KEY = b"heldout.schema_version"

_TEXT, _REAL, _INT, _FLAG = pa.string(), pa.float64(), pa.int64(), pa.bool_()
PAIR = ("name", "value")
"""Members of an element of a list that stands for a mapping."""


def _named(kind: pa.DataType) -> pa.DataType:
    return pa.list_(pa.struct(list(zip(PAIR, (_TEXT, kind), strict=True))))


CURVE = pa.list_(
    pa.struct(
        [
            pa.field("experience", pa.int32()),
            pa.field("samples_seen", _INT),
            pa.field("train_seconds", _REAL),
            pa.field("train_cpu_seconds", _REAL),
            pa.field("quality", _REAL),
            pa.field("constraint_met", _FLAG),
            pa.field("measures", _named(_REAL)),
            pa.field("train_flops", _INT),
            pa.field("train_joules", _REAL),
        ]
    )
)
PREDICTIONS = pa.list_(
    pa.struct(
        [
            pa.field("experience", pa.int32()),
            pa.field("test", pa.int32()),
            pa.field("shape", pa.list_(pa.int32())),
            pa.field("integers", pa.list_(_INT)),
            pa.field("reals", pa.list_(_REAL)),
        ]
    )
)
OUTCOMES = pa.list_(
    pa.struct([pa.field("test", pa.int32()), pa.field("scores", pa.list_(pa.float32()))])
)

_FIELDS: list[tuple[str, pa.DataType, bool]] = [
    # what the run is: (column, type, may be null)
    ("key", _TEXT, False),
    ("suite", _TEXT, False),
    ("scenario", _TEXT, False),
    ("scenario_version", pa.int32(), False),
    ("scenario_hash", _TEXT, False),
    ("tier", _TEXT, False),
    ("side", _TEXT, False),
    ("data_fingerprint", _TEXT, False),
    ("method", _TEXT, False),
    ("method_hash", _TEXT, False),
    ("setting", _TEXT, False),  # JSON
    ("phase", _TEXT, False),
    ("protocol", _TEXT, False),
    ("trial", pa.int32(), True),
    ("seed", _INT, False),
    ("budget", _TEXT, False),  # JSON
    ("budget_standard", _FLAG, False),
    ("threads", pa.int32(), False),
    ("device", _TEXT, False),
    ("libraries", _TEXT, False),  # JSON
    ("contract", pa.int32(), True),  # its version; null: 1, before it was noted
    ("environment", _TEXT, True),  # JSON; null: no variable that counts
    ("salt_sha256", _TEXT, True),  # null: unsalted, as in contract version 1
    # what came of it
    ("status", _TEXT, False),
    ("failure_kind", _TEXT, True),
    ("failure_reason", _TEXT, True),
    ("failure_log", _TEXT, True),
    ("metric", _TEXT, False),
    ("metric_unit", _TEXT, False),
    ("higher_is_better", _FLAG, False),
    ("metric_floor", _REAL, False),
    ("score", _REAL, True),
    ("metrics", _named(_REAL), False),
    ("quality_matrix", pa.list_(pa.list_(_REAL)), False),
    ("untrained_quality", pa.list_(_REAL), True),
    ("curve", CURVE, False),
    ("predictions", PREDICTIONS, False),
    ("outcomes", OUTCOMES, False),  # since version 2
    ("tested", pa.list_(pa.list_(pa.int32())), False),
    ("parameters", _INT, True),
    ("weights_sha256", _TEXT, True),
    # what it cost
    ("wall_seconds", _REAL, True),
    ("cpu_seconds", _REAL, True),
    ("train_seconds", _REAL, True),
    ("train_cpu_seconds", _REAL, True),
    ("predict_seconds", _REAL, True),
    ("predict_cpu_seconds", _REAL, True),
    ("peak_memory_bytes", _INT, True),
    ("start_memory_bytes", _INT, True),
    ("answers", _INT, True),
    ("answer_peak_memory_bytes", _INT, True),
    ("carried_bytes", pa.list_(_INT), False),
    ("samples_seen", _INT, True),
    ("samples_read", _INT, True),
    ("spent", _named(_INT), False),
    ("overrun_seconds", _REAL, True),
    ("train_flops", _INT, True),
    ("predict_flops", _INT, True),
    ("repetitions", pa.int32(), False),
    ("contended", _FLAG, True),
    ("energy_joules", _REAL, True),
    ("energy_net_joules", _REAL, True),
    ("energy_idle_watts", _REAL, True),
    ("energy_components", _named(_REAL), False),
    ("energy_provenance", _TEXT, False),
    ("energy_detail", _TEXT, False),
    # what chose its setting, and what that cost
    ("selection_id", _TEXT, True),
    ("selection", _TEXT, True),  # JSON
    ("tuning_runs", pa.int32(), True),
    ("tuning_failed_runs", pa.int32(), True),
    ("tuning_seconds", _REAL, True),
    ("tuning_cpu_seconds", _REAL, True),
    ("tuning_energy_joules", _REAL, True),
    ("tuning_energy_provenance", _TEXT, True),
    ("tuning_samples", _INT, True),
    # where and how it ran
    ("isolation", _TEXT, False),
    ("unhashed_modules", pa.list_(_TEXT), False),
    ("host", _TEXT, False),
    ("cpu", _TEXT, False),
    ("platform", _TEXT, False),
    ("python", _TEXT, False),
    ("heldout", _TEXT, False),
    ("git_commit", _TEXT, True),
    ("git_dirty", _FLAG, True),
    ("started_at", _TEXT, False),
    ("digest", _TEXT, False),  # of all other columns: a changed value is noticed
]

SCHEMA = pa.schema(
    [pa.field(name, kind, nullable=nullable) for name, kind, nullable in _FIELDS],
    metadata={VERSION_KEY: str(VERSION).encode()},
)
BULKY = ("predictions", "outcomes", "tested", "failure_log")
"""Columns left out of the cache: read from the run's own file when they are wanted."""
LATER = (
    *("outcomes", "contract", "environment", "salt_sha256", "unhashed_modules"),
    *("tested", "answers", "answer_peak_memory_bytes", "carried_bytes"),
)
"""Columns that the first files had not: an older one is read as if they were empty."""


def of_today(table: pa.Table) -> pa.Table:
    """The columns of this version from those of a file of this or an older one.

    Raises KeyError or ArrowException where that cannot be.
    """
    for name in LATER:
        if name not in table.column_names:
            field = SCHEMA.field(name)
            empty = pa.array([None if field.nullable else []] * table.num_rows, field.type)
            table = table.append_column(name, empty)
    return table.select(SCHEMA.names).cast(SCHEMA)


_SPEC = [f.name for f in dataclasses.fields(RunSpec)]
_COST = [f.name for f in dataclasses.fields(Cost)]
_MACHINE = [f.name for f in dataclasses.fields(Machine)]
_MAPPINGS = ("metrics", "spent", "energy_components")
_JSON = ("setting", "budget", "libraries", "environment")


def to_row(record: Record) -> dict[str, Any]:
    """The record as one row: column name -> plain value, digest included."""
    selection, failure = record.selection, record.failure
    row: dict[str, Any] = {"key": record.key}
    row |= {name: getattr(record.spec, name) for name in _SPEC}
    row |= {name: json.dumps(dict(row[name]), sort_keys=True) for name in _JSON}
    row["contract"] = None if record.spec.contract == 1 else record.spec.contract
    row["environment"] = row["environment"] if record.spec.environment else None
    row["salt_sha256"] = record.spec.salt_sha256 or None
    row["carried_bytes"] = list(record.carried_bytes)
    row["unhashed_modules"] = [_valid(name) for name in record.unhashed_modules]
    row |= {name: getattr(record.machine, name) for name in _MACHINE}
    row |= {name: getattr(record.cost, name) for name in _COST}
    for name in ("tier", "budget_standard", "status", "metric", "metric_unit", "higher_is_better",
                 "metric_floor", "score", "parameters", "weights_sha256", "isolation",
                 "started_at"):  # fmt: skip
        row[name] = getattr(record, name)
    row["metrics"] = record.metrics
    for name in _MAPPINGS:
        row[name] = _listed(row[name])
    row["quality_matrix"] = [list(line) for line in record.quality_matrix]
    row["untrained_quality"] = (
        None if record.untrained_quality is None else list(record.untrained_quality)
    )
    row["curve"] = [vars(p) | {"measures": _listed(p.measures)} for p in record.curve]
    row["predictions"] = [vars(prediction) for prediction in record.predictions]
    row["outcomes"] = [vars(outcome) for outcome in record.outcomes]
    row["tested"] = [list(items) for items in record.tested]
    row["failure_kind"] = failure.kind if failure else None
    row["failure_reason"] = _valid(failure.reason) if failure else None
    row["failure_log"] = _valid(failure.log) if failure else None
    row["selection_id"] = selection.id if selection else None
    row["selection"] = _selection_json(selection) if selection else None
    for name in ("runs", "failed_runs", "seconds", "cpu_seconds", "energy_joules",
                 "energy_provenance", "samples"):  # fmt: skip
        row[f"tuning_{name}"] = getattr(selection.cost, name) if selection else None
    row["digest"] = ""
    (row,) = pa.Table.from_pylist([row], schema=SCHEMA).to_pylist()  # as a reader will see it
    return row | {"digest": row_digest(row)}


def _listed(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(PAIR, pair, strict=True)) for pair in sorted(values.items())]


def pairs(listed: Iterable[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """The (name, value) pairs of a list that stands for a mapping, e.g. of a row's `metrics`."""
    return [(pair["name"], pair["value"]) for pair in listed]


def _valid(text: str) -> str:
    """The text without lone surrogates, which odd file names bring along and UTF-8 cannot hold."""
    return text.encode(errors="replace").decode()


def row_digest(row: Mapping[str, Any]) -> str:
    """SHA-256 of every column except the digest itself and later ones that are empty."""
    values = {name: row[name] for name, _, _ in _FIELDS if name != "digest"}
    values |= {name: pairs(row[name]) for name in _MAPPINGS}
    values["curve"] = [point | {"measures": pairs(point["measures"])} for point in row["curve"]]
    return digest({name: v for name, v in values.items() if v or name not in LATER})


def from_row(row: Mapping[str, Any]) -> Record:
    """The record behind one row, as `to_row` or a Parquet reader gives it."""
    spec = {name: row[name] for name in _SPEC}
    spec |= {name: json.loads(row[name] or "{}") for name in _JSON}
    spec["contract"] = row["contract"] or 1
    spec["salt_sha256"] = row["salt_sha256"] or ""
    mappings = {name: dict(pairs(row[name])) for name in _MAPPINGS}
    metrics = mappings.pop("metrics")
    cost = {name: row[name] for name in _COST} | mappings
    failure = None
    if row["failure_kind"] is not None:
        failure = Failure(row["failure_kind"], row["failure_reason"], row.get("failure_log") or "")
    untrained = row["untrained_quality"]
    return Record(
        spec=RunSpec(**spec),
        tier=row["tier"],
        budget_standard=row["budget_standard"],
        status=row["status"],
        metric=row["metric"],
        metric_unit=row["metric_unit"],
        higher_is_better=row["higher_is_better"],
        metric_floor=row["metric_floor"],
        machine=Machine(**{name: row[name] for name in _MACHINE}),
        started_at=row["started_at"],
        isolation=row["isolation"],
        cost=Cost(**cost),
        score=row["score"],
        metrics=metrics,
        quality_matrix=tuple(tuple(line) for line in row["quality_matrix"]),
        untrained_quality=None if untrained is None else tuple(untrained),
        curve=tuple(Point(**p | {"measures": dict(pairs(p["measures"]))}) for p in row["curve"]),
        predictions=tuple(_prediction(p) for p in row.get("predictions") or ()),
        outcomes=tuple(
            ItemScores(o["test"], tuple(o["scores"])) for o in row.get("outcomes") or ()
        ),
        tested=tuple(map(tuple, row.get("tested") or ())),
        parameters=row["parameters"],
        weights_sha256=row["weights_sha256"],
        selection=selection_from_json(row["selection"]) if row["selection"] else None,
        failure=failure,
        carried_bytes=tuple(row["carried_bytes"] or ()),
        unhashed_modules=tuple(row["unhashed_modules"] or ()),
    )


def _selection_json(selection: Selection) -> str:
    stated = dataclasses.asdict(selection)
    for name in ("evaluation_seeds", "stated_trials", "space"):
        if stated[name] is None:
            del stated[name]  # records from before it was kept stay as they are
    return json.dumps(stated, sort_keys=True)


def selection_from_json(text: str) -> Selection:
    """The selection stored in an evaluation record."""
    data = json.loads(text)
    return Selection(
        **data
        | {
            "tuning_seeds": tuple(data["tuning_seeds"]),
            "tuning_keys": tuple(data["tuning_keys"]),
            "cost": TuningCost(**data["cost"]),
        }
    )


def _prediction(row: Mapping[str, Any]) -> Prediction:
    def flat(values: Any) -> Any:
        return None if values is None else tuple(values)

    return Prediction(
        row["experience"],
        row["test"],
        tuple(row["shape"]),
        flat(row["integers"]),
        flat(row["reals"]),
    )
