"""A results folder as one table, with its cache and without."""

import dataclasses
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_store import hand_over, keys

from harness.errors import HeldoutError
from harness.records import schema
from harness.records.reading import read_table


def test_the_table_holds_every_record_once_in_the_order_of_keys(store, make_record):
    records = [make_record(seed=seed) for seed in range(5)]
    for record in records:
        store.put(record)
    assert keys(store.root) == sorted(record.key for record in records)


def test_the_table_of_a_missing_folder_names_the_command(tmp_path):
    with pytest.raises(HeldoutError, match="bench run"):
        read_table(tmp_path / "absent")


def test_the_table_of_an_empty_store_has_all_columns(store):
    table, damaged = read_table(store.root)
    assert (table.num_rows, damaged) == (0, [])
    assert set(table.column_names) == set(schema.SCHEMA.names) - set(schema.BULKY)


def test_rows_of_the_table_are_records_without_their_bulk(store, make_record):
    record = make_record()
    store.put(record)
    (row,) = read_table(store.root)[0].to_pylist()
    assert schema.from_row(row) == dataclasses.replace(record, predictions=(), outcomes=())


def test_law_7_the_cache_changes_nothing(store, make_record):
    for seed in range(4):
        store.put(make_record(seed=seed))
        read_table(store.root)  # the cache grows step by step
    hand_over(store.root / "colleague.parquet", [make_record(seed=9)])
    filled = read_table(store.root)[0]
    assert read_table(store.root)[0].equals(filled)
    shutil.rmtree(store.root / ".cache")
    assert read_table(store.root)[0].equals(filled)


def test_law_7_of_two_rows_of_one_run_the_same_is_taken_with_and_without_cache(store, make_record):
    """A colleague ran the same run: which row counts must not depend on what was read when."""
    mine, theirs = make_record(score=0.25), make_record(score=0.5)
    store.put(mine)
    read_table(store.root)
    hand_over(store.root / "a" / "colleague.parquet", [theirs])
    cached = read_table(store.root)[0]
    shutil.rmtree(store.root / ".cache")
    assert read_table(store.root)[0].equals(cached)
    assert cached.num_rows == 1


@pytest.mark.parametrize("harm", ["truncated", "garbage", "empty", "another table", "a folder"])
def test_law_4_a_harmed_cache_is_rebuilt(store, make_record, harm):
    for seed in range(3):
        store.put(make_record(seed=seed))
    whole = read_table(store.root)[0]
    cache = store.root / ".cache" / "runs.parquet"
    content = cache.read_bytes()
    cache.unlink()
    if harm == "another table":
        pq.write_table(pa.table({"x": [1]}), cache)
    elif harm == "a folder":
        cache.mkdir()
    else:
        cache.write_bytes(
            {"truncated": content[:-50], "garbage": b"\xff" * 999, "empty": b""}[harm]
        )
    assert read_table(store.root)[0].equals(whole)
    assert keys(store.root) == whole["key"].to_pylist()


def test_a_folder_without_room_for_a_cache_is_read_all_the_same(store, make_record):
    store.put(make_record())
    (store.root / ".cache").write_text("a file where the folder would be")
    assert keys(store.root) == [make_record().key]


def test_a_deleted_run_vanishes_from_the_table(store, make_record):
    one, two = make_record(seed=0), make_record(seed=1)
    store.put(one)
    store.put(two)
    assert len(keys(store.root)) == 2
    store.path(one.spec).unlink()
    assert keys(store.root) == [two.key]
    assert not store.has(one.spec)
    assert store.put(one)
    assert len(keys(store.root)) == 2


def test_records_handed_over_as_one_file_are_read(store, make_record):
    records = [make_record(seed=seed) for seed in range(4)]
    store.put(records[0])
    hand_over(store.root / "from-elsewhere" / "all.parquet", records)
    assert keys(store.root) == sorted(record.key for record in records)
    (store.root / "from-elsewhere" / "all.parquet").unlink()
    assert keys(store.root) == [records[0].key]
