"""`bench run` while things around it fail: its fork server, its disk, its user's patience."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.candidate.channel import pair
from harness.isolation import sandbox
from harness.records.reading import read_table
from heldout_testing import command, environment

STUDY = ("run", "toy-prompts", "toy-reinforce", "--trials", "4", "--seeds", "4", "--jobs", "2")
RUNS = 8
NEEDED = pytest.mark.skipif(bool(sandbox.why_not()), reason=sandbox.why_not())


def began(folder, *more, temporary=None):
    """The study, begun in a process of its own."""
    place = {} if temporary is None else {"TMPDIR": str(temporary)}
    return subprocess.Popen(
        command(*STUDY, *more, "--results", str(folder)),
        env=environment() | place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def waited_for(look, process):
    """What `look` finds at last."""
    until = time.monotonic() + 120
    while not (found := look()):
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return found


def children(process, module):
    """The processes that `process` has started with `python -m module`."""
    found = []
    for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        found += [int(pid)] * (module.encode() in words)
    return found


def statuses(folder):
    table, damaged = read_table(folder)
    assert damaged == []
    return table["status"].to_pylist()


def test_law_6_a_killed_fork_server_is_no_fault_of_any_run(tmp_path):
    """The runs that it had in hand are made again, by a new one."""
    folder = tmp_path / "results"
    process = began(folder, "--trials", "8")
    waited_for(lambda: len(list(folder.rglob("[!.]*.parquet"))) >= 2, process)
    (server,) = children(process, "harness.isolation.forkserver")
    os.kill(server, signal.SIGKILL)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert f"{8 + 4} runs done" in out
    assert statuses(folder) == ["ok"] * (8 + 4)


def test_a_fork_server_that_never_works_is_not_started_for_every_run(tmp_path, bench):
    folder = tmp_path / "results"
    assert bench(*STUDY, "--trials", "1", "--results", str(folder)).returncode == 0
    broken = "import os, sys\nif 'harness.isolation.forkserver' in sys.orig_argv: "
    broken += "os._exit(os.write(2, b'!'))"
    (tmp_path / "sitecustomize.py").write_text(broken)
    paths = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    done = bench(*STUDY, "--results", str(folder), env={"PYTHONPATH": paths})
    assert done.returncode == 1
    assert done.stderr.count("!") == 1
    assert "the fork server has ended (exit code 1)" in done.stderr
    assert "run the same command again" in done.stderr
    assert statuses(folder) == ["ok"] * 5


def test_a_process_whose_harness_was_killed_while_it_was_made_ends_without_a_word():
    ours, theirs = pair()
    server = subprocess.Popen(
        [sys.executable, "-m", "harness.isolation.forkserver", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    theirs.close()
    kept, handed_over = zip(*(pair() for _ in range(3)), strict=True)
    request = json.dumps({"memory_bytes": None, "grant": None}).encode()
    socket.send_fds(ours, [request], [end.fileno() for end in handed_over])
    for end in (*handed_over, *kept, ours):
        end.close()
    _, errors = server.communicate(timeout=120)
    assert errors == ""


def test_ctrl_c_while_torch_is_loading_ends_within_two_seconds(tmp_path):
    seconds = []
    for attempt in range(3):  # the quickest counts: other processes share the machine
        process = began(tmp_path / f"results-{attempt}")
        waited_for(lambda p=process: children(p, "harness.isolation.forkserver"), process)
        pressed = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        seconds.append(time.monotonic() - pressed)
        assert process.returncode == 130, errors
        assert "Traceback" not in errors
        if seconds[-1] < 2.0:
            break
    assert min(seconds) < 2.0


def test_law_4_a_kill_while_starting_leaves_no_file_behind(tmp_path):
    (tmp_path / "tmp").mkdir()
    process = began(tmp_path / "results", temporary=tmp_path / "tmp")
    waited_for(lambda: children(process, "harness.metering.energy"), process)
    process.kill()
    process.communicate()
    assert not list((tmp_path / "tmp").glob("heldout-energy*"))


# --- disks that take nothing more ----------------------------------------------------------------


def limited(byte_count):
    """No file may grow beyond this: the kernel's own way to a write that fails, for any user."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (byte_count, resource.RLIM_INFINITY))


def test_law_4_where_no_record_can_be_written_that_is_said_and_the_next_run_completes(bench):
    failed = bench(*STUDY, preexec_fn=limited(4096))
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert "cannot write" in failed.stderr
    assert "(File too large); what finished before is kept: make room" in failed.stderr
    assert "0 runs done, 0 found" in failed.stdout
    again = bench(*STUDY)
    assert again.returncode == 0, again.stderr
    assert f"{RUNS} runs done, 0 found" in again.stdout


@NEEDED
def test_where_nothing_at_all_can_be_written_that_is_said(bench, store):
    done = bench(*STUDY, preexec_fn=limited(0))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "cannot make a temporary folder" in done.stderr
    assert "TMPDIR" in done.stderr


def test_a_pack_that_cannot_be_written_is_said_and_every_run_is_where_it_was(
    bench, store, make_record
):
    for seed in range(2):
        store.put(make_record(seed=seed))
    before = sorted(store.root.rglob("*"))
    done = bench("pack", preexec_fn=limited(4096))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "(File too large); no run is lost: make room" in done.stderr
    assert sorted(store.root.rglob("*")) == before
