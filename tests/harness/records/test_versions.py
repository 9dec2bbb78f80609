"""Records that an older version wrote: read as ever, and written anew by packing.

`version_1/` holds real files of version 1: `run.parquet` is the record of `conftest` as it was
put then, `pack.parquet` three rows of the reference results of `reasoning/add-reversed-inference`.
"""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from test_store import hand_over

from harness.checking import integrity
from harness.cli import bench
from harness.records import schema
from harness.records.packing import pack
from harness.records.reading import read_table
from harness.records.store import pack_of, read_file, version_of

OLD = Path(__file__).with_name("version_1")
PACK = OLD / "pack.parquet"
RUN = OLD / "run.parquet"
PLACE = "reasoning/add-reversed-inference/sft.parquet"


def copied(path, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)
    return target


def old_table(path):
    """A file of version 1 as it lies there."""
    table = pq.ParquetFile(path).read()
    assert pa.types.is_map(table.schema.field("metrics").type)
    assert "outcomes" not in table.column_names
    return table


@pytest.fixture
def old_pack(store):
    """An old pack in its place, with nothing beside it, as git keeps it."""
    return copied(PACK, store.root / PLACE)


def test_law_4_a_record_of_version_1_reads_as_it_was_written(make_record, old_pack, store):
    assert integrity.read(store.root)[1] == []
    (row,) = read_file(RUN).to_pylist()
    assert version_of(RUN) == 1
    assert schema.from_row(row) == dataclasses.replace(make_record(), outcomes=())
    assert row["digest"] == old_table(RUN)["digest"][0].as_py() == schema.row_digest(row)


@pytest.mark.parametrize("path", [RUN, PACK], ids=["run", "pack"])
def test_law_4_rows_of_version_1_keep_every_value_and_their_digest(path):
    before, after = old_table(path).to_pylist(), read_file(path).to_pylist()
    for old, new in zip(before, after, strict=True):
        assert schema.row_digest(new) == old["digest"]
        assert [new.pop(name) for name in schema.LATER] == [
            *([], None, None, None, []),
            *(None, None, []),
        ]
        for name in ("metrics", "spent", "energy_components"):
            new[name] = [(pair["name"], pair["value"]) for pair in new[name]]
        for point in new["curve"]:
            point["measures"] = [(pair["name"], pair["value"]) for pair in point["measures"]]
        assert new == old


def test_old_and_new_records_are_read_side_by_side_wherever_they_lie(store, make_record, old_pack):
    old = make_record()
    copied(RUN, store.path(old.spec))
    copied(PACK, store.root / "colleague" / "some.parquet")
    new = [make_record(seed=seed) for seed in (1, 2)]
    store.put(new[0])
    hand_over(store.root / "other.parquet", [new[1]])
    table, damaged = read_table(store.root)
    assert damaged == []
    theirs = old_table(PACK)["key"].to_pylist()
    assert sorted(table["key"].to_pylist()) == sorted([old.key, *(r.key for r in new), *theirs])
    assert store.get(old.spec) == dataclasses.replace(old, outcomes=())
    assert store.get(new[0].spec) == new[0]
    assert store.put(old) is False, "law 5: the run is there"


def changed(table, name):
    """The table with one value of a column changed, of one row."""
    rows = table.to_pylist()
    value = rows[0][name]
    if name == "curve":
        value[0]["measures"] = [(key, number + 1) for key, number in value[0]["measures"]]
    elif isinstance(value, list):
        value = [(key, number + 1) for key, number in value]
    else:
        value += 1
    rows[0][name] = value
    return pa.Table.from_pylist(rows, schema=table.schema)


@pytest.mark.parametrize("name", ["score", "metrics", "spent", "energy_components", "curve"])
def test_law_7_a_value_of_version_1_that_was_changed_by_hand_is_found(store, make_record, name):
    table = old_table(RUN)
    assert table[name][0].as_py()
    path = copied(RUN, store.path(make_record().spec))
    pq.write_table(changed(table, name), path, write_page_checksum=True)
    assert version_of(path) == 1
    read, (damage,) = read_table(store.root)
    assert (read.num_rows, damage.path) == (0, path)
    assert "do not match its digest" in damage.reason
    (doubt,) = integrity.read(store.root)[1]
    assert "do not match its digest" in doubt
    assert [d.path for d in pack(store.root).damaged] == [path]
    assert store.get(make_record().spec) is None


def test_law_4_a_flipped_bit_in_a_pack_of_version_1_is_found_and_the_file_left_alone(
    store, old_pack
):
    content = bytearray(old_pack.read_bytes())
    content[len(content) // 3] ^= 1
    old_pack.write_bytes(content)
    assert [d.path for d in read_table(store.root)[1]] == [old_pack]
    done = pack(store.root)
    assert ([d.path for d in done.damaged], done.rewritten) == ([old_pack], 0)
    assert old_pack.read_bytes() == bytes(content)


# --- written anew --------------------------------------------------------------------------------


def test_packing_writes_old_packs_anew_even_where_there_is_nothing_to_pack(store, old_pack, capsys):
    before = read_file(old_pack)
    assert bench(["pack", "--results", str(store.root)], standalone_mode=False) == 0
    assert "1 of an older version written anew, every run as it was" in capsys.readouterr().out
    assert version_of(old_pack) == schema.VERSION
    assert pq.ParquetFile(old_pack).read().column_names == schema.SCHEMA.names
    assert read_file(old_pack).equals(before)
    content = old_pack.read_bytes()
    done = pack(store.root)
    assert (done.runs, done.files, done.rewritten) == (0, 0, 0)
    assert old_pack.read_bytes() == content
    assert integrity.read(store.root)[1] == []


def test_old_runs_and_new_ones_go_into_one_pack(store, make_record):
    old, new = make_record(), make_record(seed=1)
    copied(RUN, store.path(old.spec))
    store.put(new)
    done = pack(store.root)
    assert (done.runs, done.files, done.rewritten) == (2, 1, 0)
    assert version_of(pack_of(store.path(old.spec).parent)) == schema.VERSION
    assert store.get(new.spec) == new
    assert store.get(old.spec) == dataclasses.replace(old, outcomes=())


def test_new_runs_join_an_old_pack(store, make_record):
    old, new = make_record(), make_record(seed=1)
    target = copied(RUN, pack_of(store.path(old.spec).parent))
    store.put(new)
    done = pack(store.root)
    assert (done.runs, done.files, done.rewritten) == (1, 1, 1)
    assert version_of(target) == schema.VERSION
    assert store.get(old.spec) == dataclasses.replace(old, outcomes=())
    assert store.get(new.spec) == new


def test_a_pack_that_holds_a_run_twice_is_left_as_it_is(store, old_pack):
    table = old_table(PACK)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), old_pack)
    content = old_pack.read_bytes()
    (damage,) = pack(store.root).damaged
    assert "holds a run twice" in damage.reason
    assert old_pack.read_bytes() == content


KILLED = """
import os, sys
from pathlib import Path
from harness.records.packing import pack
left, folder = int(sys.argv[2]), sys.argv[1]
def look(event, arguments):
    global left
    touched = event in ("open", "os.rename", "os.remove", "os.link")
    if touched and str(arguments[0]).startswith(folder):
        left -= 1
        if not left:
            os._exit(9)
sys.addaudithook(look)
pack(Path(folder))
"""


def test_law_4_a_kill_at_any_moment_of_writing_anew_loses_nothing(store, make_record):
    """The process ends before its n-th call that opens, renames or removes a file."""
    target = copied(RUN, pack_of(store.path(make_record().spec).parent))
    store.put(make_record(seed=1))
    whole = read_table(store.root)[0]
    before = store.root.parent / "before"
    shutil.rmtree(store.root / ".cache")
    store.root.rename(before)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    versions = []
    for n in range(1, 99):
        shutil.copytree(before, store.root)
        command = [sys.executable, "-c", KILLED, str(store.root), str(n)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode in (0, 9), done.stderr
        versions.append(version_of(target))
        table, damaged = read_table(store.root)
        assert damaged == []
        assert table.equals(whole)
        pack(store.root)
        assert version_of(target) == schema.VERSION
        shutil.rmtree(store.root / ".cache")
        assert read_table(store.root)[0].equals(whole)
        shutil.rmtree(store.root)
        if done.returncode == 0:
            break
    assert versions == sorted(versions)
    assert set(versions[:-1]) == {1, schema.VERSION}, "killed before it was replaced, and after"


# --- the cache -----------------------------------------------------------------------------------


def test_a_cache_of_another_version_is_not_used(store, make_record):
    store.put(make_record())
    whole, _ = read_table(store.root)
    cache = store.root / ".cache" / "runs.parquet"
    table = pq.ParquetFile(cache).read()
    place = table.column_names.index("score")
    wrong = table.set_column(place, "score", pc.add(table["score"], 1.0))
    metadata = dict(table.schema.metadata)
    pq.write_table(wrong.replace_schema_metadata(metadata), cache)
    assert not read_table(store.root)[0].equals(whole), "a cache is trusted"
    pq.write_table(wrong.replace_schema_metadata(metadata | {schema.VERSION_KEY: b"1"}), cache)
    assert read_table(store.root)[0].equals(whole)
