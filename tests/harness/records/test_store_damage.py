"""What happens to a results folder: flipped bits, foreign files, full disks, crashes."""

import os
import random
import re
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import HeldoutError
from harness.records import schema
from harness.records.reading import failure_logs, read_table
from harness.records.record import Failure
from harness.records.store import NewerSchemaError, Store, WriteError
from heldout_testing import traced

# --- damaged files -----------------------------------------------------------------------------


def assert_noticed_or_harmless(store, record):
    """Either the file still says what was written, or both readers say that it does not."""
    path = store.path(record.spec)
    shutil.rmtree(store.root / ".cache", ignore_errors=True)
    table, damaged = read_table(store.root)
    assert [found.path for found in damaged] in ([], [path])
    try:
        read = store.get(record.spec)
    except NewerSchemaError:  # a flip in the version's digit; told, and nothing is lost
        assert damaged
        return
    if damaged:
        assert read is None
        assert table.num_rows == 0
        assert not path.exists()  # set aside: the run can be repeated
        assert path.with_suffix(".damaged").exists()
    else:
        assert read == record
        assert schema.row_digest(schema.to_row(read)) == table["digest"][0].as_py()


def test_law_4_a_flipped_bit_is_noticed_or_harmless(store, make_record):
    record = make_record()
    store.put(record)
    path = store.path(record.spec)
    content = path.read_bytes()
    chance = random.Random(0)
    step = len(content) / 60
    for i in range(60):
        place = int(i * step + chance.random() * step)
        harmed = bytearray(content)
        harmed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(harmed)
        assert_noticed_or_harmless(store, record)


def test_law_4_a_truncated_file_is_noticed(store, make_record):
    record = make_record()
    store.put(record)
    path = store.path(record.spec)
    content = path.read_bytes()
    for length in [0, 1, 4, 8, 12, *range(100, len(content), 997), len(content) - 1]:
        path.write_bytes(content[:length])
        assert read_table(store.root)[1][0].path == path
        assert store.get(record.spec) is None


def test_law_4_a_run_set_aside_can_be_repeated(store, make_record):
    record, other = make_record(), make_record(seed=1)
    store.put(record)
    store.put(other)
    path = store.path(record.spec)
    path.write_bytes(path.read_bytes()[:-20])
    table, (damage,) = read_table(store.root)
    assert table["key"].to_pylist() == [other.key]  # the rest is read
    assert damage.path == path
    assert "delete it and repeat its run" in damage.reason
    assert "\n" not in damage.reason
    assert store.get(record.spec) is None
    assert store.put(record) is True
    assert store.get(record.spec) == record
    assert read_table(store.root)[1] == []


def test_law_4_a_file_that_lost_its_row_is_noticed(store, make_record):
    """One flipped bit in the footer turns the number of rows from 1 to 0, checksums unharmed."""
    record = make_record()
    store.put(record)
    path = store.path(record.spec)
    table = pq.ParquetFile(path).read()
    pq.write_table(table.slice(0, 0), path)
    assert pq.read_metadata(path).metadata[schema.VERSION_KEY] == str(schema.VERSION).encode()
    assert [damage.path for damage in read_table(store.root)[1]] == [path]
    assert store.get(record.spec) is None


def rewritten(path, **columns):
    """The same file with other values and sound page checksums."""
    table = pq.ParquetFile(path).read()
    for name, value in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array([value], table.field(name).type))
    metadata = {schema.VERSION_KEY: str(schema.VERSION).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path, write_page_checksum=True)


@pytest.mark.parametrize("column", ["host", "failure_log"])
def test_law_6_text_that_is_no_text_is_named_and_the_rest_is_read(store, make_record, column):
    """A flipped bit in a file that came without page checksums."""
    records = [make_record(seed=seed, failure=Failure("memory", "no", "")) for seed in range(2)]
    for record in records:
        store.put(record)
    path = store.path(records[0].spec)
    table = pq.ParquetFile(path).read()
    broken = pa.array([b"ho\xffst"], pa.binary()).buffers()
    text = pa.StringArray.from_buffers(1, broken[1], broken[2])
    table = table.set_column(table.column_names.index(column), column, text)
    metadata = {schema.VERSION_KEY: str(schema.VERSION).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    read, (damage,) = read_table(store.root)
    assert read["key"].to_pylist() == [records[1].key]
    assert damage.path == path
    assert "UTF8" in damage.reason
    assert failure_logs(store.root, {record.key for record in records}) == {}
    assert store.get(records[0].spec) is None


@pytest.mark.parametrize(
    "columns",
    [{"score": 0.99}, {"score": None}, {"failure_log": "x"}, {"score": float("nan")}, {"seed": 5}],
    ids=str,
)
def test_law_7_a_value_changed_by_hand_is_noticed(store, make_record, columns):
    record = make_record()
    store.put(record)
    rewritten(store.path(record.spec), **columns)
    table, (damage,) = read_table(store.root)
    assert table.num_rows == 0
    assert damage.path == store.path(record.spec)
    assert store.get(record.spec) is None


def test_law_4_too_many_open_files_do_not_condemn_a_sound_record(store, make_record, tmp_path):
    """What cannot be opened right now is not damaged."""
    record = make_record()
    store.put(record)
    row = tmp_path / "row.parquet"
    shutil.copy(store.path(record.spec), row)
    script = """
import os, resource, sys
from pathlib import Path
import pyarrow.parquet as pq
from harness.records import schema
from harness.records.store import Store
record = schema.from_row(pq.read_table(sys.argv[1]).to_pylist()[0])
store = Store(Path(sys.argv[2]))
assert store.get(record.spec) == record
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1,) * 2)
try:
    store.get(record.spec)
except Exception as error:
    print(error)
"""
    command = [sys.executable, "-c", script, str(row), str(store.root)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert store.has(record.spec)
    assert store.get(record.spec) == record


# --- other people's files ----------------------------------------------------------------------


def test_a_record_of_a_newer_version_is_named_and_left_alone(store, make_record):
    record, other = make_record(), make_record(seed=1)
    store.put(record)
    store.put(other)
    path = store.path(record.spec)
    newer = {schema.VERSION_KEY: str(schema.VERSION + 1).encode()}
    table = pq.ParquetFile(path).read().append_column("new", pa.array([1]))
    pq.write_table(table.replace_schema_metadata(newer), path)
    content = path.read_bytes()
    read, (damage,) = read_table(store.root)
    assert read["key"].to_pylist() == [other.key]
    assert "newer heldout" in damage.reason
    with pytest.raises(NewerSchemaError, match="newer heldout"):
        store.get(record.spec)
    assert store.put(record) is False
    assert path.read_bytes() == content


@pytest.mark.parametrize("version", [None, b"0", b"-3", b"one"])
def test_a_foreign_parquet_file_is_named_and_skipped(store, make_record, version):
    store.put(make_record())
    foreign = store.root / "penguins.parquet"
    table = pa.table({"island": ["Torgersen"]})
    if version is not None:
        table = table.replace_schema_metadata({schema.VERSION_KEY: version})
    pq.write_table(table, foreign)
    content = foreign.read_bytes()
    read, (damage,) = read_table(store.root)
    assert read.num_rows == 1
    assert damage.path == foreign
    assert str(foreign) in damage.reason
    assert foreign.read_bytes() == content


def test_law_6_a_name_that_is_no_text_is_told_and_the_rest_is_read(store, make_record):
    records = [make_record(seed=seed) for seed in range(2)]
    for record in records:
        store.put(record)
    odd = os.fsencode(store.root) + b"/copy\xff.parquet"
    os.rename(store.path(records[0].spec), odd)
    read, (damage,) = read_table(store.root)
    assert read["key"].to_pylist() == [records[1].key]
    assert damage.reason == "copy\ufffd.parquet: its name is not UTF-8; rename it"
    assert failure_logs(store.root, {record.key for record in records}) == {}


def test_a_file_that_only_claims_our_schema_is_named(store, make_record):
    store.put(make_record())
    metadata = {schema.VERSION_KEY: str(schema.VERSION).encode()}
    table = pa.table({"key": ["k"], "score": [1.0]}).replace_schema_metadata(metadata)
    pq.write_table(table, store.root / "half.parquet")
    read, (damage,) = read_table(store.root)
    assert read.num_rows == 1
    assert damage.path.name == "half.parquet"


def test_hidden_files_and_other_kinds_are_no_records(store, make_record):
    store.put(make_record())
    (store.root / ".hidden.parquet").write_text("no table")
    (store.root / "notes.txt").write_text("no table")
    (store.root / ".git").mkdir()
    (store.root / ".git" / "x.parquet").write_text("no table")
    table, damaged = read_table(store.root)
    assert (table.num_rows, damaged) == (1, [])


# --- no room -----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 96 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root and mount")
    options = ["-t", "tmpfs", "-o", "size=96k", "tmpfs"]
    if subprocess.run(["mount", *options, place], capture_output=True).returncode != 0:
        pytest.skip("mount is not permitted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_law_4_a_full_disk_is_said_and_earlier_records_stay(small_disk, make_record):
    root = small_disk / "results"
    store = Store.open(root)
    kept = []
    with pytest.raises(WriteError, match="No space left on device") as failed:  # noqa: PT012
        for seed in range(100):
            store.put(make_record(seed=seed))
            kept.append(make_record(seed=seed))
    assert str(root) in str(failed.value)
    assert "run the same command again" in str(failed.value)
    assert len(kept) >= 3
    assert not list(root.rglob("*.tmp"))
    for _ in range(2):
        table, damaged = read_table(root)
        assert damaged == []
        assert table["key"].to_pylist() == sorted(record.key for record in kept)
    refused = make_record(seed=len(kept))
    assert not store.has(refused.spec)
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    assert Store.open(root).put(refused) is True
    assert store.get(refused.spec) == refused


@pytest.fixture
def read_only_disk(small_disk):
    yield small_disk
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)


def test_a_read_only_folder_is_refused_for_writing_and_read(read_only_disk, make_record):
    root = read_only_disk / "results"
    Store.open(root).put(make_record())
    subprocess.run(["mount", "-o", "remount,ro", read_only_disk], check=True)
    with pytest.raises(HeldoutError, match="cannot write to the results folder"):
        Store.open(root)
    with pytest.raises(WriteError, match="Read-only file system"):
        Store(root).put(make_record(seed=1))
    assert read_table(root)[0].num_rows == 1


def test_a_damaged_file_that_cannot_be_set_aside_is_named(read_only_disk, make_record):
    store = Store.open(read_only_disk / "results")
    record = make_record()
    store.put(record)
    store.path(record.spec).write_bytes(b"PAR1")
    subprocess.run(["mount", "-o", "remount,ro", read_only_disk], check=True)
    with pytest.raises(WriteError, match=r"cannot set the damaged file .*Read-only file system"):
        store.get(record.spec)


# --- crashes -----------------------------------------------------------------------------------

PUT_SOME = """
import sys
from pathlib import Path
import pyarrow.parquet as pq
from harness.records import schema
from harness.records.store import Store
rows = pq.read_table(sys.argv[1]).to_pylist()
store = Store.open(Path(sys.argv[2]))
for record in map(schema.from_row, rows):
    if store.get(record.spec) is None:
        assert store.put(record)
"""


@pytest.fixture
def write_some(tmp_path, make_record):
    """The command that puts two records into a folder `results`."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    rows = [schema.to_row(make_record(seed=seed)) for seed in range(2)]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema.SCHEMA), tmp_path / "rows.parquet")
    (tmp_path / "put.py").write_text(PUT_SOME)
    return [sys.executable, "put.py", "rows.parquet", "results"]


def test_law_4_file_then_name_then_folder_reach_the_disk(tmp_path, write_some, make_record):
    options = ("-y", "-e", "signal=none", "-e", "trace=fsync,fdatasync,/^(rename|link)")
    done = traced(tmp_path, write_some, *options, "-o", "order.txt")
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "order.txt").read_text().splitlines()
    for seed in range(2):
        path = Store(tmp_path / "results").path(make_record(seed=seed).spec)
        name, folder = re.escape(path.name), re.escape(str(path.parent))

        def first(pattern):
            found = [i for i, call in enumerate(calls) if re.search(pattern, call)]
            assert found, f"no call {pattern} among:\n" + "\n".join(calls)
            return found[0]

        named = first(rf'(link|rename)\w*\(.*{name}@.*{name}"')
        assert first(rf"fsync\(\d+<{folder}/\.{name}@\S+\.tmp>\) += 0") < named
        folder_synced = [
            i for i, call in enumerate(calls) if re.search(rf"fsync\(\d+<{folder}>\) += 0", call)
        ]
        assert any(i > named for i in folder_synced)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "points"),
    [("fsync", 9), ("link", 3), ("unlink", 3)],  # marker and two records; three folders of theirs
)
def test_law_4_a_kill_at_any_point_loses_and_doubles_nothing(
    tmp_path, write_some, make_record, fault, points
):
    """Killed on entry to the n-th call; then the same command again, and the records are right."""
    wanted = sorted(make_record(seed=seed).key for seed in range(2))
    killed = 0
    for n in range(1, 50):
        shutil.rmtree(tmp_path / "results", ignore_errors=True)
        inject = f"inject=/^{fault}(at)?$:signal=KILL:when={n}"
        done = traced(
            tmp_path, write_some, "-o", "/dev/null", "-e", f"trace=/^{fault}(at)?$", "-e", inject
        )
        if done.returncode == 0:
            break
        killed += 1
        if (tmp_path / "results").exists():
            assert read_table(tmp_path / "results")[1] == []
        again = subprocess.run(write_some, cwd=tmp_path, capture_output=True, text=True)
        assert again.returncode == 0, f"killed at {fault} {n}, then: {again.stderr}"
        table, damaged = read_table(tmp_path / "results")
        assert (table["key"].to_pylist(), damaged) == (wanted, [])
        assert not list((tmp_path / "results").rglob("*.tmp"))
    assert killed == points  # otherwise the kills were looked for in the wrong place
