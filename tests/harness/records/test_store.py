"""Law 4: one run, one row, one file; everything else derives from the records."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import HeldoutError
from harness.records import schema
from harness.records.reading import read_table
from harness.records.store import Store
from heldout_testing import PATIENCE_SECONDS


def hand_over(path, records):
    """Many records in one file, as a colleague sends them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [schema.to_row(record) for record in records]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema.SCHEMA), path)


def keys(root):
    table, damaged = read_table(root)
    assert damaged == []
    return table["key"].to_pylist()


# --- one record --------------------------------------------------------------------------------


def test_law_4_a_record_is_written_once_and_read_back(store, make_record):
    record = make_record()
    assert not store.has(record.spec)
    assert store.get(record.spec) is None
    assert store.put(record) is True
    assert store.has(record.spec)
    assert store.get(record.spec) == record


def test_law_4_the_second_record_of_a_run_is_refused_and_the_first_kept(store, make_record):
    first, second = make_record(score=0.25), make_record(score=0.5)
    assert store.put(first) is True
    assert store.put(second) is False
    assert store.get(first.spec) == first
    assert [p.name for p in store.root.rglob("*.parquet")] == [f"{first.key}.parquet"]


def test_law_4_nothing_temporary_is_left(store, make_record):
    for seed in (0, 1, 1):
        store.put(make_record(seed=seed))
    files = sorted(p.name for p in store.root.rglob("*") if p.is_file())
    assert files == sorted(
        ["heldout.json", *(f"{make_record(seed=s).key}.parquet" for s in (0, 1))]
    )


def test_records_lie_under_suite_scenario_and_method(store, make_record):
    path = store.path(make_record().spec)
    assert path.parent == store.root / "shapes" / "squares-in-order" / "alpha"


@pytest.mark.parametrize("name", ["../../etc", "..", ".hidden", "a/b", "my file.py:Mine", "日本"])
def test_names_never_lead_out_of_the_folder(store, make_record, name):
    record = make_record(suite=name, scenario=name, method=name)
    assert store.put(record)
    assert store.path(record.spec).resolve().is_relative_to(store.root)
    assert keys(store.root) == [record.key]


def test_names_too_long_for_a_folder_are_kept_apart(store, make_record):
    one, two = make_record(method="m" * 300 + "1"), make_record(method="m" * 300 + "2")
    assert store.put(one)
    assert store.put(two)
    assert store.path(one.spec).parent != store.path(two.spec).parent
    assert (store.get(one.spec), store.get(two.spec)) == (one, two)


def test_law_5_a_record_under_another_name_is_not_taken_for_that_run(store, make_record):
    """Files get copied and renamed by hand."""
    one, other = make_record(seed=0), make_record(seed=1)
    store.put(one)
    shutil.copy(store.path(one.spec), store.path(other.spec))
    assert store.get(other.spec) is None


# --- opening a folder --------------------------------------------------------------------------


def test_opening_makes_and_marks_a_folder_and_is_repeatable(tmp_path):
    root = tmp_path / "deep" / "results"
    for _ in range(2):
        Store.open(root)
        assert [p.name for p in root.iterdir()] == ["heldout.json"]


def test_an_empty_folder_is_taken(tmp_path):
    assert Store.open(tmp_path).root == tmp_path


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(HeldoutError, match="not empty and no results folder"):
        Store.open(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_refused(tmp_path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(HeldoutError, match="is a file; --results takes a folder"):
        Store.open(tmp_path / "results")


@pytest.mark.parametrize("place", ["/proc/heldout-results", "/sys/heldout-results", "FILE/results"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path, place):
    (tmp_path / "FILE").write_text("a file")
    root = Path(place) if place.startswith("/") else tmp_path / place
    with pytest.raises(HeldoutError, match="cannot write to the results folder") as refused:
        Store.open(root)
    assert str(root) in str(refused.value)
    assert "--results DIR" in str(refused.value)


def test_a_link_to_nowhere_is_refused(tmp_path):
    (tmp_path / "results").symlink_to(tmp_path / "absent")
    with pytest.raises(HeldoutError, match="results"):
        Store.open(tmp_path / "results")


def temporary(folder, name, host, pid):
    path = folder / f".{name}@{host}@{pid}@00ff00ff.tmp"
    path.write_bytes(b"half a rec")
    return path


def dead_pid():
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    return process.pid


def test_law_4_leftovers_of_dead_processes_are_swept_at_open(store, make_record):
    record = make_record()
    store.put(record)
    folder = store.path(record.spec).parent
    ours = socket.gethostname()
    gone = temporary(folder, "a.parquet", ours, dead_pid())
    alive = temporary(folder, "b.parquet", ours, os.getpid())
    elsewhere = temporary(folder, "c.parquet", "other-host", dead_pid())
    foreign = folder / ".notes.tmp"
    foreign.write_text("not of ours")
    Store.open(store.root)
    assert not gone.exists()
    assert all(path.exists() for path in (alive, elsewhere, foreign))
    assert keys(store.root) == [record.key]


@pytest.mark.parametrize("host", [socket.gethostname(), "other-host"])
def test_law_4_leftovers_of_another_day_are_swept_whoever_seems_to_write_them(store, host):
    """In a container every `bench` may have the same number, and every container its own name."""
    left = temporary(store.root, "a.parquet", host, os.getpid())
    os.utime(left, (time.time() - 90_000,) * 2)
    Store.open(store.root)
    assert not left.exists()


@pytest.mark.parametrize("pid", [os.getpid(), None], ids=["while it runs", "after a crash"])
def test_law_4_a_folder_that_another_process_began_can_be_opened(tmp_path, pid, make_record):
    """A first process has made the folder, and its marker is not in place yet, or never will be."""
    temporary(tmp_path, "heldout.json", socket.gethostname(), pid or dead_pid())
    assert Store.open(tmp_path).put(make_record())


# --- two processes -----------------------------------------------------------------------------

PUT_ALL = """
import sys
from pathlib import Path
import pyarrow.parquet as pq
from harness.records import schema
from harness.records.store import Store
records = [schema.from_row(row) for row in pq.read_table(sys.argv[1]).to_pylist()]
sys.stdin.readline()  # both begin at once
store = Store.open(Path(sys.argv[2]))
for record in records:
    print(record.key, store.put(record))
"""


def test_law_4_two_processes_that_write_at_once_write_every_key_once(tmp_path, make_record):
    shared = [make_record(seed=seed) for seed in range(30)]
    written = Counter()
    with contextlib.ExitStack() as stack:
        workers = []
        for name in ("one", "two"):
            own = [make_record(method=name, seed=seed) for seed in range(5)]
            hand_over(tmp_path / f"{name}.parquet", shared + own)
            command = [sys.executable, "-c", PUT_ALL, f"{name}.parquet", "results"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            worker = subprocess.Popen(command, cwd=tmp_path, text=True, **pipes)
            workers.append(stack.enter_context(worker))
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        for worker in workers:
            out, err = worker.communicate(timeout=PATIENCE_SECONDS)
            assert (worker.returncode, err) == (0, "")
            written.update(key for key, said in map(str.split, out.splitlines()) if said == "True")
    assert len(written) == 40
    assert set(written.values()) == {1}
    assert keys(tmp_path / "results") == sorted(written)
    assert not list((tmp_path / "results").rglob("*.tmp"))
