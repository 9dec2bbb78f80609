"""Which system calls a sandboxed method may not make, as a filter that the kernel runs.

What Landlock does not cover is refused here: the network, other processes' memory, IPC that needs
no file, file metadata, locks, namespaces, and leaving the process group. A refused call fails
with EPERM, so that a method sees an OSError.

Sources: seccomp(2), syscalls(2), linux/seccomp.h, linux/audit.h, linux/bpf_common.h; the numbers
are those of asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64).
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

DENIED: Mapping[str, tuple[int | None, int | None]] = {
    # the network, and processes that listen on a socket file (socketpair is among the CONDITIONS)
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    # a second way to the same calls, past this filter
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # memory, descriptors and events of other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424), "kcmp": (312, 272), "perf_event_open": (298, 241),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "ioprio_set": (251, 30),
    "inotify_add_watch": (254, 27), "fanotify_init": (300, 262),
    # memory and messages shared by number instead of by path
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "msgget": (68, 186),
    "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187), "semget": (64, 190),
    "semop": (65, 193), "semtimedop": (220, 192), "semctl": (66, 191), "mq_open": (240, 180),
    "mq_unlink": (241, 181), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219),
    # what is done to a file by its path without opening it, which Landlock lets pass
    "chmod": (90, None), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "lchown": (94, None), "fchown": (93, 55), "fchownat": (260, 54), "setxattr": (188, 5),
    "lsetxattr": (189, 6), "setxattrat": (463, 463), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "removexattrat": (466, 466), "file_setattr": (469, 469),
    "truncate": (76, 45), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "utimensat": (280, 88), "utimes": (235, None), "utime": (132, None), "futimesat": (261, None),
    # the same by a descriptor: one for reading is enough for the owner of a file
    "fchmod": (91, 52), "fsetxattr": (190, 7), "fremovexattr": (199, 16),
    # which pages of a file somebody has read lately, and where its memory is to lie
    "mincore": (27, 232), "cachestat": (451, 451), "lookup_dcookie": (212, 18),
    "mbind": (237, 235), "set_mempolicy_home_node": (450, 450),
    # other views of the file system and of the machine
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "move_mount": (429, 429),
    "open_tree": (428, 428), "open_tree_attr": (467, 467), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442),
    # the kernel itself: none of it is a method's business, whatever its rights
    "bpf": (321, 280), "userfaultfd": (323, 282), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224),
    "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "syslog": (103, 116),
    "vhangup": (153, 58), "iopl": (172, None), "ioperm": (173, None),
}  # fmt: skip
"""Always refused: name -> (number on x86_64, on aarch64); None where it does not exist."""

UNSCOPED = {
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
}  # fmt: skip
"""Refused where nothing else keeps signals from other processes."""

PRETENDED: Mapping[int, Mapping[str, tuple[int | None, int | None]]] = {
    0: {
        # one signal to the group must reach all that it started
        "setsid": (112, 157), "setpgid": (109, 154),
        # a lock on a file that others read too, and what the kernel keeps of it in memory
        "flock": (73, 32), "fadvise64": (221, 223), "readahead": (187, 213),
    },
    errno.EOPNOTSUPP: {  # notes at files: there are none
        "getxattr": (191, 8), "lgetxattr": (192, 9), "fgetxattr": (193, 10),
        "getxattrat": (464, 464), "listxattr": (194, 11), "llistxattr": (195, 12),
        "flistxattr": (196, 13), "listxattrat": (465, 465),
    },
    errno.EINVAL: {"readlink": (89, None), "readlinkat": (267, 78)},  # as where there is no link
}  # fmt: skip
"""Not done, but answered by an error that programs take in their stride, or by success (0):
error -> name -> (number on x86_64, on aarch64)."""

CLONE3 = (435, 435)  # takes its flags by address, where no filter sees them; libc falls back
FORKS = {"fork": (57, None), "vfork": (58, None)}
LAST_KNOWN = 469  # file_setattr, Linux 6.17; what came later is answered as an old kernel would

CLONE_THREAD = 0x10000
_CLONE_PARENT = 0x8000
_CLONE_NEW = 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000 | 0x20000
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4  # who may look at its /proc files: that is how memory is counted
_SHARED_BY_FCNTL = (
    *(8, 15, 10),  # F_SETOWN, F_SETOWN_EX, F_SETSIG: whom a file's events send which signal
    *(5, 6, 7, 36, 37, 38),  # F_GETLK, F_SETLK, F_SETLKW and F_OFD_...: locks
    *(1024, 1025, 1026),  # F_SETLEASE, F_GETLEASE, F_NOTIFY
    *(1035, 1036, 1037, 1038),  # F_GET_RW_HINT, F_SET_RW_HINT, ..._FILE_RW_HINT: kept by the file
)
_SHARED_BY_IOCTL = (
    *(0x8901, 0x8902, 0x5412, 0x541C),  # FIOSETOWN, SIOCSPGRP, TIOCSTI, TIOCLINUX
    *(0x40086602, 0x40046602, 0x401C5820),  # FS_IOC_SETFLAGS (also of 32 bits), FS_IOC_FSSETXATTR
    *(0x40087602, 0x40047602, 0x41009432),  # FS_IOC_SETVERSION (also of 32 bits), ..._SETFSLABEL
    *(0x40806685, 0x800C6613, 0x40086610),  # FS_IOC_ENABLE_VERITY, encryption policies
    *(0xC0189436, 0x4004662B),  # FIDEDUPERANGE, F2FS_IOC_SET_PIN_FILE
)
_SHARED_BY_MADVISE = (9, 20, 21, 25, 100, 101)
"""MADV_REMOVE, ..._COLD, ..._PAGEOUT, ..._COLLAPSE, ..._HWPOISON, ..._SOFT_OFFLINE: what is done to
the memory behind a mapping, which others may map too."""
_AF_UNIX, _SOCK_STREAM, _SOCK_SEQPACKET = 1, 1, 5

_LOAD_WORD, _MASK, _EQUAL, _ABOVE, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data


@dataclass(frozen=True)
class Check:
    """A condition on the low 32 bits of one argument of a system call."""

    argument: int
    values: tuple[int, ...]  # one of these
    mask: int = 0xFFFFFFFF
    among: bool = True  # False: none of these


def conditions(
    pid: int, *, may_fork: bool, signals_scoped: bool
) -> dict[str, tuple[tuple[int | None, int | None], tuple[Check, ...]]]:
    """Calls that are allowed under conditions, all of which must hold."""
    own = (0, pid)
    clone = [Check(0, (0,), mask=_CLONE_NEW | _CLONE_PARENT)]
    if not may_fork:
        clone.append(Check(0, (CLONE_THREAD,), mask=CLONE_THREAD))
    found: dict[str, tuple[tuple[int | None, int | None], tuple[Check, ...]]] = {
        "clone": ((56, 220), tuple(clone)),
        # a datagram socket of a pair could be pointed at any other socket of the machine
        "socketpair": (
            (53, 199),
            (Check(0, (_AF_UNIX,)), Check(1, (_SOCK_STREAM, _SOCK_SEQPACKET), mask=0xF)),
        ),
        "prctl": ((157, 167), (Check(0, (_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE), among=False),)),
        "fcntl": ((72, 25), (Check(1, _SHARED_BY_FCNTL, among=False),)),
        "ioctl": ((16, 29), (Check(1, _SHARED_BY_IOCTL, among=False),)),
        "madvise": ((28, 233), (Check(2, _SHARED_BY_MADVISE, among=False),)),
        "prlimit64": ((302, 261), (Check(0, own),)),
        "setpriority": ((141, 140), (Check(0, (0,)), Check(1, own))),
        "getpriority": ((140, 141), (Check(0, (0,)), Check(1, own))),
        "sched_setaffinity": ((203, 122), (Check(0, own),)),
        "sched_setscheduler": ((144, 119), (Check(0, own),)),
        "sched_setparam": ((142, 118), (Check(0, own),)),
        "sched_setattr": ((314, 274), (Check(0, own),)),
    }
    if not signals_scoped:  # to itself and to its group
        found["kill"] = ((62, 129), (Check(0, (*own, (1 << 32) - pid)),))
        found["tgkill"] = ((234, 131), (Check(0, (pid,)),))
    return found


def supported(machine: str | None = None) -> bool:
    """Whether the numbers of this processor's system calls are known here."""
    return (machine or platform.machine()) in AUDIT_ARCH


def program(pid: int, *, may_fork: bool, signals_scoped: bool, machine: str | None = None) -> bytes:
    """The filter: an array of struct sock_filter.

    `pid` is the process that will be filtered. Without `may_fork` it may start threads only.
    Without `signals_scoped` it can signal itself and its group only, by this filter.
    """
    machine = machine or platform.machine()
    column = list(AUDIT_ARCH).index(machine)
    refused = dict(DENIED) | ({} if signals_scoped else UNSCOPED)
    refused |= {} if may_fork else FORKS
    code = [
        _instruction(_LOAD_WORD, _ARCH),
        _instruction(_EQUAL, AUDIT_ARCH[machine], 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD_WORD, _NUMBER),
        # also every call of the x32 interface, whose numbers start far above
        _instruction(_ABOVE, LAST_KNOWN, 0, 1),
        _instruction(_RETURN, _ERRNO | errno.ENOSYS),
    ]
    code += _answer([CLONE3[column]], _ERRNO | errno.ENOSYS)
    code += _answer([numbers[column] for numbers in refused.values()], _ERRNO | errno.EPERM)
    for error, calls in PRETENDED.items():
        code += _answer([numbers[column] for numbers in calls.values()], _ERRNO | error)
    wanted = conditions(pid, may_fork=may_fork, signals_scoped=signals_scoped)
    for numbers, checks in wanted.values():
        body = [part for check in checks for part in _checked(check)]
        body.append(_instruction(_RETURN, _ALLOW))
        code += [_instruction(_EQUAL, numbers[column] or 0, 0, len(body)), *body]
    code.append(_instruction(_RETURN, _ALLOW))
    return b"".join(code)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _answer(numbers: list[int | None], verdict: int) -> Iterator[bytes]:
    """Return `verdict` for any of these calls; the accumulator holds the number."""
    for number in numbers:
        if number is not None:
            yield _instruction(_EQUAL, number, 0, 1)
            yield _instruction(_RETURN, verdict)


def _checked(check: Check) -> list[bytes]:
    """Refuse the call unless the condition holds. Both architectures are little-endian."""
    load = [
        _instruction(_LOAD_WORD, _ARGUMENTS + 8 * check.argument),
        _instruction(_MASK, check.mask),
    ]
    refuse = _instruction(_RETURN, _ERRNO | errno.EPERM)
    count = len(check.values)
    if check.among:  # a hit jumps over the refusal
        tests = [_instruction(_EQUAL, v, count - i, 0) for i, v in enumerate(check.values)]
        return [*load, *tests, refuse]
    tests = [_instruction(_EQUAL, v, count - 1 - i, 0) for i, v in enumerate(check.values)]
    # a miss of the last jumps over the refusal
    tests[-1] = _instruction(_EQUAL, check.values[-1], 0, 1)
    return [*load, *tests, refuse]
