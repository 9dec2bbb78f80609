import dataclasses
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.contract import Point
from harness.records import digests, schema
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

REALS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(0, 2**63 - 1)
SMALL = st.integers(-(2**31), 2**31 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
SETTINGS = st.dictionaries(TEXT, st.booleans() | st.integers() | REALS | TEXT, max_size=3)
PROVENANCES = st.sampled_from(["measured", "estimated", "constant", "unknown"])


def maybe(values):
    return st.none() | values


def built(cls, **fields):
    """Strategy for a dataclass; `_rest` stands for every field not named."""
    default = fields.pop("_rest")
    names = [field.name for field in dataclasses.fields(cls)]
    return st.builds(cls, **{name: fields.get(name, default) for name in names})


SPECS = built(
    RunSpec,
    _rest=TEXT,
    scenario_version=SMALL,
    side=st.sampled_from(["tuning", "evaluation"]),
    setting=SETTINGS,
    seed=COUNTS,
    budget=st.dictionaries(TEXT, maybe(REALS) | st.dictionaries(TEXT, SMALL, max_size=2)),
    threads=SMALL,
    libraries=st.dictionaries(TEXT, TEXT, max_size=2),
    isolation=st.just("process"),
    trial=maybe(SMALL),
    contract=st.integers(1, 9),
    environment=st.dictionaries(TEXT, TEXT, max_size=2),
)
SELECTIONS = built(
    Selection,
    _rest=SMALL,
    setting=SETTINGS,
    score=REALS,
    tuning_seeds=st.lists(COUNTS, max_size=2).map(tuple),
    tuning_keys=st.lists(TEXT, max_size=2).map(tuple),
    space=maybe(st.dictionaries(TEXT, st.lists(SMALL, max_size=2), max_size=2)),
    cost=built(
        TuningCost,
        _rest=maybe(REALS),
        runs=SMALL,
        failed_runs=SMALL,
        energy_provenance=PROVENANCES,
        samples=maybe(COUNTS),
    ),
)
COSTS = built(
    Cost,
    _rest=maybe(REALS),
    peak_memory_bytes=maybe(COUNTS),
    answers=maybe(COUNTS),
    answer_peak_memory_bytes=maybe(COUNTS),
    start_memory_bytes=maybe(COUNTS),
    samples_seen=maybe(COUNTS),
    samples_read=maybe(COUNTS),
    spent=st.dictionaries(TEXT, COUNTS, max_size=2),
    train_flops=maybe(COUNTS),
    predict_flops=maybe(COUNTS),
    repetitions=SMALL,
    contended=maybe(st.booleans()),
    energy_components=st.dictionaries(TEXT, REALS, max_size=2),
    energy_provenance=PROVENANCES,
    energy_detail=TEXT,
)
SHAPES = st.lists(st.integers(0, 9), max_size=3).map(tuple)
PREDICTIONS = st.one_of(
    st.builds(Prediction, SMALL, SMALL, SHAPES, st.lists(SMALL).map(tuple), st.none()),
    st.builds(Prediction, SMALL, SMALL, SHAPES, st.none(), st.lists(REALS).map(tuple)),
)
OUTCOMES = st.builds(
    ItemScores,
    SMALL,
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)).map(tuple),
)
RECORDS = st.builds(
    Record,
    spec=SPECS,
    tier=TEXT,
    budget_standard=st.booleans(),
    status=st.sampled_from(["ok", "failed"]),
    metric=TEXT,
    metric_unit=TEXT,
    higher_is_better=st.booleans(),
    metric_floor=REALS,
    machine=built(Machine, _rest=TEXT, git_commit=maybe(TEXT), git_dirty=maybe(st.booleans())),
    started_at=TEXT,
    isolation=st.just("process"),
    cost=COSTS,
    score=maybe(REALS),
    metrics=st.dictionaries(TEXT, REALS, max_size=3),
    quality_matrix=st.lists(st.lists(REALS, max_size=3).map(tuple), max_size=3).map(tuple),
    untrained_quality=maybe(st.lists(REALS, max_size=3).map(tuple)),
    curve=st.lists(
        built(
            Point,
            _rest=REALS,
            experience=SMALL,
            samples_seen=COUNTS,
            constraint_met=maybe(st.booleans()),
            measures=st.dictionaries(TEXT, REALS, max_size=2),
            train_flops=maybe(COUNTS),
            train_joules=maybe(REALS),
        ),
        max_size=3,
    ).map(tuple),
    predictions=st.lists(PREDICTIONS, max_size=3).map(tuple),
    outcomes=st.lists(OUTCOMES, max_size=2).map(tuple),
    parameters=maybe(COUNTS),
    weights_sha256=maybe(TEXT),
    selection=maybe(SELECTIONS),
    failure=maybe(st.builds(Failure, TEXT, TEXT, TEXT)),
    carried_bytes=st.lists(COUNTS, max_size=3).map(tuple),
    unhashed_modules=st.lists(TEXT, max_size=2).map(tuple),
)


LATER = {
    "trial": 2,
    "contract": 2,
    "environment": {"SCALE": "0.5"},
    "salt_sha256": "5a" * 32,
    "unhashed_modules": ("helper",),
    "answers": 500,
    "answer_peak_memory_bytes": 9000,
    "carried_bytes": (4096, 8192),
}
"""What an ordinary record leaves empty."""


def through_parquet(rows):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema.SCHEMA), sink)
    return pq.read_table(sink.getvalue()).to_pylist()


@given(RECORDS)
@settings(max_examples=60)
def test_a_record_survives_parquet(record):
    row = schema.to_row(record)
    (read,) = through_parquet([row])
    assert schema.from_row(row) == record
    assert schema.from_row(read) == record
    assert schema.from_row(read).key == record.key == read["key"]
    assert schema.row_digest(read) == read["digest"] == row["digest"]


@given(st.lists(RECORDS, min_size=1, max_size=4), st.integers(1, 3))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_law_4_a_table_has_the_digests_of_its_rows(records, batch):
    rows = [schema.to_row(record) for record in records]
    table = pa.Table.from_pylist(rows, schema=schema.SCHEMA)
    slices = [table.slice(i, batch) for i in range(0, len(rows), batch)]
    for found in (table, pa.concat_tables(slices[::-1]), table.slice(1)):
        expected = [schema.row_digest(row) for row in found.to_pylist()]
        assert digests.of_rows(found) == expected == found["digest"].to_pylist()


def test_a_full_record_and_a_failed_one_survive_parquet(make_record):
    failed = make_record(
        status="failed",
        score=None,
        metrics={},
        quality_matrix=(),
        untrained_quality=None,
        predictions=(),
        selection=None,
        failure=Failure("exception", "learn raised ValueError: no (my.py:3)", "Traceback ...\n"),
        cost=Cost(),
    )
    records = [make_record(), failed]
    rows = through_parquet([schema.to_row(record) for record in records])
    assert [schema.from_row(row) for row in rows] == records


def test_every_column_is_filled(make_record):
    ok = schema.to_row(make_record(**LATER))
    failed = schema.to_row(make_record(failure=Failure("memory", "out of memory", "log")))
    assert list(ok) == schema.SCHEMA.names
    empty = [name for name in ok if ok[name] is None and failed[name] is None]
    assert empty == []


def test_every_fact_of_a_record_has_a_column():
    """A field added to a record and forgotten here would be lost silently."""
    columns = set(schema.SCHEMA.names)
    for cls in (RunSpec, Cost, Machine):
        assert {field.name for field in dataclasses.fields(cls)} <= columns
    nested = {"spec", "machine", "cost", "failure"}
    assert {field.name for field in dataclasses.fields(Record)} - nested <= columns
    assert {f"tuning_{field.name}" for field in dataclasses.fields(TuningCost)} <= columns
    assert {f"failure_{field.name}" for field in dataclasses.fields(Failure)} <= columns
    for cls, column in ((Point, "curve"), (Prediction, "predictions"), (ItemScores, "outcomes")):
        members = schema.SCHEMA.field(column).type.value_type
        assert [field.name for field in dataclasses.fields(cls)] == [m.name for m in members]


OTHER_VALUES = {
    pa.string(): "other",
    pa.float64(): 0.0625,
    pa.int64(): 77,
    pa.int32(): 77,
}


@pytest.mark.parametrize("name", [n for n in schema.SCHEMA.names if n != "digest"])
def test_law_4_a_change_of_any_column_changes_the_digest(make_record, name):
    failure = Failure("memory", "out of memory", "log")
    row = schema.to_row(make_record(**LATER, failure=failure))
    kind = schema.SCHEMA.field(name).type
    value = not row[name] if pa.types.is_boolean(kind) else OTHER_VALUES.get(kind, [])
    assert value != row[name]
    assert schema.row_digest({**row, name: value}) != row["digest"]
    if schema.SCHEMA.field(name).nullable:
        assert schema.row_digest({**row, name: None}) != row["digest"]


@given(st.integers(0, 3), st.integers(-9, 9))
def test_law_4_a_change_within_a_nested_column_changes_the_digest(make_record, place, value):
    row = schema.to_row(make_record())
    integers = list(row["predictions"][0]["integers"])
    changed = [*integers[:place], value, *integers[place + 1 :]]
    predictions = [{**row["predictions"][0], "integers": changed}, row["predictions"][1]]
    differs = schema.row_digest({**row, "predictions": predictions}) != row["digest"]
    assert differs == (changed != integers)


def test_not_measured_is_null_and_never_zero(make_record):
    """Law 8."""
    row = schema.to_row(make_record(cost=Cost()))
    measures = [field.name for field in dataclasses.fields(Cost) if field.default is None]
    assert {name: row[name] for name in measures} == dict.fromkeys(measures)
    assert row["energy_provenance"] == "unknown"


def test_the_selection_column_is_json_that_names_the_winner(make_record):
    record = make_record()
    row = schema.to_row(record)
    assert json.loads(row["selection"])["trial"] == record.selection.trial
    assert schema.selection_from_json(row["selection"]) == record.selection
    assert row["selection_id"] == record.selection.id
    assert row["tuning_runs"] == record.selection.cost.runs


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 2**63 - 1])
def test_law_6_large_whole_numbers_can_be_predicted(make_record, value):
    """`Outputs()` sets no bounds: what a method answered must be storable."""
    record = make_record(predictions=(Prediction(0, 0, (1,), (value,), None),))
    assert schema.from_row(schema.to_row(record)) == record


def test_law_6_a_failure_whose_reason_is_no_valid_unicode_is_stored(make_record):
    """File names with odd bytes come out of Python as lone surrogates."""
    failure = Failure("exception", "learn raised FileNotFoundError: 'caf\udce9'", "caf\udce9")
    row = schema.to_row(make_record(status="failed", score=None, failure=failure))
    assert row["failure_reason"].startswith("learn raised FileNotFoundError: 'caf")
