"""Studies that are killed again and again: every run is there once, and is the run that it was."""

import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest
from processes import interruptible

from harness.isolation import workfolder
from harness.records.reading import read_table, record_files
from harness.records.store import pack_of, read_file
from heldout_testing import PATIENCE_SECONDS, command, environment, traced

pytestmark = pytest.mark.slow

STUDY = ("run", "toy-prompts", "toy-reinforce", "--trials", "20", "--seeds", "40", "--jobs", "2")
RUNS = 60
SAME = ("status", "score", "weights_sha256", "predictions", "setting", "seed", "failure_reason")
"""Columns that are no measurement: the same whenever and however often a run is begun."""


def rows(root):
    """Every row of every file: one that is there twice counts twice."""
    return [row for path in record_files(root) for row in read_file(path).to_pylist()]


def outcomes(found):
    return {row["key"]: {name: row[name] for name in SAME} for row in found}


class Victim:
    """Commands on one results folder, with a temporary folder of their own."""

    def __init__(self, place, chance):
        self.results, self.temporary = place / "results", place / "tmp"
        self.temporary.mkdir()
        self.chance = chance
        self.interrupted = 0  # times; before `main` has begun, Python answers with a traceback
        self.log = place / "log"  # no pipe: orphans would hold it open
        self.environment = environment() | {"TMPDIR": str(self.temporary)}

    def begin(self, *arguments):
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command(*arguments, "--results", str(self.results)),
                env=self.environment,
                stdout=subprocess.DEVNULL,
                stderr=log,
                preexec_fn=interruptible,
            )

    def files(self):
        return [path for path in self.results.rglob("[!.]*.parquet") if "methods" not in path.parts]

    def processes(self):
        """(id, command line) of all that are alive with our temporary folder: ours, or orphans."""
        mark, found = f"\0TMPDIR={self.temporary}\0".encode(), []
        for entry in os.scandir("/proc"):
            try:
                if entry.name.isdigit() and mark in Path(entry.path, "environ").read_bytes():
                    found.append((int(entry.name), Path(entry.path, "cmdline").read_text()))
            except OSError:
                continue  # it has ended
        return found

    def strike(self, process):
        """Kill, one way or another."""
        how = self.chance.choice(["main", "main", "terminate", "interrupt", "all", "server"])
        if how == "server":  # the study goes on with another, and is killed a little later
            servers = [pid for pid, line in self.processes() if "harness.isolation.serving" in line]
            kill(servers)
            time.sleep(self.chance.uniform(0, 2))
        victims = [pid for pid, _ in self.processes()] if how == "all" else [process.pid]
        number = {"terminate": signal.SIGTERM, "interrupt": signal.SIGINT}.get(how, signal.SIGKILL)
        kill(victims, number)
        self.interrupted += how == "interrupt"
        process.wait(PATIENCE_SECONDS)

    def until_struck(self, process, startup):
        """Wait for a random moment; False if the command was done before."""
        if self.chance.random() < 0.5:  # anywhere, while it starts above all
            until = time.monotonic() + self.chance.uniform(0, startup)
            enough = 10_000
        else:  # while runs come in
            until = time.monotonic() + 120
            enough = len(self.files()) + self.chance.randint(1, 3)
        while time.monotonic() < until and len(self.files()) < enough:
            if process.poll() is not None:
                return False
            time.sleep(0.005)
        time.sleep(self.chance.uniform(0, 0.2))
        return process.poll() is None

    def assert_clean(self):
        """Nobody is left, nor anything temporary that would not be removed."""
        until = time.monotonic() + PATIENCE_SECONDS  # for a server that loads torch
        while found := self.processes():
            assert time.monotonic() < until, found
            time.sleep(0.1)
        assert self.log.read_text().count("Traceback") <= self.interrupted
        assert not list(self.results.rglob("*.tmp"))
        left = list(self.temporary.glob("heldout-*"))
        assert all(path.name.startswith(workfolder.PREFIX) for path in left), left
        for path in left:
            os.utime(path, (0, 0))
        workfolder.sweep()
        assert not list(self.temporary.glob("heldout-*"))


def kill(pids, number=signal.SIGKILL):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a study left in peace, its outcomes by key, seconds to its first run."""
    place = tmp_path_factory.mktemp("undisturbed")
    victim = Victim(place, random.Random(0))
    began = time.monotonic()
    process = victim.begin(*STUDY)
    while not victim.files():
        assert process.poll() is None, victim.log.read_text()
        time.sleep(0.02)
    startup = time.monotonic() - began
    assert process.wait(PATIENCE_SECONDS) == 0, victim.log.read_text()
    found = rows(victim.results)
    assert len(found) == RUNS
    return victim.results, outcomes(found), startup


def assert_complete(victim, undisturbed):
    assert victim.begin(*STUDY).wait(PATIENCE_SECONDS) == 0, victim.log.read_text()
    found = rows(victim.results)
    assert Counter(row["key"] for row in found) == dict.fromkeys(undisturbed[1], 1)
    assert outcomes(found) == undisturbed[1]
    victim.assert_clean()


def test_law_4_fifty_kills_lose_double_and_change_nothing(tmp_path, undisturbed, monkeypatch):
    victim = Victim(tmp_path, random.Random(2026))
    monkeypatch.setattr(tempfile, "tempdir", str(victim.temporary))
    killed, held = 0, set()
    while killed < 50:
        refresh = victim.results.exists() and victim.chance.random() < 0.2
        process = victim.begin(*(("refresh", "--jobs", "2") if refresh else STUDY))
        if victim.until_struck(process, undisturbed[2]):
            victim.strike(process)
            killed += 1
        else:
            assert process.wait() == 0, victim.log.read_text()
        if victim.results.exists():
            assert read_table(victim.results)[1] == []
            now = {row["key"] for row in rows(victim.results)}
            assert held <= now, "what was finished is kept"
            held = now
            if len(held) == RUNS:  # too soon: have some made again
                for path in victim.chance.sample(sorted(victim.files()), 20):
                    path.unlink()
                held = {row["key"] for row in rows(victim.results)}
    assert_complete(victim, undisturbed)


def test_law_4_two_processes_on_one_folder_that_are_killed_and_packed_lose_nothing(
    tmp_path, undisturbed, monkeypatch
):
    victim = Victim(tmp_path, random.Random(7))
    monkeypatch.setattr(tempfile, "tempdir", str(victim.temporary))
    for killed in range(12):
        pair = [victim.begin(*STUDY) for _ in range(2)]
        if killed % 3 == 2:
            pair.append(victim.begin("pack"))
        if victim.until_struck(pair[0], undisturbed[2]):
            kill([victim.chance.choice(pair[:2]).pid])
            time.sleep(victim.chance.uniform(0, 1))
        kill([process.pid for process in pair])
        for process in pair:
            process.wait(PATIENCE_SECONDS)
        if victim.results.exists():
            assert read_table(victim.results)[1] == []
    assert_complete(victim, undisturbed)


# --- at every call that changes the disk ---------------------------------------------------------

SHORT = ("run", "toy-prompts", "toy-reinforce", "--trials", "2", "--seeds", "2")


def points(folder, arguments, calls, what, prepare):
    """Run a command once for every n, the n-th of `calls` in each thread ending in `what`."""
    for n in range(1, 40):
        prepare()
        options = ("-o", "/dev/null", "-e", f"trace=/^({calls})$")
        inject = ("-e", f"inject=/^({calls})$:{what}:when={n}")
        done = traced(folder, command(*arguments), *options, *inject, env=environment())
        if done.returncode == 0:
            break
        yield n, done


@pytest.mark.parametrize(
    ("calls", "what", "count"),
    [
        ("fsync", "signal=KILL", 4),
        ("fsync", "error=EIO", 4),
        ("link|linkat", "signal=KILL", 2),
        ("link|linkat", "error=ENOSPC", 2),
    ],
)
def test_law_4_a_study_that_fails_at_any_call_is_completed_by_the_next(
    tmp_path, bench, calls, what, count
):
    def prepare():
        shutil.rmtree(tmp_path / "results", ignore_errors=True)

    found = []
    for n, done in points(tmp_path, SHORT, calls, what, prepare):
        found.append(n)
        if what != "signal=KILL":
            assert done.returncode in (1, 2)
            assert "Traceback" not in done.stderr
            assert re.search(r"cannot write .*(Input/output error|No space left)", done.stderr)
        if (tmp_path / "results").exists():
            assert read_table(tmp_path / "results")[1] == []
        again = bench(*SHORT)
        assert again.returncode == 0, again.stderr
        assert Counter(row["status"] for row in rows(tmp_path / "results")) == {"ok": 4}
        assert not list((tmp_path / "results").rglob("*.tmp"))
    assert len(found) >= count


@pytest.mark.parametrize("what", ["signal=KILL", "error=EIO"])
@pytest.mark.parametrize(
    ("calls", "count"), [("fsync", 2), ("rename|renameat|renameat2", 1), ("unlink|unlinkat", 3)]
)
def test_law_4_packing_that_fails_at_any_call_loses_nothing(
    tmp_path, bench, undisturbed, what, calls, count
):
    root, wanted, _ = undisturbed
    folder = record_files(root)[0].parent
    some = sorted(folder.glob("*.parquet"))[:3]

    def prepare():
        shutil.rmtree(tmp_path / "results", ignore_errors=True)
        target = tmp_path / "results" / folder.relative_to(root)
        target.mkdir(parents=True)
        for path in (root / "heldout.json", *some):
            shutil.copy(path, tmp_path / "results" / path.relative_to(root))

    found = []
    for n, done in points(tmp_path, ("pack",), calls, what, prepare):
        found.append(n)
        assert "Traceback" not in done.stderr
        table, damaged = read_table(tmp_path / "results")
        assert (set(table["key"].to_pylist()), damaged) == ({path.stem for path in some}, [])
        assert bench("pack").returncode == 0
        again = rows(tmp_path / "results")
        assert outcomes(again) == {path.stem: wanted[path.stem] for path in some}
        assert [pack_of(tmp_path / "results" / folder.relative_to(root))] == record_files(
            tmp_path / "results"
        )
    assert len(found) >= count


@pytest.mark.parametrize("what", ["signal=KILL", "error=EIO"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("leaderboard", "freeze", "toy-prompts", "--reference", "toy-reinforce"),
        ("leaderboard", "describe"),
    ],
    ids=lambda arguments: arguments[1],
)
def test_law_4_constants_and_texts_are_old_or_new_at_every_moment(
    tmp_path, bench, undisturbed, what, arguments
):
    root, _, _ = undisturbed
    read_table(root)  # otherwise the first calls are those for the cache, which may fail
    kind = {"freeze": "anchors", "describe": "methods"}[arguments[1]]

    def prepare():
        shutil.rmtree(tmp_path / "results", ignore_errors=True)
        shutil.copytree(root, tmp_path / "results", ignore=shutil.ignore_patterns(kind))

    prepare()
    assert bench(*arguments).returncode == 0
    whole = {p.name: p.read_bytes() for p in (tmp_path / "results" / kind).glob("*.parquet")}
    assert whole
    found = []
    for calls in ("fsync", "rename|renameat|renameat2"):
        for n, done in points(tmp_path, arguments, calls, what, prepare):
            found.append((calls, n))
            assert "Traceback" not in done.stderr
            for path in (tmp_path / "results").glob(f"{kind}/[!.]*.parquet"):
                assert path.read_bytes() == whole[path.name]
            again = bench(*arguments)
            assert again.returncode == 0, again.stderr
            now = {p.name: p.read_bytes() for p in (tmp_path / "results" / kind).glob("[!.]*")}
            assert now == whole
    assert len(found) >= 3
