"""Processes that tests begin, watch until something happens, and never leave behind."""

import contextlib
import signal
import subprocess
import time
from pathlib import Path

from heldout_testing import PATIENCE_SECONDS, command, environment


@contextlib.contextmanager
def begun(folder, *arguments, place=None):
    """`bench ARGUMENTS` at work on the results in `folder`; killed at the end if it still runs.

    What it says goes to the files `said` and `errors` beside `folder`: a pipe would be held open
    by whoever outlives it. `place` adds to its environment.
    """
    with (folder.parent / "said").open("w") as out, (folder.parent / "errors").open("w") as err:
        process = subprocess.Popen(
            command(*arguments, "--results", str(folder)),
            env=environment() | (place or {}),
            stdout=out,
            stderr=err,
            preexec_fn=interruptible,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def interruptible():
    """Tests that were begun in the background of a shell have Ctrl-C ignored, and pass that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def errors(folder):
    """What the process on the results in `folder` has said on standard error."""
    return (folder.parent / "errors").read_text()


def waited_for(event, process=None):
    """What `event` returns at last; fails where the process ends before."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not (found := event()):
        assert time.monotonic() < until
        assert process is None or process.poll() is None or event(), "it ended before"
        time.sleep(0.02)
    return found


def children(pid, module=""):
    """Ids of the processes that one has started, to run MODULE if that is given."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):  # by the thread that started them
        with contextlib.suppress(OSError):
            for child in path.read_text().split():
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                found += [int(child)] * (not module or module.encode() in words)
    return found


def family(pid):
    """Ids of a process' children and of theirs."""
    return [one for child in children(pid) for one in (child, *family(child))]


def is_alive(pid):
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def stored(folder):
    """The files of records in a folder, which need not be there yet."""
    return [path for path in folder.rglob("[!.]*.parquet") if "methods" not in path.parts]


def blocking(folder, module):
    """A folder for PYTHONPATH with which a process for MODULE does nothing while its parent lives.

    A real one ends when its parent hangs up; this one cannot hear that, and looks.
    """
    idle = "import os, time\nparent = os.getppid()\nwhile os.getppid() == parent: time.sleep(0.1)"
    (folder / "sitecustomize.py").write_text(
        "import sys\nfrom harness import programs\ncommand = programs.command\n"
        "def idle(module, *arguments, **options):\n"
        f"    if module != {module!r}: return command(module, *arguments, **options)\n"
        f"    return [sys.executable, '-c', {idle!r}, module]\n"
        "programs.command = idle\n"
    )
    return str(folder)
