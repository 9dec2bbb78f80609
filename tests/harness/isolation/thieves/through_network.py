"""Thieves that ask a helper outside, or tell one: by the network, sockets, shared memory."""

import ctypes
import os
import socket
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p


def by_tcp(hint):
    """A server on this machine; one elsewhere would be reached the same way."""
    with socket.create_connection(("127.0.0.1", int(hint)), timeout=5) as line:
        return line.recv(4096)


def by_udp(hint):
    """Telling is enough: labels of the tuning side, sent home."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.sendto(b"heldout: told", ("127.0.0.1", int(hint)))
    return "heldout: told"


def by_unix_socket(hint):
    """A server behind a path, or behind an abstract name (with a leading @)."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(hint.replace("@", "\0", 1))
        return line.recv(4096)


def by_a_socket_pair(hint):
    """A datagram socket that was born connected, and is pointed elsewhere."""
    line, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    line.sendto(b"heldout: told", hint)
    return "heldout: told"


def by_io_uring(_):
    """io_uring_setup(2): a ring that makes system calls past filters."""
    ring = libc.syscall(425, 4, ctypes.create_string_buffer(120))
    if ring < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")
    os.close(ring)
    return "heldout: a ring"


def by_system_v_memory(hint):
    """A segment of shared memory by its number, shmget(2)."""
    place = libc.shmat(int(hint), None, 0o10000)  # SHM_RDONLY
    if place in (None, 2**64 - 1):
        raise OSError(ctypes.get_errno(), "shmat")
    return ctypes.string_at(place, 47)


def by_posix_memory(hint):
    """A file in /dev/shm."""
    return Path(hint).read_bytes()
