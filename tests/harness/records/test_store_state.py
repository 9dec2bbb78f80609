"""The results folder against a dictionary, through any sequence of events."""

import itertools
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.records import schema
from harness.records.packing import pack
from harness.records.reading import read_table
from harness.records.store import Store, pack_of, read_file
from heldout_testing import environment, traced

RUNS = st.tuples(st.integers(0, 3), st.sampled_from("ab"))  # seed, source: few, so that they meet
CALLS = ("fsync", "link", "rename", "unlink")
SCORES = st.integers(0, 3).map(lambda n: n / 4)


class ResultsFolder(RuleBasedStateMachine):
    """Model: what was written first of every run, and which files were harmed since.

    A run is a seed and a source of its method: changed source makes the old runs stale, and they
    stay. A second process has had the folder open from the beginning.
    """

    make_record = None

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.written = {}  # run -> record
        self.harmed = set()  # of runs
        self.packed = set()  # of runs
        self.twice = set()  # of packed runs: they have a file of their own still

    def teardown(self):
        shutil.rmtree(self.folder)

    @initialize()
    def begin(self):
        self.store = Store.open(self.folder / "results")
        self.another = Store.open(self.folder / "results")

    def record(self, run, score=0.0):
        seed, source = run
        changes = {"seed": seed, "method_hash": source * 64, "score": score}
        return self.make_record(**changes, predictions=())

    def path(self, run):
        return self.store.path(self.record(run).spec)

    @rule(run=RUNS, score=SCORES, another=st.booleans())
    def put(self, run, score, another):
        record = self.record(run, score)
        store = self.another if another else self.store
        assert store.put(record) == (run not in self.written)
        self.written.setdefault(run, record)

    @rule(run=RUNS, another=st.booleans())
    def get(self, run, another):
        read = (self.another if another else self.store).get(self.record(run).spec)
        if run in self.harmed:  # it is set aside, so that the run can be repeated
            assert read is None
            self.harmed.remove(run)
            del self.written[run]
        else:
            assert read == self.written.get(run)

    def alone(self):
        return sorted(set(self.written) - self.packed)

    @rule()
    def pack(self):
        done = pack(self.folder / "results")
        sound = set(self.written) - self.packed - self.harmed
        assert done.runs == len(sound) + len(self.twice)
        assert {d.path for d in done.damaged} == {self.path(run) for run in self.harmed}
        self.packed |= sound
        self.twice.clear()

    @precondition(lambda self: set(self.alone()) - self.harmed)
    @rule(data=st.data())
    def crash_while_packing(self, data):
        """The pack is in place, and some of the runs' own files are not removed yet."""
        sound = [run for run in self.alone() if run not in self.harmed]
        left = data.draw(st.lists(st.sampled_from(sound), unique=True))
        content = {run: self.path(run).read_bytes() for run in left}
        self.pack()
        for run in left:
            self.path(run).write_bytes(content[run])
        self.twice |= set(left)

    @rule()
    def reopen(self):
        self.store = Store.open(self.folder / "results")

    @rule()
    def delete_the_cache(self):
        shutil.rmtree(self.folder / "results" / ".cache", ignore_errors=True)

    @rule(keep=st.integers(0, 300))
    def truncate_the_cache(self, keep):
        cache = self.folder / "results" / ".cache" / "runs.parquet"
        if cache.exists():
            cache.write_bytes(cache.read_bytes()[:keep])

    @precondition(lambda self: self.alone())
    @rule(data=st.data(), share=st.floats(0, 0.99))
    def truncate_a_file(self, data, share):
        run = data.draw(st.sampled_from(self.alone()))
        content = self.path(run).read_bytes()
        self.path(run).write_bytes(content[: int(share * len(content))])
        self.harmed.add(run)

    @precondition(lambda self: self.alone())
    @rule(data=st.data())
    def delete_a_file(self, data):
        run = data.draw(st.sampled_from(self.alone()))
        self.path(run).unlink()
        del self.written[run]
        self.harmed.discard(run)

    @rule()
    def crash_while_writing(self):
        (self.folder / "results" / ".x.parquet@elsewhere@1@ff.tmp").write_bytes(b"half")

    @invariant()
    def has_agrees(self):
        for run in itertools.product(range(4), "ab"):
            for store in (self.store, self.another):
                assert store.has(self.record(run).spec) == (run in self.written)

    @invariant()
    def the_table_agrees(self):
        table, damaged = read_table(self.folder / "results")
        sound = {
            record.key: record for run, record in self.written.items() if run not in self.harmed
        }
        rows = zip(table["key"].to_pylist(), table["score"].to_pylist(), strict=True)
        assert sorted(rows) == sorted((key, record.score) for key, record in sound.items())
        assert {d.path for d in damaged} == {self.path(run) for run in self.harmed}


PUT_OR_PACK = """
import sys
from pathlib import Path
import pyarrow.parquet as pq
from harness.records import schema
from harness.records.packing import pack
from harness.records.store import Store
store = Store.open(Path("results"))
if sys.argv[1:]:
    store.put(schema.from_row(pq.read_table(sys.argv[1]).to_pylist()[0]))
else:
    pack(Path("results"))
"""


class FolderOfKilledProcesses(ResultsFolder):
    """The same with processes that are really killed: on entry to the n-th call of a kind."""

    kills = 0

    def killed(self, arguments, call, n):
        names = f"/^{call}(at|at2)?$"
        inject = ("-e", f"trace={names}", "-e", f"inject={names}:signal=KILL:when={n}")
        command = [sys.executable, "-c", PUT_OR_PACK, *arguments]
        done = traced(self.folder, command, "-o", "/dev/null", *inject, env=environment())
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        FolderOfKilledProcesses.kills += done.returncode != 0

    @rule(run=RUNS, score=SCORES, call=st.sampled_from(CALLS), n=st.integers(1, 3))
    def killed_while_writing(self, run, score, call, n):
        record = self.record(run, score)
        rows = pa.Table.from_pylist([schema.to_row(record)], schema=schema.SCHEMA)
        pq.write_table(rows, self.folder / "row.parquet")
        self.killed(["row.parquet"], call, n)
        if self.path(run).exists():
            self.written.setdefault(run, record)

    @rule(call=st.sampled_from(CALLS), n=st.integers(1, 3))
    def killed_while_packing(self, call, n):
        self.killed([], call, n)
        found = pack_of(self.path((0, "a")).parent)
        held = set(read_file(found)["key"].to_pylist()) if found.exists() else set()
        self.packed = {run for run in self.written if self.record(run).key in held}
        self.twice = {run for run in self.packed if self.path(run).exists()}


@pytest.fixture
def check(make_record):
    """Runs a machine."""

    def go(machine, examples, **more):
        made = type("Machine", (machine,), {"make_record": staticmethod(make_record)})
        case = made.TestCase
        chosen = settings(max_examples=examples, stateful_step_count=20, deadline=None, **more)
        case.settings = chosen
        case().runTest()

    return go


def test_law_4_the_folder_holds_what_was_written_whatever_happens(check):
    check(ResultsFolder, 25)


@pytest.mark.slow
def test_law_4_the_folder_holds_what_was_written_whoever_is_killed(check):
    check(FolderOfKilledProcesses, 12, derandomize=True)  # by chance there may be too few kills
    assert FolderOfKilledProcesses.kills >= 3, "otherwise they were meant for other calls"
