"""Messages between the proctor and a method's process: JSON and arrays, never pickle.

A message is one packet on a Unix socket. Arrays travel beside it as file descriptors of anonymous
memory, so nothing has a path that could be opened by someone else. What the proctor hands out is
sealed against writing, opened for each receiver anew and mapped privately; what comes back is
copied out with size, type and shape checked, since the other end may be hostile.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import mmap
import os
import socket
import struct
import time
import weakref
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.contract import Array

MAX_PACKET = 160_000  # bytes of JSON; the kernel's default send buffer holds 212,992
MAX_ARRAYS = 200  # the kernel passes at most 253 descriptors at once
DTYPES = frozenset(
    ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
)

_SET_FLAGS = 0x40086602  # FS_IOC_SETFLAGS, linux/fs.h
_NO_ACCESS_TIME = 0x80  # FS_NOATIME_FL: when it was read last would be told by whoever reads
_PAUSES = tuple(0.01 * 2**k for k in range(8))  # seconds, 2.55 in all
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class ChannelError(Exception):
    """The other end sent something that is no message of ours."""


@dataclass(frozen=True)
class Message:
    """One message: what it is, JSON values, arrays in order."""

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)
    arrays: tuple[Array, ...] = ()


def seal(fd: int) -> None:
    """Let nobody write into anonymous memory any more; OSError where somebody may, and goes on.

    The kernel refuses too while it holds a page itself, as when it moves memory about on a busy
    machine, and that says nothing of the run: it is asked again.
    """
    for pause_seconds in _PAUSES:
        try:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            time.sleep(pause_seconds)
        else:
            return
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)


class SharedArray:
    """An array in sealed anonymous memory, handed to any number of processes without a copy."""

    def __init__(self, array: Array) -> None:
        self.shape, self.dtype, self.size_bytes = array.shape, array.dtype.name, array.nbytes
        if self.dtype not in DTYPES:
            raise ChannelError(f"arrays of {self.dtype} cannot be handed over")
        self.fd = os.memfd_create("heldout", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._end = weakref.finalize(self, os.close, self.fd)
        self._end.atexit = False  # the kernel closes it then
        native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        view = native.reshape(-1).view(np.uint8).data
        while view:
            view = view[os.write(self.fd, view) :]
        seal(self.fd)

    def reopened(self) -> int:
        """A descriptor of its own for one reader: for reading only, with no position in common.

        What two runs hold of one opening - position, flags, whom to signal - is a slate on which
        one can leave word for the other.
        """
        os.fchmod(self.fd, 0o444)
        with contextlib.suppress(OSError):  # old kernels know no such flag of this memory
            fcntl.ioctl(self.fd, _SET_FLAGS, struct.pack("@l", _NO_ACCESS_TIME))
        return os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC)

    def view(self) -> Array:
        """The array as it lies in the sealed memory, read-only."""
        array = _mapped(self.fd, self.dtype, self.shape)
        array.setflags(write=False)
        return array

    def close(self) -> None:
        """Give the memory back once nobody maps it any more."""
        self._end()
        self.fd = -1


class Channel:
    """One end of a conversation."""

    def __init__(self, sock: socket.socket, *, trusting: bool) -> None:
        """`trusting` maps arrays that arrive; otherwise they are copied out and checked."""
        self.socket = sock
        self._trusting = trusting

    def fileno(self) -> int:
        """For select and poll."""
        return self.socket.fileno()

    def send(
        self,
        kind: str,
        data: Mapping[str, Any] | None = None,
        arrays: Sequence[Array | SharedArray] = (),
    ) -> None:
        """Send one message; raises BrokenPipeError when the other end is gone.

        An end that is not trusted and reads nothing raises ChannelError when no more fits in: it
        could hold us for ever.
        """
        shared = [a if isinstance(a, SharedArray) else SharedArray(a) for a in arrays]
        head = {
            "kind": kind,
            "data": data or {},
            "arrays": [[a.dtype, list(a.shape)] for a in shared],
        }
        packet = json.dumps(head).encode()
        if len(packet) > MAX_PACKET or len(shared) > MAX_ARRAYS:
            raise ChannelError(f"message {kind!r} is too large ({len(packet)} bytes)")
        opened: list[int] = []
        try:
            for each in shared if not self._trusting else ():
                opened.append(each.reopened())
            held = [each.fd for each in shared] if self._trusting else opened
            passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", held))]
            flags = 0 if self._trusting else socket.MSG_DONTWAIT
            self.socket.sendmsg([packet], passed if shared else [], flags)
        except BlockingIOError as error:
            raise ChannelError("the other end does not read what it is sent") from error
        finally:
            for fd in opened:
                os.close(fd)

    def receive(self, max_bytes: int = 1 << 34) -> Message | None:
        """The next message, waiting for it; None when the other end has gone.

        Raises ChannelError for what is no message, or one with more than `max_bytes` of arrays.
        """
        try:
            packet, fds, _, _ = socket.recv_fds(self.socket, MAX_PACKET, MAX_ARRAYS)
        except ConnectionError:
            return None
        try:
            if not packet:
                return None
            head = json.loads(packet)
            described = [(str(d), tuple(int(n) for n in shape)) for d, shape in head["arrays"]]
            if len(described) != len(fds) or any(d not in DTYPES for d, _ in described):
                raise ChannelError("message with arrays that do not match their description")
            total = sum(np.dtype(d).itemsize * math.prod(shape) for d, shape in described)
            if total > max_bytes or any(n < 0 for _, shape in described for n in shape):
                raise ChannelError(f"message with {total} bytes of arrays; allowed are {max_bytes}")
            read = _mapped if self._trusting else _copied
            arrays = tuple(
                read(fd, dtype, shape) for fd, (dtype, shape) in zip(fds, described, strict=True)
            )
            return Message(str(head["kind"]), dict(head["data"]), arrays)
        except (ValueError, LookupError, TypeError, ArithmeticError, OSError, MemoryError,
                RecursionError) as error:  # fmt: skip
            raise ChannelError(f"no message of ours ({error})") from error
        finally:
            for fd in fds:
                os.close(fd)

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self.socket.close()


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets that keep message boundaries."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _mapped(fd: int, dtype: str, shape: tuple[int, ...]) -> Array:
    """The sender's memory, mapped privately: writing to it changes only our own copy."""
    size = np.dtype(dtype).itemsize * math.prod(shape)
    if size == 0:
        return np.empty(shape, dtype)
    memory = mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return np.frombuffer(memory, dtype).reshape(shape)


def _copied(fd: int, dtype: str, shape: tuple[int, ...]) -> Array:
    """A copy. Mapping would let the sender truncate the memory under us."""
    content = bytearray(np.dtype(dtype).itemsize * math.prod(shape))
    view, done = memoryview(content), 0
    while done < len(content):
        count = os.preadv(fd, [view[done:]], done)
        if count == 0:
            raise ValueError(f"{len(content) - done} bytes of an array are missing")
        done += count
    return np.frombuffer(content, dtype).reshape(shape)
