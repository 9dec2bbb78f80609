"""The results folder against a dictionary, through any sequence of events."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.packing import pack
from harness.store import Store, read_table

SEEDS = st.integers(0, 4)  # few runs, so that they meet
SCORES = st.integers(0, 3).map(lambda n: n / 4)


class ResultsFolder(RuleBasedStateMachine):
    """Model: what was written first of every run, and which files were harmed since."""

    make_record = None

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.written = {}  # seed -> record
        self.harmed = set()  # of seeds
        self.packed = set()  # of seeds: they have no file of their own

    def teardown(self):
        shutil.rmtree(self.folder)

    @initialize()
    def begin(self):
        self.store = Store.open(self.folder / "results")

    def record(self, seed, score=0.0):
        return self.make_record(seed=seed, score=score, predictions=())

    def path(self, seed):
        return self.store.path(self.record(seed).spec)

    @rule(seed=SEEDS, score=SCORES)
    def put(self, seed, score):
        record = self.record(seed, score)
        assert self.store.put(record) == (seed not in self.written)
        self.written.setdefault(seed, record)

    @rule(seed=SEEDS)
    def get(self, seed):
        read = self.store.get(self.record(seed).spec)
        if seed in self.harmed:  # it is set aside, so that the run can be repeated
            assert read is None
            self.harmed.remove(seed)
            del self.written[seed]
        else:
            assert read == self.written.get(seed)

    def alone(self):
        return sorted(set(self.written) - self.packed)

    @rule()
    def pack(self):
        done = pack(self.folder / "results")
        sound = set(self.written) - self.packed - self.harmed
        assert done.runs == len(sound)
        assert {d.path for d in done.damaged} == {self.path(seed) for seed in self.harmed}
        self.packed |= sound

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
        seed = data.draw(st.sampled_from(self.alone()))
        content = self.path(seed).read_bytes()
        self.path(seed).write_bytes(content[: int(share * len(content))])
        self.harmed.add(seed)

    @precondition(lambda self: self.alone())
    @rule(data=st.data())
    def delete_a_file(self, data):
        seed = data.draw(st.sampled_from(self.alone()))
        self.path(seed).unlink()
        del self.written[seed]
        self.harmed.discard(seed)

    @rule()
    def crash_while_writing(self):
        (self.folder / "results" / ".x.parquet@elsewhere@1@ff.tmp").write_bytes(b"half")

    @invariant()
    def has_agrees(self):
        for seed in range(5):
            assert self.store.has(self.record(seed).spec) == (seed in self.written)

    @invariant()
    def the_table_agrees(self):
        table, damaged = read_table(self.folder / "results")
        sound = {s: record for s, record in self.written.items() if s not in self.harmed}
        rows = zip(table["seed"].to_pylist(), table["score"].to_pylist(), strict=True)
        assert sorted(rows) == sorted((s, record.score) for s, record in sound.items())
        assert {d.path for d in damaged} == {self.path(seed) for seed in self.harmed}


@pytest.fixture
def machine(make_record):
    return type("Machine", (ResultsFolder,), {"make_record": staticmethod(make_record)})


def test_law_4_the_folder_holds_what_was_written_whatever_happens(machine):
    case = machine.TestCase
    case.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
    case().runTest()
