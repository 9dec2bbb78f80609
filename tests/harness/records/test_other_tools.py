"""Law 4: the field's tools open what the store has written, each by itself."""

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from harness.contract import Point
from harness.records import schema
from harness.records.packing import pack
from harness.records.record import Cost, Failure
from heldout_testing import ROOT

RESULTS = ROOT / "results"
LAYOUT = {"runs": "*/*/*/*.parquet", "packs": "*/*/*.parquet"}


@pytest.fixture(params=LAYOUT)
def stored(store, make_record, request):
    """(folder, the pattern of its files, records by key): runs of two methods, one failed."""
    failure = Failure("exception", "learn raised ValueError: no (my.py:3)", "Traceback ...\n")
    failed = make_record(
        seed=3, status="failed", score=None, metrics={}, quality_matrix=(), curve=(),
        untrained_quality=None, predictions=(), outcomes=(), selection=None, failure=failure,
        cost=Cost(),
    )  # fmt: skip
    records = [*(make_record(seed=seed) for seed in range(3)), make_record(method="b"), failed]
    for record in records:
        store.put(record)
    if request.param == "packs":
        pack(store.root)
    return store.root, LAYOUT[request.param], {record.key: record for record in records}


def loaded(pattern, folder):
    """Through the library `datasets`, which knows none of our names."""
    cache = str(folder / "datasets")
    return datasets.load_dataset("parquet", data_files=pattern, split="train", cache_dir=cache)


def test_datasets_loads_them(stored, tmp_path):
    root, pattern, records = stored
    rows = loaded(str(root / pattern), tmp_path)
    assert len(rows) == len(records)
    for row in rows:
        assert schema.from_row(row) == records[row["key"]]


def test_datasets_loads_the_reference_results(tmp_path):
    rows = loaded(str(RESULTS / "sparse" / "*" / "*.parquet"), tmp_path)
    files = [pq.read_metadata(path) for path in RESULTS.glob("sparse/*/*.parquet")]
    assert len(rows) == sum(file.num_rows for file in files) > 0
    scores = {pair["name"]: pair["value"] for pair in rows[0]["metrics"]}
    assert scores[rows[0]["metric"]] == rows[0]["score"]


def test_pandas_loads_them(stored):
    root, pattern, records = stored
    frame = pd.concat([pd.read_parquet(path) for path in sorted(root.glob(pattern))])
    assert sorted(frame["key"]) == sorted(records)
    for row in frame.to_dict("records"):
        record = records[row["key"]]
        assert {pair["name"]: pair["value"] for pair in row["metrics"]} == record.metrics
        curve = [point["quality"] for point in row["curve"]]
        assert curve == [point.quality for point in record.curve]
        scores = [tuple(outcome["scores"]) for outcome in row["outcomes"]]
        assert scores == [outcome.scores for outcome in record.outcomes]


def test_pyarrow_loads_them(stored):
    root, pattern, records = stored
    table = pa.concat_tables([pq.read_table(path) for path in sorted(root.glob(pattern))])
    assert {row["key"]: schema.from_row(row) for row in table.to_pylist()} == records
    found = [f for f in table.schema if pa.types.is_map(f.type)]
    assert found == [], "maps are what many tools do not know"


def test_single_columns_are_read_without_the_others(stored):
    root, pattern, records = stored
    files = [str(path) for path in sorted(root.glob(pattern))]
    table = ds.dataset(files, format="parquet").to_table(
        columns=["key", "score", "metrics"], filter=pc.field("seed") == 1
    )
    (row,) = table.to_pylist()
    record = records[row["key"]]
    assert (record.spec.seed, row["score"]) == (1, record.score)
    assert dict(schema.pairs(row["metrics"])) == record.metrics


def test_single_fields_of_nested_columns_are_read_without_the_others(stored):
    root, pattern, records = stored
    nested = ["key", "metrics.list.element.value", "curve.list.element.quality",
              "curve.list.element.measures.list.element.name",
              "outcomes.list.element.scores"]  # fmt: skip
    for path in root.glob(pattern):
        for row in pq.ParquetFile(path).read(columns=nested).to_pylist():
            record = records[row["key"]]
            assert row["metrics"] == [{"value": v} for _, v in sorted(record.metrics.items())]
            assert row["curve"] == [curve(point) for point in record.curve]
            assert row["outcomes"] == [{"scores": list(o.scores)} for o in record.outcomes]


def curve(point: Point):
    return {"quality": point.quality, "measures": [{"name": n} for n in sorted(point.measures)]}
