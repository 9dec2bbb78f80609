"""The kernel's mechanisms that a sandbox is made of, called by ctypes: files, rights, calls.

What they are used for is said in `sandbox`. Every failure is an OSError that names the call.
Sources: landlock(7), landlock_create_ruleset(2), landlock_add_rule(2), landlock_restrict_self(2),
linux/landlock.h; prctl(2); capabilities(7), capset(2); seccomp(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # on every architecture
_RULESET_VERSION = 1  # flag of landlock_create_ruleset
_PATH_BENEATH = 1

EXECUTE, WRITE, READ, LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE = 1 << 4 | 1 << 5
MAKE = 1 << 7 | 1 << 8 | 1 << 12  # folders, files, symbolic links
_MAKE_OTHERS = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11  # devices, sockets, pipes: nobody may
REFER, TRUNCATE, DEVICE = 1 << 13, 1 << 14, 1 << 15
_TO_FILES = EXECUTE | WRITE | READ | TRUNCATE | DEVICE
_TCP = 1 << 0 | 1 << 1  # bind, connect
_SCOPES = 1 << 0 | 1 << 1  # abstract sockets, signals

READING = READ | LIST | EXECUTE
WRITING = READING | WRITE | REMOVE | MAKE | REFER | TRUNCATE

PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_SECCOMP = 4, 8, 22
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 38, 47
_SECCOMP_MODE_FILTER = 2
_AMBIENT_RAISE, _AMBIENT_CLEAR = 2, 4
_CAPABILITY_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2

_libc = ctypes.CDLL(None, use_errno=True)


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def landlock_version() -> int:
    """The version of Landlock's interface that this kernel offers; OSError without one.

    ENOSYS: not in this kernel. EOPNOTSUPP: not switched on. EPERM: a container forbids it.
    """
    return _syscall("landlock_create_ruleset", _CREATE_RULESET, None, 0, _RULESET_VERSION)


def signals_scoped() -> bool:
    """Whether Landlock keeps signals from processes outside (version 6, Linux 6.12)."""
    return landlock_version() >= 6


def ruleset(rights: Mapping[str, int]) -> int:
    """A descriptor of rules that `restrict` puts in force; see `allow` for the rights.

    Where the kernel knows how, they also forbid TCP, abstract sockets and signals to processes
    outside. In every version, memory and /proc files of processes outside will be out of reach.
    """
    version = landlock_version()
    handled = (WRITING | DEVICE | _MAKE_OTHERS) & _known(version)
    parts = [handled, *([_TCP] if version >= 4 else ()), *([_SCOPES] if version >= 6 else ())]
    attr = struct.pack(f"={len(parts)}Q", *parts)  # struct landlock_ruleset_attr
    made = _syscall("landlock_create_ruleset", _CREATE_RULESET, attr, len(attr), 0)
    allow(made, rights)
    return made


def allow(ruleset: int, rights: Mapping[str, int]) -> None:
    """Add rights on paths; on a folder they hold for everything below it.

    Paths that are not there, or not for us, are passed over.
    """
    known = _known(landlock_version())
    for path, allowed in rights.items():
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        try:
            folder = stat.S_ISDIR(os.fstat(place).st_mode)
            wanted = allowed & known & (~0 if folder else _TO_FILES)
            rule = struct.pack("=Qi", wanted, place)  # struct landlock_path_beneath_attr
            _syscall("landlock_add_rule", _ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
        finally:
            os.close(place)


def restrict(ruleset: int) -> None:
    """Hold this thread, and what it will start, to the rules for good; closes the descriptor.

    `no_new_privileges` must come first.
    """
    _syscall("landlock_restrict_self", _RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _known(version: int) -> int:
    """The rights on files that a version of Landlock knows."""
    return (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1


def no_new_privileges() -> None:
    """Nothing that this process executes gains rights any more."""
    _prctl("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(number: int) -> None:
    """Get signal `number` when the parent ends; forgotten when the user changes."""
    _prctl("PR_SET_PDEATHSIG", PR_SET_PDEATHSIG, number)


def readable_by_others(yes: bool) -> None:
    """Whether other processes of this user may open this one's memory; its children inherit it."""
    _prctl("PR_SET_DUMPABLE", _PR_SET_DUMPABLE, int(yes))


def filter_calls(code: bytes) -> None:
    """Put a filter of `seccomp` before every system call of this thread and its heirs."""
    program = _Filter(len(code) // 8, code)
    _prctl("PR_SET_SECCOMP", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))


def become(user: int | None, keep: Iterable[int] = ()) -> None:
    """Give up every capability but `keep`, and turn into `user` and a group of the same number.

    With None the user stays. Kept are only those that we have; programs executed later keep
    them too.
    """
    if user is not None:
        _prctl("PR_SET_KEEPCAPS", _PR_SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    mine = permitted()
    kept = sum(1 << c for c in keep if mine >> c & 1)
    sets = struct.pack("=6I", kept, kept, kept, 0, 0, 0)  # capabilities 0 to 31, and the rest
    if _libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION, 0), sets):
        raise _error("capset")
    _libc.prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR, 0, 0, 0)  # kernels before 4.3 have none
    for capability in range(32):
        if kept >> capability & 1:
            _prctl("PR_CAP_AMBIENT", _PR_CAP_AMBIENT, _AMBIENT_RAISE, capability)


def permitted() -> int:
    """The capabilities that this process may use, as a bit mask."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    return 0


def _prctl(name: str, option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4]]
    if _libc.prctl(option, *padded):
        raise _error(f"prctl({name})")


def _syscall(name: str, number: int, *arguments: int | bytes | None) -> int:
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in (number, *arguments)]
    result: int = _libc.syscall(*wide)
    if result < 0:
        raise _error(name)
    return result


def _error(name: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, f"{name}: {os.strerror(code)} ({errno.errorcode.get(code, code)})")
