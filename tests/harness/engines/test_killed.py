"""Law 6 tells a worker that is killed from outside from a method that kills itself."""

import os
import signal
from pathlib import Path

import pytest
from processes import begun, errors, waited_for

from harness import study
from harness.engines import killed
from harness.engines.killed import SERVER, Attempt, KilledError
from harness.errors import HeldoutError
from harness.proctor.outcome import Outcome
from harness.records.reading import read_table, record_files
from harness.records.record import Cost, Failure
from heldout_testing import PATIENCE_SECONDS

CLASS = "continual/split-digits-class"
SHORT = ("--set", "lr=0.1", "--seeds", "1", "--budget", "epochs=1", "--isolation", "process")
WAITS = """
if os.path.exists({hold!r}):
    with open({mark!r} + '.new', 'w') as mark: mark.write(str(os.getpid()))
    os.rename({mark!r} + '.new', {mark!r})
    while os.path.exists({hold!r}): time.sleep(0.01)
"""
"""Say who is at work, and wait until nobody holds us."""


@pytest.fixture
def victim(method_file, tmp_path):
    """A method that waits to be killed, the file that holds it, the file that says who it is."""
    hold, mark = tmp_path / "hold", tmp_path / "mark"
    hold.touch()
    code = WAITS.replace("{hold!r}", repr(str(hold))).replace("{mark!r}", repr(str(mark)))
    return method_file("victim.py", before=code), hold, mark


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_law_6_a_worker_that_somebody_kills_is_no_failure(victim, tmp_path, number):
    target, hold, mark = victim
    folder = tmp_path / "results"
    with begun(folder, "run", CLASS, target, *SHORT) as process:
        waited_for(mark.exists, process)
        os.kill(int(mark.read_text()), number)
        hold.unlink()
        assert process.wait(PATIENCE_SECONDS) == 0, errors(folder)
    assert f"ended by {number.name} in learn of experience 0; it is made again" in errors(folder)
    assert read_table(folder)[0]["status"].to_pylist() == ["ok"]


def test_law_6_whoever_is_killed_by_a_neighbour_is_innocent(victim, method_file, run):
    target, hold, mark = victim
    kill = f"""
        while not os.path.exists({str(mark)!r}): time.sleep(0.01)
        if os.path.exists({str(hold)!r}): os.kill(int(open({str(mark)!r}).read()), 9)
        if os.path.exists({str(hold)!r}): os.unlink({str(hold)!r})
    """
    summary = run(target, method_file("killer.py", start=kill), isolation="process")
    assert summary.errors == []
    assert [r.status for result in summary.results for r in result.evaluation] == ["ok", "ok"]


def test_law_6_a_method_that_kills_itself_has_failed_where_runs_are_repeated_for_the_clock(
    run, method_file, store
):
    target = method_file(start="os.kill(os.getpid(), signal.SIGKILL)")
    summary = run(target, place="energy/digits-mlp-2")
    (record,) = summary.results[0].evaluation
    assert (record.status, record.failure.kind) == ("failed", "killed")
    assert "ended by SIGKILL in start, and ended by SIGKILL in start when" in record.failure.reason
    again = run(target, place="energy/digits-mlp-2")
    assert (again.executed, again.found, len(record_files(store.root))) == (0, 1, 1)


def test_a_method_that_is_killed_while_it_is_imported_for_its_facts_leaves_nothing(run, tmp_path):
    (tmp_path / "dies.py").write_text("import os\nos.kill(os.getpid(), 9)\nclass Mine: pass\n")
    with pytest.raises(HeldoutError, match="ended by SIGKILL in its import"):
        run(f"{tmp_path}/dies.py:Mine")
    assert record_files(tmp_path / "results") == []


# --- whose doing it was --------------------------------------------------------------------------

SECOND = KilledError(
    Outcome(Cost(cpu_seconds=1.0), failure=Failure("killed", "ended by SIGTERM in learn", "log"))
)
GB = 10**9


def test_another_end_in_another_place_is_still_the_methods_doing():
    outcome = Attempt("ended by SIGKILL in start", 0, ended=10**9).outcome(SECOND, 4 * GB)
    assert outcome.failure.kind == "killed"
    assert "ended by SIGKILL in start, and ended by SIGTERM in learn when" in outcome.failure.reason
    assert "delete this record and run the same command again" in outcome.failure.reason
    assert (outcome.failure.log, outcome.cost.cpu_seconds) == ("log", 1.0)


def test_a_server_that_was_killed_twice_is_the_methods_doing():
    outcome = Attempt(SERVER, 0, ended=10**9).outcome(None, None)
    assert f"{SERVER}, and {SERVER} when" in outcome.failure.reason


@pytest.mark.parametrize("memory", [4 * GB, None])
def test_law_6_a_system_out_of_memory_is_no_failure_of_a_run_it_had_no_room_for(memory):
    attempt = Attempt("ended by SIGKILL in learn", 2 * GB, ended=-1)  # one more by now
    with pytest.raises(HeldoutError, match=r"had 2\.0 GB left, so nothing is recorded: make room"):
        attempt.outcome(SECOND, memory)


def test_a_run_that_had_room_and_drove_the_system_out_of_memory_has_failed():
    attempt = Attempt("ended by SIGKILL in learn", 8 * GB, ended=-1)
    assert attempt.outcome(SECOND, 4 * GB).failure.kind == "killed"


@pytest.mark.parametrize("names", killed._LIMITS, ids=lambda names: names[0])
def test_the_room_is_that_of_the_narrowest_group(tmp_path, monkeypatch, names):
    monkeypatch.setattr(killed, "GROUPS", tmp_path)
    assert Attempt.begun("").room_bytes > 0, "no groups, the machine alone"
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        group = tmp_path / line.split(":")[1]
        group.mkdir(exist_ok=True)
        for name, value in zip(names, (1000, 400), strict=True):
            (group / name).write_text(f"{value}\n")
        (group / "memory.stat").write_text("anon 5\ninactive_file 100\nactive_file 50\n")
    assert Attempt.begun("").room_bytes == 700


def test_a_group_without_a_limit_leaves_the_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(killed, "GROUPS", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    assert Attempt.begun("").room_bytes > 0


def test_law_6_a_command_does_not_go_on_for_ever(method_file, tmp_path, engine, store):
    """Two attempts a run, however often the method kills itself: it counts them in a file."""
    count = tmp_path / "count"
    start = f"open({str(count)!r}, 'a').write('.'); os.kill(os.getpid(), signal.SIGKILL)"
    request = study.Request(
        CLASS, (method_file(start=start),), protocol="untuned", seeds=2, isolation="process"
    )
    notes = []
    summary = study.run(request, engine, store, lambda e: notes.append(e.note) if e.note else None)
    assert count.read_text() == "...."
    assert notes == ["ended by SIGKILL in start"] * 2
    assert summary.failed == 2
