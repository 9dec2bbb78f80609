"""Law 2, equal chances: nothing that the kernel keeps is common to two runs."""

import importlib.util
import marshal
import os
import shutil
import struct
import subprocess
from pathlib import Path

import notes
import numpy as np
import pytest
from processes import stored

import heldout_testing
from harness.isolation import sandbox

NEEDED = pytest.mark.skipif(bool(sandbox.why_not()), reason=sandbox.why_not())
DESCRIPTORS = ("position", "status_flags", "signal_number")  # kept by an opening, not by a file


@pytest.fixture
def noted(run, tmp_path):
    """What three methods found that sat one exam: three, as two may run at once."""

    def go(way, isolation, *, standard=False):
        places = [shutil.copy(notes.__file__, tmp_path / f"{name}.py") for name in "abc"]
        summary = run(
            *(f"{place}:Notes" for place in places),
            place="continual/split-digits-class",
            isolation=isolation,
            fixed={"way": way, "standard": str(standard)},
        )
        assert summary.errors == []
        records = [record for result in summary.results for record in result.evaluation]
        assert [record.isolation for record in records] == [isolation] * 3
        return [record.failure.reason for record in records if record.failure]

    return go


@NEEDED
@pytest.mark.parametrize("way", notes.WAYS)
def test_law_2_no_run_finds_a_note_of_another_at_what_both_read(way, noted):
    assert noted(way, "sandbox") == []


@pytest.mark.parametrize("way", DESCRIPTORS)
@pytest.mark.parametrize("isolation", [pytest.param("sandbox", marks=NEEDED), "process"])
def test_law_2_standard_streams_are_the_runs_own(way, isolation, noted):
    assert noted(way, isolation, standard=True) == []


@pytest.mark.parametrize("way", DESCRIPTORS)
def test_law_2_descriptors_are_the_runs_own_at_every_level(way, noted):
    assert noted(way, "process") == []


def test_a_note_is_found_where_two_hold_one_opening():
    """What the walls are good for: without them every one of these says something."""
    with open(__file__, "rb") as file:
        for way in DESCRIPTORS:
            fd = os.dup(file.fileno())
            found = [bool(notes.WAYS[way](fd)) for _ in range(2)]
            os.close(fd)
            assert found == [False, True], way


OPEN = """
raise RuntimeError(f"HOLDS {sorted(map(int, os.listdir('/proc/self/fd')))}")
"""


@pytest.mark.parametrize("isolation", [pytest.param("sandbox", marks=NEEDED), "process"])
def test_law_2_a_run_holds_nothing_that_the_server_opened(isolation, run, method_file):
    """Standard streams, the conversation, what its sandbox needs, and the listing itself."""
    (record,) = run(method_file(start=OPEN), isolation=isolation).results[0].evaluation
    held = record.failure.reason.partition("HOLDS [")[2].partition("]")[0].split(", ")
    assert {"0", "1", "2"} <= set(held)
    assert len(held) <= 3 + 3, held


# --- what runs ------------------------------------------------------------------------------------

TELLS = "raise RuntimeError(f'RAN {VALUE!r}')"
SOURCE = "VALUE = 'what is hashed'\n"
OTHER = "VALUE = 'what came along'\n"


def _poisoned(path):
    """Byte code of something else, in the place where Python keeps that of a file."""
    compiled = Path(importlib.util.cache_from_source(str(path)))
    compiled.parent.mkdir(exist_ok=True)
    code = marshal.dumps(compile(OTHER, str(path), "exec"))
    head = importlib.util.MAGIC_NUMBER + struct.pack("<I", 1) + bytes(8)  # unchecked, PEP 552
    compiled.write_bytes(head + code)


@pytest.mark.parametrize("isolation", [pytest.param("sandbox", marks=NEEDED), "process"])
def test_law_5_byte_code_that_came_along_does_not_run(isolation, run, method_file, tmp_path):
    helper = tmp_path / "helper.py"
    helper.write_text(SOURCE)
    _poisoned(helper)
    target = method_file(start=f"from helper import VALUE\n{TELLS}")
    (record,) = run(target, isolation=isolation).results[0].evaluation
    assert "RAN 'what is hashed'" in record.failure.reason


CRIB = "'''cribsheet 3 1 4'''"
SEARCHES = f"""
{CRIB}
# cribsheet 1 5 9
import inspect
module = sys.modules[type(self).__module__]
texts = [str(module.__doc__), str(type(self).__doc__), str(type(self).start.__doc__)]
texts += [inspect.getsource(module), open(__file__).read()]
texts += [p.read_text() for p in __import__('pathlib').Path(__file__).parent.rglob('*.py')]
raise RuntimeError(f"READ {{[text[:300] for text in texts if 'crib' 'sheet' in text]}}")
"""


@pytest.mark.parametrize("isolation", [pytest.param("sandbox", marks=NEEDED), "process"])
def test_law_5_nothing_can_be_read_that_is_not_hashed(isolation, run, method_file, tmp_path):
    target = method_file(start=SEARCHES)
    path = Path(target.rpartition(":")[0])
    path.write_text(f"{CRIB}\n{path.read_text()}\n# cribsheet 2 6\n")
    (record,) = run(target, isolation=isolation).results[0].evaluation
    assert "READ []" in record.failure.reason
    lines = path.read_text().splitlines()
    line = next(i for i, text in enumerate(lines, 1) if "READ" in text)
    assert f"(mine.py:{line})" in record.failure.reason


# --- where processes start ------------------------------------------------------------------------

TRAPS = ("random", "json", "selectors", "socket", "torch", "numpy", "codecarbon", "runpy",
         "sitecustomize", "usercustomize", "harness", "email", "ctypes", "array")  # fmt: skip
TRAP = """
import os, sys
with open({place!r}, 'a') as file:
    print({name!r}, sys.orig_argv, file=file)
"""


@pytest.mark.slow
@pytest.mark.parametrize("isolation", [pytest.param("sandbox", marks=NEEDED), "process"])
def test_law_3_no_process_of_ours_imports_from_the_users_folder(isolation, tmp_path, method_file):
    """A file named like a standard module, beside the method and in the folder of the command."""
    sprung = tmp_path / "sprung"
    for name in TRAPS:
        (tmp_path / f"{name}.py").write_text(TRAP.format(place=str(sprung), name=name))
    target = method_file()
    python, *command = heldout_testing.command("run", "continual/split-digits-class", target)
    asked = ("--set", "lr=0.1", "--seeds", "1", "--isolation", isolation, "--results", "results")
    done = subprocess.run(
        [
            python,
            "-P",
            *command,
            *asked,
        ],  # as a script in bin/ has it: its folder is not on the path
        cwd=tmp_path,
        env=heldout_testing.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(stored(tmp_path / "results")) == 1
    assert not sprung.exists(), sprung.read_text()


# --- files that a run may read and its user may own -----------------------------------------------

MARKS = """
import array, ctypes, fcntl, struct
libc = ctypes.CDLL(None, use_errno=True)
path = np.__file__.encode()
fd = os.open(path, os.O_RDONLY)
def called(name, *arguments):
    if getattr(libc, name)(*arguments):
        raise OSError(ctypes.get_errno(), name)
now = struct.pack("qqqq", 7, 7, 7, 7)
ways = {
    "utime": lambda: os.utime(path, (7, 7)), "futimens": lambda: os.utime(fd, (7, 7)),
    "utimes": lambda: called("utimes", path, now), "futimes": lambda: called("futimes", fd, now),
    "futimesat": lambda: called("futimesat", -100, path, now),
    "chmod": lambda: os.chmod(path, 0o640), "fchmod": lambda: os.fchmod(fd, 0o640),
    "chown": lambda: os.chown(path, os.getuid(), -1), "fchown": lambda: os.fchown(fd, -1, -1),
    "setxattr": lambda: os.setxattr(path, "user.note", b"7"),
    "fsetxattr": lambda: os.setxattr(fd, "user.note", b"7"),
    "fremovexattr": lambda: os.removexattr(fd, "user.none"),
    "flags": lambda: fcntl.ioctl(fd, 0x40086602, struct.pack("l", 0x40)),
    "attributes": lambda: fcntl.ioctl(fd, 0x401C5820, bytes(28)),
    "hint": lambda: fcntl.fcntl(fd, 1036, struct.pack("Q", 5)),
    "lease": lambda: fcntl.fcntl(fd, 1024, fcntl.F_RDLCK),
    "record lock": lambda: fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB),
    "truncate": lambda: os.truncate(path, 0), "link": lambda: os.link(path, "linked"),
    "notify": lambda: fcntl.fcntl(fd, 1026, 1),
}
done = []
for name, way in ways.items():
    try:
        way()
        done.append(name)
    except (OSError, AttributeError):
        continue
raise RuntimeError(f"MARKED {done}")
"""


@NEEDED
def test_law_2_nothing_can_be_marked_at_the_files_of_a_library(run, method_file):
    """Where the run's user owns them, a descriptor for reading is enough for most of this."""
    before = os.stat(np.__file__)
    (record,) = run(method_file(start=MARKS), isolation="sandbox").results[0].evaluation
    assert "MARKED []" in record.failure.reason
    after = os.stat(np.__file__)
    assert (before.st_mode, before.st_mtime_ns, before.st_ctime_ns, before.st_nlink) == (
        after.st_mode, after.st_mtime_ns, after.st_ctime_ns, after.st_nlink,
    )  # fmt: skip
