"""Isolation level `sandbox`: what a method's process may read, write and do, and nothing else.

It may read the interpreter, installed libraries (the data sets that they bring along left out) and
the source files that its run is made of; write to a scratch folder of its own; start processes and
threads up to a limit. It may not reach the network, other processes, the harness' files, results,
data sets, or temporary folders of anyone else. The kernel sees to that (Landlock, seccomp, limits,
a user of its own where we are root); here are the rules, in `syscalls` and `seccomp` the calls.
Where there is no Landlock, namespaces take its place (`bubblewrap`): a run then starts some seconds
later, in a fork server of its own.

What no sandbox can stop: a method that brings answers along in its own source, which is hashed and
read by people; and asking for size and date of a file whose path is known.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from harness.isolation import bubblewrap, seccomp, syscalls
from harness.isolation.syscalls import DEVICE, EXECUTE, LIST, READ, READING, WRITE, WRITING
from harness.records.record import Isolation

Mechanism = Literal["landlock", "bubblewrap"]

TASKS = 256  # processes and threads of a run together
DESCRIPTORS = 1024  # open at a time: what a pipe or a pair of sockets holds counts as no memory
FILE_BYTES = 64 << 30  # of one file, where no memory limit says less
FIRST_USER = 0x70000000  # of the users that runs get where we are root; nobody else's by then

SYSTEM = (
    "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr/bin", "/usr/lib", "/usr/lib32",
    "/usr/lib64", "/usr/libexec", "/usr/include", "/usr/local/bin", "/usr/local/lib",
    "/usr/local/lib64", "/usr/local/include", "/usr/local/cuda", "/usr/share/zoneinfo",
    "/etc/ld.so.cache", "/etc/localtime", "/proc/cpuinfo", "/proc/meminfo",
    "/sys/devices/system/cpu", "/sys/devices/system/node",
)  # fmt: skip
"""Programs, shared libraries and facts of the hardware."""

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
ACCELERATORS = ("/dev/nvidia*", "/dev/nvidia-caps/*", "/dev/dri/*")
ABOUT_ACCELERATORS = ("/proc/driver/nvidia", "/proc/devices", "/sys/bus/pci", "/sys/devices")
PACKAGES = ("site-packages", "dist-packages")
HERE = Path(__file__).resolve().parents[2]
KEPT = ("suites", "baselines")
"""Packages beside ours, in a checkout or among the installed: of these a run reads its own files
only. What draws a scenario's data can draw its labels."""
BUNDLED = (
    *("*/datasets/data", "*/datasets/images", "*/datasets/tests", "*/data/data", "skimage/data"),
    *("*/_data", "*/datasets/*/*.csv", "*/datasets/*/*.csv.gz", "*/datasets/*.csv"),
    *("*/datasets/*.csv.gz", "*/datasets/*.npz"),
)
"""Where installed libraries keep data sets, labels included."""


@dataclass(frozen=True)
class Grant:
    """What one run's process gets beside interpreter and libraries. Crosses to it as JSON."""

    scratch: str  # the folder it may write to
    modules: str  # the folder that it imports its sources from
    folders: tuple[str, ...] = ()  # pretrained models that the scenario names
    accelerators: bool = False
    processes: bool = True  # whether it may start any beside itself


# --- our side ------------------------------------------------------------------------------------


def why_not() -> str:
    """Why this machine allows no sandbox, as a clause; "" where it does."""
    if not seccomp.supported():
        return f"the system calls of {os.uname().machine} are not known to heldout"
    if "\nSeccomp:" not in Path("/proc/self/status").read_text():
        return "this kernel has no seccomp filters"
    reason = _no_landlock()
    other = bubblewrap.why_not() if reason else ""
    return f"{reason}, and {other}" if other else ""


def mechanism() -> Mechanism:
    """What keeps a run from files that are not its own, where `why_not` has no objection."""
    return "bubblewrap" if _no_landlock() else "landlock"


def _no_landlock() -> str:
    """Why there is no Landlock, as a clause; "" where there is."""
    try:
        syscalls.landlock_version()
    except OSError as error:
        reasons = {
            errno.ENOSYS: "this kernel has no Landlock (Linux 5.13 brought it)",
            errno.EOPNOTSUPP: "Landlock is not switched on (kernel parameter lsm=landlock,...)",
            errno.EPERM: "a container forbids Landlock; allow landlock_* in its seccomp profile",
        }
        return reasons.get(error.errno or 0, str(error))
    return ""


def strongest() -> Isolation:
    """The highest level of isolation that this machine allows."""
    return "process" if why_not() else "sandbox"


def in_words() -> list[str]:
    """What the sandbox of this machine is made of, for a person."""
    if mechanism() == "bubblewrap":
        files, scoped = "bubblewrap, which delays a run's start", "and no signals"
    else:
        files = f"Landlock {syscalls.landlock_version()}"
        scoped = "and no signals" if syscalls.signals_scoped() else "and no signals, by seccomp"
    user = _user() if mechanism() == "landlock" else None
    processes = f"at most {TASKS} processes and threads"
    if user is None and os.geteuid() == 0:
        processes = "threads but no processes of its own, since root cannot be limited here"
    elif user is None:
        processes += " beyond those that this user has"
    else:
        processes += ", under a user of its own"
    return [
        f"files of its own only, by {files}",
        f"no network, no other process' memory {scoped}",
        processes,
    ]


def hinted(reason: str, isolation: Isolation) -> str:
    """The reason of a failure, with what to do where the sandbox may be behind it."""
    refused = ("PermissionError", "ModuleNotFoundError", "Permission denied")
    if isolation != "sandbox" or not any(word in reason for word in refused):
        return reason
    return (
        f"{reason}; in a sandbox a method reads its own source files and installed libraries, "
        "and writes to its working folder, nothing else; where cost is judged it starts no process "
        "(--isolation process lifts that)"
    )


def wall(grant: Grant) -> list[str]:
    """What to start a program with so that bubblewrap confines it to a run's files."""
    roots, holes = _trees()
    links = [path for path in SYSTEM if Path(path).is_symlink()]
    shown = [*links, *map(str, roots), *(str(m) for m in _hub().glob("models--*"))]
    inside = [*grant.folders, grant.modules]
    inside += ABOUT_ACCELERATORS if grant.accelerators else ()
    return bubblewrap.command(
        readable=shown,
        hidden=map(str, holes),
        inside=inside,
        devices=_accelerators() if grant.accelerators else (),
        writable=grant.scratch,
    )


def tasks_of_user() -> int:
    """How many processes and threads the user has that runs in bubblewrap belong to."""
    return _tasks_of(os.getuid())


# --- the side of the method's process ------------------------------------------------------------


def foundation() -> int | None:
    """A Landlock ruleset for one run with the rights of every run in it; None without Landlock.

    Made ahead of a run: it takes as long as the rest of a sandbox.
    """
    return None if _no_landlock() else syscalls.ruleset(libraries())


def enter(
    grant: Grant, memory_bytes: int | None, ruleset: int | None, tasks_outside: int | None = None
) -> None:
    """Confine this process, which has one thread, for good; OSError where the kernel refuses.

    `ruleset` comes from `foundation`; without one, bubblewrap must have confined this process to
    the files of `grant` already, and `tasks_outside` says how many the user has that it cannot
    see. Everything is in force when this returns; where it raises, no code of a method may run.
    """
    if ruleset is None and tasks_outside is None:
        raise OSError(errno.ENOSYS, _no_landlock())
    user = _user()
    _limit(user, memory_bytes, tasks_outside or 0)
    if user is not None:
        os.chown(grant.scratch, user, user)
    if ruleset is not None:
        syscalls.allow(ruleset, _rights(grant))
    with contextlib.suppress(OSError):  # if the memory of all is used up, methods go first
        Path("/proc/self/oom_score_adj").write_text("1000")
    os.open("/proc/self", os.O_PATH)  # stays open: a rule holds for an entry of /proc while it does
    os.chdir(grant.scratch)
    syscalls.become(user, _kept(user))
    syscalls.die_with_parent(signal.SIGKILL)
    syscalls.no_new_privileges()
    if ruleset is not None:
        syscalls.restrict(ruleset)
    _settle(grant)
    may_fork = grant.processes and (user is not None or os.geteuid() != 0)
    scoped = ruleset is not None and syscalls.signals_scoped()
    code = seccomp.program(os.getpid(), may_fork=may_fork, signals_scoped=scoped)
    syscalls.filter_calls(code)


def _user() -> int | None:
    """The user that this process turns into; None: we are an ordinary user, or may not change.

    Where we are root, a user of its own is the only way to limit how many processes a run has:
    the kernel excepts root from RLIMIT_NPROC, setrlimit(2).
    """
    changes = 1 << 6 | 1 << 7  # CAP_SETGID, CAP_SETUID
    wanted = FIRST_USER + os.getpid()
    if os.geteuid() != 0 or syscalls.permitted() & changes != changes:
        return None
    for name in ("uid_map", "gid_map"):  # user_namespaces(7): first inside, first outside, count
        lines = Path(f"/proc/self/{name}").read_text().splitlines()
        ranges = [[int(n) for n in line.split()] for line in lines]
        if not any(first <= wanted < first + count for first, _, count in ranges):
            return None
    return wanted


def _kept(user: int | None) -> tuple[int, ...]:
    """What a user of its own needs to read a root's own files; the rules on files still hold."""
    if user is None:
        return ()
    search = syscalls.CAP_DAC_READ_SEARCH
    return (search if syscalls.permitted() >> search & 1 else syscalls.CAP_DAC_OVERRIDE,)


def _limit(user: int | None, memory_bytes: int | None, tasks_outside: int) -> None:
    """Limits of tasks, descriptors and file size; those of memory are every process' already."""
    size = FILE_BYTES if memory_bytes is None else min(memory_bytes, FILE_BYTES)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_files = DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    tasks = TASKS if user is not None else TASKS + _tasks_of(os.getuid()) + tasks_outside
    resource.setrlimit(resource.RLIMIT_NPROC, (tasks, tasks))


def _tasks_of(user: int) -> int:
    """How many processes and threads a user has: the limit counts all of them."""
    count = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if entry.stat().st_uid == user:
                    count += sum(1 for _ in os.scandir(f"{entry.path}/task"))
            except OSError:
                continue  # it has ended
    return count


@cache
def libraries() -> Mapping[str, int]:
    """Rights on what every run reads; found once, in the fork server, where it takes a moment."""
    roots, holes = _trees()
    rights: dict[str, int] = {}
    for root in roots:
        for path, allowed in _around(root, holes):
            rights[path] = rights.get(path, 0) | allowed
    rights |= {str(model): READING for model in _hub().glob("models--*")}
    rights |= dict.fromkeys(DEVICES, READ | WRITE | DEVICE)
    return rights


def _trees() -> tuple[set[Path], set[Path]]:
    """Folders and files that every run reads, and what in them none may read."""
    prefixes = {Path(p).resolve() for p in (sys.prefix, sys.base_prefix)}
    packages = {Path(p).resolve() for p in sys.path if Path(p).name in PACKAGES}
    packages.add(Path(sysconfig.get_path("purelib")).resolve())
    roots = {Path(p) for p in SYSTEM} | {prefix / part for prefix in prefixes for part in
             ("bin", "lib", "lib64", "include", "pyvenv.cfg")}  # fmt: skip
    roots |= {Path(sysconfig.get_path("stdlib")), Path(sys.executable), Path(__file__).parents[1]}
    roots = {root.resolve() for root in roots if root.exists()} | packages
    others = {
        found
        for root in roots
        for name in PACKAGES
        for pattern in (name, f"*/{name}")  # of other environments and interpreters
        for found in root.glob(pattern)
    }
    holes = {folder.resolve() for folder in others} - packages
    holes |= {hole for folder in packages for pattern in BUNDLED for hole in folder.glob(pattern)}
    return roots, holes | {HERE / name for name in KEPT}


def hub_home() -> str:
    """The folder of the hub's libraries. A run has another home, and so must be told."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return os.environ.get("HF_HOME") or f"{cache}/huggingface"


def _hub() -> Path:
    """The hub's cache. Its models may be read; its data sets, which lie beside them, may not."""
    return Path(os.environ.get("HF_HUB_CACHE") or f"{hub_home()}/hub")


def _around(root: Path, holes: set[Path]) -> Iterator[tuple[str, int]]:
    """Rights to read a tree except for some folders in it, whose names stay visible."""
    inside = [hole for hole in holes if hole.is_relative_to(root)]
    if not inside:
        yield str(root), READING
    elif root not in inside:
        yield str(root), LIST
        entries: Iterable[Path] = ()
        with contextlib.suppress(PermissionError):
            entries = list(root.iterdir())
        for entry in entries:
            if entry.is_dir() and not entry.is_symlink():  # a link adds no right to its end
                yield from _around(entry, set(inside))
            elif entry.is_file() and not entry.is_symlink():
                yield str(entry), READ | EXECUTE


def _rights(grant: Grant) -> dict[str, int]:
    rights = dict.fromkeys(grant.folders, READING)
    rights |= {grant.modules: READ | LIST, grant.scratch: WRITING, "/proc/self": READ | LIST}
    if grant.accelerators:
        rights |= dict.fromkeys(_accelerators(), READ | WRITE | DEVICE)
        rights |= dict.fromkeys(ABOUT_ACCELERATORS, READ | LIST)
    return rights


def _accelerators() -> list[str]:
    return [str(path) for p in ACCELERATORS for path in Path("/").glob(p.lstrip("/"))]


def _settle(grant: Grant) -> None:
    """Let libraries look for modules, a home and temporary files where they are to be found."""
    resolved = {path: Path(path).resolve() for path in sys.path}
    known = [p for p, r in resolved.items() if any(str(a) in libraries() for a in (r, *r.parents))]
    sys.path[:] = [grant.modules, *known]
    for path in resolved.keys() - set(sys.path):
        sys.path_importer_cache.pop(path, None)
    sys.dont_write_bytecode = True
    homes = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
    os.environ |= dict.fromkeys(homes, grant.scratch)
    os.environ |= dict.fromkeys(("USER", "LOGNAME"), "heldout")  # libraries ask; nobody is that
    tempfile.tempdir = None
