"""A method that looks for a note of another run in what the kernel keeps, and leaves one.

In a file of its own for each run, so that they are different methods; all sit the same exam.
"""

import array
import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import time
from dataclasses import dataclass

import torch.nn.functional as F

MARK = 77
_libc = ctypes.CDLL(None, use_errno=True)
_receive = socket.recv_fds
kept = []  # descriptors of the arrays that were handed out


def _received(*arguments):
    packet, fds, flags, address = _receive(*arguments)
    kept.extend(map(os.dup, fds))
    return packet, fds, flags, address


def _hint(fd, command, value=0):
    held = ctypes.c_uint64(value)
    if _libc.fcntl(fd, command, ctypes.byref(held)):
        raise OSError(ctypes.get_errno(), "fcntl")
    return held.value


def position(fd):
    found = os.lseek(fd, 0, os.SEEK_CUR)
    os.lseek(fd, MARK, os.SEEK_SET)
    return found == MARK


def status_flags(fd):
    found = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)
    return found


def signal_number(fd):
    found = fcntl.fcntl(fd, 11)  # F_GETSIG
    fcntl.fcntl(fd, 10, 12)  # F_SETSIG
    return found == 12


def attribute(fd):
    with contextlib.suppress(OSError):
        return os.getxattr(fd, "user.note")
    os.setxattr(fd, "user.note", b"77")
    return None


def mode(fd):
    found = os.fstat(fd).st_mode & 0o7
    os.fchmod(fd, 0o447)
    return found == 0o7


def time_of_change(fd):
    found = os.fstat(fd).st_mtime_ns
    os.utime(fd, ns=(MARK, MARK))
    return found == MARK


def time_of_access(fd):
    before = os.fstat(fd).st_atime_ns
    time.sleep(0.02)  # longer than a tick of the kernel's clock
    os.pread(fd, 8, 0)
    return os.fstat(fd).st_atime_ns != before


def lifetime_hint(fd):
    found = _hint(fd, 1035)  # F_GET_RW_HINT
    _hint(fd, 1036, 5)  # F_SET_RW_HINT: RWH_WRITE_LIFE_EXTREME
    return found == 5


def file_flags(fd):
    held = array.array("l", [0])
    fcntl.ioctl(fd, 0x80086601, held)  # FS_IOC_GETFLAGS
    fcntl.ioctl(fd, 0x40086602, struct.pack("l", held[0] | 0x40))  # FS_IOC_SETFLAGS: FS_NODUMP_FL
    return held[0] & 0x40


def content(fd):
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
    found = os.pread(again, 1, 0) == b"M"
    os.pwrite(again, b"M", 0)
    return found


def a_lock(fd):
    """Two openings of one file: a lock that holds between them would hold between two runs."""
    one, other = (os.open(f"/proc/self/fd/{fd}", os.O_RDONLY) for _ in range(2))
    fcntl.flock(one, fcntl.LOCK_EX)
    try:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return None


def a_record_lock(fd):
    fcntl.lockf(fd, fcntl.LOCK_SH)
    return True


def a_lease(fd):
    fcntl.fcntl(fd, 1024, fcntl.F_RDLCK)  # F_SETLEASE
    return True


WAYS = {f.__name__: f for f in (position, status_flags, signal_number, attribute, mode,
                                time_of_change, time_of_access, lifetime_hint, file_flags, content,
                                a_lock, a_record_lock, a_lease)}  # fmt: skip


@dataclass
class Notes:
    way: str = "position"
    standard: bool = False  # standard input, instead of the arrays
    lr: float = 0.1

    def start(self, problem):
        kept.clear()
        socket.recv_fds = _received
        self.model = problem.model()

    def learn(self, experience):
        if experience.task:
            return  # what it would find now is its own
        fds = [0] if self.standard else kept
        assert fds, "nothing was handed out"
        found = []
        for fd in fds:
            with contextlib.suppress(OSError):
                found.append(WAYS[self.way](fd))
        if any(found):
            raise RuntimeError(f"FOUND {found!r}")
        for x, y in experience.batches(32):
            F.cross_entropy(self.model(x, experience.task), y).backward()
            self.model.zero_grad()

    def predict(self, inputs, task=None):
        return self.model(inputs, task).argmax(1)
