"""Packing: a method's runs in one file, and nothing else changes."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from harness.cli import bench
from harness.records import schema
from harness.records.packing import pack
from harness.records.reading import read_table
from heldout_testing import ROOT


@pytest.fixture
def full(store, make_record):
    """A folder with eight runs of one method on one scenario, and their records."""
    records = [make_record(seed=seed, score=seed / 8) for seed in range(8)]
    for record in records:
        store.put(record)
    return store, records


def files(root):
    found = [p.relative_to(root) for p in root.rglob("*.parquet")]
    return sorted(p.as_posix() for p in found if ".cache" not in p.parts)


def test_law_4_a_packed_run_is_the_record_that_was_written(full):
    store, records = full
    before, _ = read_table(store.root)
    done = pack(store.root)
    folder = store.path(records[0].spec).parent.relative_to(store.root)
    assert files(store.root) == [f"{folder.as_posix()}.parquet"]
    assert (done.runs, done.files, done.damaged) == (8, 1, ())
    assert done.bytes_after < done.bytes_before / 3
    for record in records:
        assert store.has(record.spec)
        assert store.get(record.spec) == record
        assert store.put(record) is False, "law 5: never two rows of one key"
    after, damaged = read_table(store.root)
    assert damaged == []
    assert after.equals(before)


def test_packing_twice_changes_nothing_and_new_runs_join(full, make_record):
    store, records = full
    pack(store.root)
    (path,) = store.root.rglob("*.parquet")
    content = path.read_bytes()
    assert pack(store.root).runs == 0
    assert path.read_bytes() == content
    late = make_record(seed=9)
    assert store.put(late)
    assert store.get(late.spec) == late
    assert pack(store.root).runs == 1
    assert [store.get(r.spec) for r in (*records, late)] == [*records, late]


def test_the_order_of_packing_leaves_the_same_bytes(tmp_path, make_record):
    from harness.records.store import Store

    found = []
    for name, order in (("a", range(6)), ("b", reversed(range(6)))):
        store = Store.open(tmp_path / name)
        for seed in order:
            store.put(make_record(seed=seed))
            if name == "b":
                pack(store.root)
        pack(store.root)
        (path,) = store.root.rglob("*.parquet")
        found.append(path.read_bytes())
    assert found[0] == found[1]


def test_a_crash_between_pack_and_removal_leaves_every_run_once(full):
    store, records = full
    kept = {store.path(r.spec): store.path(r.spec).read_bytes() for r in records[:3]}
    pack(store.root)
    for path, content in kept.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    table, damaged = read_table(store.root)
    assert (table.num_rows, damaged) == (8, [])
    assert pack(store.root).runs == 3
    assert len(files(store.root)) == 1


def test_a_folder_stays_for_those_who_are_about_to_write_to_it(full):
    """A writer makes its folder, then the file in it: no packing may come between."""
    store, records = full
    pack(store.root)
    assert store.path(records[0].spec).parent.is_dir()


def test_law_5_a_run_that_was_packed_while_another_wrote_it_is_there_once(store, make_record):
    """Two processes made the same run; the first has packed its own before the second is done."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    mine, theirs = make_record(seed=100), make_record(seed=100, score=0.5)
    here = str(ROOT / "tests" / "harness")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *filter(None, sys.path)])}
    slow = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=/^link(at)?$"]
    slow += ["-e", "inject=/^link(at)?$:delay_enter=2000000"]  # microseconds
    command = [*slow, sys.executable, "-c", WRITER.replace("130", "101"), str(store.root), here]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as writer:
        while not list(store.root.rglob(".*.tmp")) and writer.poll() is None:
            time.sleep(0.01)
        assert store.put(theirs)
        assert pack(store.root).runs == 1
        said = writer.communicate()[1]
    if "ptrace" in said:
        pytest.skip(f"strace is not permitted here: {said.splitlines()[0]}")
    assert "AssertionError" in said, "the second is told that it came too late"
    assert store.get(mine.spec) == theirs
    assert files(store.root) == [f"{store.path(mine.spec).parent.relative_to(store.root)}.parquet"]
    assert pack(store.root).damaged == ()


def test_a_damaged_run_stays_outside_and_is_named(full):
    store, records = full
    path = store.path(records[2].spec)
    path.write_bytes(path.read_bytes()[:-20])
    done = pack(store.root)
    assert done.runs == 7
    assert [d.path for d in done.damaged] == [path]
    assert store.get(records[2].spec) is None, "set aside, to be repeated"
    assert store.get(records[3].spec) == records[3]


def test_a_flipped_bit_in_a_pack_is_noticed_and_the_file_kept(full):
    store, records = full
    pack(store.root)
    (path,) = store.root.rglob("*.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(bytes(content))
    assert store.get(records[0].spec) is None
    assert path.exists()
    _, damaged = read_table(store.root)
    assert [d.path for d in damaged] == [path]
    assert store.put(records[0]) is True, "its run can be repeated"
    done = pack(store.root)
    assert [d.path for d in done.damaged] == [path]
    assert store.get(records[0].spec) == records[0]


def test_another_run_under_a_packed_key_is_refused(full, make_record):
    store, records = full
    path = store.path(records[0].spec)
    pack(store.root)
    path.parent.mkdir(exist_ok=True)
    other = type(store).open(store.root.parent / "other")
    other.put(make_record(seed=0, score=0.99))
    path.write_bytes(other.path(records[0].spec).read_bytes())
    (damage,) = pack(store.root).damaged
    assert "with other values" in damage.reason
    assert path.exists()


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from conftest import RECORD
import dataclasses
from harness.records.store import Store
store = Store.open(Path(sys.argv[1]))
for seed in range(100, 130):
    spec = dataclasses.replace(RECORD.spec, seed=seed)
    assert store.put(dataclasses.replace(RECORD, spec=spec))
"""


PACKER = """
import sys
from pathlib import Path
from harness.records.packing import pack
for _ in range(30):
    pack(Path(sys.argv[1]))
"""


def test_packing_beside_a_writer_and_another_packer_loses_nothing(store):
    here = str(ROOT / "tests" / "harness")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *filter(None, sys.path)])}
    command = [sys.executable, "-c", WRITER, str(store.root), here]
    with (
        subprocess.Popen(command, env=environment) as writer,
        subprocess.Popen([sys.executable, "-c", PACKER, str(store.root)], env=environment) as other,
    ):
        while writer.poll() is None:
            pack(store.root)
        assert (writer.wait(), other.wait()) == (0, 0)
    pack(store.root)
    table, damaged = read_table(store.root)
    assert sorted(table["seed"].to_pylist()) == list(range(100, 130))
    assert damaged == []


def test_the_command_says_what_it_saved(full, capsys):
    store, _ = full
    assert bench(["pack", "--results", str(store.root)], standalone_mode=False) == 0
    assert "8 runs packed into 1 files" in capsys.readouterr().out
    assert bench(["pack", "--results", str(store.root)], standalone_mode=False) == 0


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path):
    from harness.errors import HeldoutError

    with pytest.raises(HeldoutError, match="no results folder of ours"):
        pack(tmp_path)


def test_the_schema_survives(full):
    store, _ = full
    pack(store.root)
    from harness.records.store import read_file

    (path,) = store.root.rglob("*.parquet")
    assert read_file(path).schema.equals(schema.SCHEMA)
