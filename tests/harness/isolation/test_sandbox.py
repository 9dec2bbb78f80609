"""The sandbox from inside, on every version of Landlock, and its filter of system calls."""

import errno
import importlib.util
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.isolation import runfolder, sandbox, seccomp, syscalls
from harness.isolation.sources import Sources

NEEDED = pytest.mark.skipif(bool(sandbox.why_not()), reason=sandbox.why_not())

ENTERED = """
import os, sys
from harness.isolation import sandbox, syscalls
version, folder, secret, outsider = int(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4])
offered = syscalls.landlock_version()
syscalls.landlock_version = lambda: min(version, offered)
os.environ["HF_HOME"] = folder
os.mkdir(f"{folder}/scratch"), os.mkdir(f"{folder}/modules")
with open(f"{folder}/modules/mine.py", "w") as file:
    file.write("mine")
grant = sandbox.Grant(f"{folder}/scratch", f"{folder}/modules")
sandbox.enter(grant, 1 << 30, sandbox.foundation())
"""

PROBES = """
import errno, json, os, socket, subprocess
from harness.isolation import syscalls

def told(what):
    try:
        return what() or True
    except OSError as error:
        return errno.errorcode[error.errno]

def own_file():
    with open("own", "w") as file:
        file.write("x")
    os.rename("own", "still own")
    os.remove("still own")

print(json.dumps({
    "secret": told(lambda: open(secret).read()),
    "mine": told(lambda: open(f"{folder}/modules/mine.py").read()),
    "beside mine": told(lambda: open(f"{folder}/beside.py").read()),
    "listing": told(lambda: sorted(os.listdir(folder))),
    "own file": told(own_file),
    "library": told(lambda: __import__("decimal").__name__),
    "program": told(lambda: subprocess.run(["/bin/true"]).returncode == 0),
    "own process": told(lambda: len(open("/proc/self/status").read()) > 0),
    "another process": told(lambda: open(f"/proc/{outsider}/status").read()),
    "signal": told(lambda: os.kill(outsider, 0)),
    "signal to itself": told(lambda: os.kill(os.getpid(), 0)),
    "socket": told(lambda: socket.socket()),
    "pair": told(lambda: bool(socket.socketpair())),
    "group": told(lambda: (os.setpgid(0, 0), os.getpgid(0))[1]),
    "pipe in a folder": told(lambda: os.mkfifo("fifo")),
    "null": told(lambda: open("/dev/null", "w").close()),
    "capabilities": syscalls.permitted(),
    "tasks": __import__("resource").getrlimit(7)[0],
}))
"""


@pytest.fixture
def inside(tmp_path):
    """What a process finds possible once it is confined: a value, or an error's name."""

    def go(version):
        secret = tmp_path / "secret"
        secret.write_text("label")
        folder = tmp_path / "run"
        folder.mkdir()
        (folder / "beside.py").write_text("label")
        command = [sys.executable, "-c", ENTERED + PROBES, str(version), str(folder), str(secret)]
        done = subprocess.run(
            [*command, str(os.getpid())], capture_output=True, text=True, start_new_session=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return go


@NEEDED
@pytest.mark.parametrize("version", range(1, 8))
def test_law_3_every_version_of_landlock_confines(version, inside):
    found = inside(version)
    refused = {name for name, value in found.items() if value in ("EACCES", "EPERM")}
    forkless = {"program"} if any("no processes" in part for part in sandbox.in_words()) else set()
    assert refused == forkless | {"secret", "beside mine", "listing", "another process", "signal",
                                  "socket", "pipe in a folder"}  # fmt: skip
    for name in {"own file", "program", "own process", "signal to itself", "pair"} - forkless:
        assert found[name] is True, name
    assert (found["mine"], found["library"]) == ("mine", "decimal")
    assert found["group"] != os.getpgid(0)
    read_only = 1 << syscalls.CAP_DAC_READ_SEARCH | 1 << syscalls.CAP_DAC_OVERRIDE
    assert found["capabilities"] & ~read_only == 0
    assert found["tasks"] >= sandbox.TASKS


@NEEDED
def test_what_libraries_bundle_is_no_part_of_what_may_be_read(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    folder = os.path.dirname(importlib.util.find_spec("sklearn").origin)
    rights = sandbox.libraries()
    readable = [path for path, right in rights.items() if right & syscalls.READ]

    def may_be_read(path):
        return any(path == root or path.startswith(f"{root}/") for root in readable)

    assert may_be_read(f"{folder}/__init__.py")
    assert may_be_read(f"{folder}/datasets/_base.py")
    assert not may_be_read(f"{folder}/datasets/data/digits.csv.gz")
    assert not may_be_read(os.path.expanduser("~/.cache/heldout"))
    assert not may_be_read(os.getcwd())


@NEEDED
def test_of_installed_suites_only_what_a_run_names_may_be_read(monkeypatch, tmp_path):
    place = tmp_path / "site-packages"
    for name in ("suites/networks/mlp.py", "suites/data/labels.py", "library/code.py"):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in (path.parent, *path.parent.parents):
            if folder.is_relative_to(place) and folder != place:
                (folder / "__init__.py").touch()
        path.touch()
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr(sandbox, "HERE", place)
    monkeypatch.setattr(sys, "path", [str(place)])
    rights = sandbox.libraries.__wrapped__()
    assert rights[str(place)] == syscalls.LIST
    assert rights[str(place / "library")] == syscalls.READING
    assert not any(path.startswith(str(place / "suites")) for path in rights)
    targets = (f"{place}/suites/networks/mlp.py:mlp", "library.code:mlp")
    with runfolder.RunFolder(Sources(), targets, (), "cpu", processes=True) as folder:
        modules = Path(folder.grant.modules)
        names = {p.relative_to(modules).as_posix() for p in modules.rglob("*.py")}
    inits = {"suites/__init__.py", "suites/networks/__init__.py"}
    assert names == inits | {"suites/networks/mlp.py"}


# --- the filter, run by an interpreter of its own ------------------------------------------------

ALLOWED, KILLED, REFUSED = 0x7FFF0000, 0x80000000, 0x50000
ENOSYS, EPERM = REFUSED | errno.ENOSYS, REFUSED | errno.EPERM
PID = 4242
MACHINES = sorted(seccomp.AUDIT_ARCH)


def verdict(machine, number, *arguments, arch=None, may_fork=True, signals_scoped=True):
    """What the filter says to a call: classic BPF, bpf(4), as far as it is used."""
    code = seccomp.program(PID, may_fork=may_fork, signals_scoped=signals_scoped, machine=machine)
    arch = seccomp.AUDIT_ARCH[machine] if arch is None else arch
    padded = [a % 2**64 for a in (*arguments, *[0] * 6)][:6]
    data = struct.pack("<iIQ6Q", number, arch, 0, *padded)
    steps = list(struct.iter_unpack("=HBBI", code))
    assert len(steps) <= 4096
    place = accumulator = 0
    while True:
        operation, if_true, if_false, value = steps[place]
        place += 1
        if operation == 0x06:
            return value
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x54:
            accumulator &= value
        else:
            holds = accumulator == value if operation == 0x15 else accumulator > value
            place += if_true if holds else if_false


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_denied_is_denied_whatever_the_arguments(machine):
    column = list(seccomp.AUDIT_ARCH).index(machine)
    for name, numbers in seccomp.DENIED.items():
        if numbers[column] is not None:
            assert verdict(machine, numbers[column], 1, 2, 3) == EPERM, name
    for error, calls in seccomp.PRETENDED.items():
        for name, numbers in calls.items():
            if numbers[column] is not None:
                assert verdict(machine, numbers[column]) == REFUSED | error, name
    assert verdict(machine, seccomp.CLONE3[column]) == ENOSYS
    assert verdict(machine, 63, arch=0x40000003) == KILLED  # calls of another architecture


@given(machine=st.sampled_from(MACHINES), number=st.integers(seccomp.LAST_KNOWN + 1, 2**31 - 1))
def test_calls_that_are_not_known_yet_do_not_exist(machine, number):
    assert verdict(machine, number) == ENOSYS


@given(st.sampled_from(MACHINES), st.integers(0, seccomp.LAST_KNOWN), st.booleans(), st.booleans())
def test_everything_else_is_allowed(machine, number, may_fork, signals_scoped):
    column = list(seccomp.AUDIT_ARCH).index(machine)
    options = {"may_fork": may_fork, "signals_scoped": signals_scoped}
    tables = [seccomp.DENIED, *seccomp.PRETENDED.values(), seccomp.FORKS, seccomp.UNSCOPED]
    named = {numbers[column] for table in tables for numbers in table.values()}
    named |= {seccomp.CLONE3[column]}
    named |= {numbers[column] for numbers, _ in seccomp.conditions(PID, **options).values()}
    if number not in named:
        assert verdict(machine, number, **options) == ALLOWED


CALLS = {name: numbers for name, (numbers, _) in
         seccomp.conditions(PID, may_fork=True, signals_scoped=False).items()}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "arguments", "options", "allowed"),
    [
        ("socketpair", (1, 1), {}, True),
        ("socketpair", (1, 5 | 0o2000000), {}, True),  # SOCK_SEQPACKET | SOCK_CLOEXEC
        ("socketpair", (1, 2), {}, False),  # SOCK_DGRAM
        ("socketpair", (2, 1), {}, False),  # AF_INET
        ("clone", (17,), {}, True),  # SIGCHLD: a fork
        ("clone", (17,), {"may_fork": False}, False),
        ("clone", (0x3D0F00,), {"may_fork": False}, True),  # what pthread_create asks for
        ("clone", (0x10000000 | 17,), {}, False),  # CLONE_NEWUSER
        ("clone", (0x8000 | 17,), {}, False),  # CLONE_PARENT
        ("prctl", (1, 0), {}, False),  # PR_SET_PDEATHSIG
        ("prctl", (15, 0), {}, True),  # PR_SET_NAME
        ("fcntl", (3, 1), {}, True),
        ("fcntl", (3, 8), {}, False),  # F_SETOWN
        ("fcntl", (3, 15), {}, False),  # F_SETOWN_EX
        ("fcntl", (0, 10), {}, False),  # F_SETSIG
        ("fcntl", (3, 6), {}, False),  # F_SETLK
        ("fcntl", (3, 37), {}, False),  # F_OFD_SETLK
        ("fcntl", (3, 1024), {}, False),  # F_SETLEASE
        ("fcntl", (3, 1036), {}, False),  # F_SET_RW_HINT, which the file keeps
        ("ioctl", (3, 0x5401), {}, True),
        ("ioctl", (0, 0x5412), {}, False),  # TIOCSTI: typing into somebody's terminal
        ("ioctl", (3, 0x40086602), {}, False),  # FS_IOC_SETFLAGS
        ("madvise", (0, 4096, 4), {}, True),  # MADV_DONTNEED
        ("madvise", (0, 4096, 25), {}, False),  # MADV_COLLAPSE
        ("prlimit64", (0,), {}, True),
        ("prlimit64", (PID,), {}, True),
        ("prlimit64", (PID - 1,), {}, False),
        ("setpriority", (0, 0), {}, True),
        ("setpriority", (2, 0), {}, False),  # PRIO_USER: everything that this user runs
        ("getpriority", (0, PID), {}, True),
        ("getpriority", (0, PID - 1), {}, False),
        ("sched_setaffinity", (1,), {}, False),
        ("kill", (1,), {}, True),
        ("kill", (PID,), {"signals_scoped": False}, True),
        ("kill", (-PID,), {"signals_scoped": False}, True),
        ("kill", (-1,), {"signals_scoped": False}, False),
        ("kill", (1,), {"signals_scoped": False}, False),
        ("tgkill", (1, 1), {"signals_scoped": False}, False),
        ("tgkill", (PID, 7), {"signals_scoped": False}, True),
    ],
)
@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_allowed_under_conditions(machine, name, arguments, options, allowed):
    number = CALLS[name][list(seccomp.AUDIT_ARCH).index(machine)]
    assert verdict(machine, number, *arguments, **options) == (ALLOWED if allowed else EPERM)


HEADERS = {"x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"}


@pytest.mark.skipif(not os.path.exists(HEADERS["x86_64"]), reason="no kernel headers here")
def test_the_numbers_are_those_of_the_kernels_headers():
    text = Path(HEADERS["x86_64"]).read_text().split("#define __NR_")[1:]
    real = {name: int(number) for name, number in (line.split()[:2] for line in text)}
    tables = (
        *(seccomp.DENIED, seccomp.FORKS, seccomp.UNSCOPED, CALLS),
        *seccomp.PRETENDED.values(),
    )
    for table in tables:
        for name, numbers in table.items():
            assert real.get(name, numbers[0]) == numbers[0], name
