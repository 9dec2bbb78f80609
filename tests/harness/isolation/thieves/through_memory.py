"""Thieves that look into memory: of the harness, of others, of what they inherited."""

import ctypes
import gc
import os
import re
import sys
from pathlib import Path

import numpy as np
import torch
from through_files import ancestors

SECRET = re.compile(rb"heldout-secret-[0-9a-f]{32}")
CHUNK = 1 << 24
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long


def the_memory_file(_):
    """/proc/PID/mem of the harness."""
    return first(found for pid in ancestors() for found in searched(pid))


def own_memory(_):
    """What the fork server left in this process."""
    return first(searched(os.getpid()))


def another_process_by_call(hint):
    """process_vm_readv(2) at an address that the thief was told."""
    pid, address = map(int, hint.split(":"))
    buffer = ctypes.create_string_buffer(47)
    local = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 47)
    remote = (ctypes.c_void_p * 2)(address, 47)
    if libc.process_vm_readv(pid, local, 1, remote, 1, 0) < 0:
        raise OSError(ctypes.get_errno(), "process_vm_readv")
    return buffer.raw


def another_process_by_tracing(hint):
    """ptrace(2): PTRACE_SEIZE, which does not even stop it."""
    pid = int(hint.partition(":")[0])
    if libc.ptrace(0x4206, ctypes.c_long(pid), None, None) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    libc.ptrace(17, ctypes.c_long(pid), None, None)  # PTRACE_DETACH, of a running one in vain
    return "heldout: traced"


def a_descriptor_of_the_harness(hint):
    """pidfd_getfd(2), Linux 5.6: a copy of a descriptor of another process."""
    pid, number = map(int, hint.split(":"))
    handle = os.pidfd_open(pid)
    copy = libc.syscall(438, handle, number, 0)
    if copy < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return os.pread(copy, 4096, 0)


def inherited_descriptors(_):
    """Whatever is open here: the conversation, the log, inputs without labels, and what else?"""
    found = b""
    for number in range(3, 1024):
        try:
            found += os.pread(number, 4096, 0)
        except OSError:
            continue
    return first(SECRET.findall(found))


def the_harness_as_objects(_):
    """Everything that the collector knows: modules of suites, arrays of labels, the exam."""
    names = {type(o).__name__ for o in gc.get_objects()} & {"Exam", "Stream", "Scenario", "Store"}
    return sorted(names) + [n for n in sys.modules if n.startswith(("suites.continual", "sklearn"))]


def held(cell):
    """What a closure keeps; a cell may be empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def labels_among_objects(count, classes):
    """Whole numbers that might be the answers to `count` inputs: in frames, closures, arrays."""
    places = list(gc.get_objects())
    frame = sys._getframe()
    while frame is not None:
        places += list(frame.f_locals.values())
        frame = frame.f_back
    for place in places:
        parts = [held(cell) for cell in getattr(place, "__closure__", None) or ()]
        parts += list(place.values()) if isinstance(place, dict) else [place]
        for part in parts:
            if isinstance(part, np.ndarray | torch.Tensor) and tuple(part.shape) == (count,):
                part = torch.as_tensor(part)
                if not part.is_floating_point() and set(part.tolist()) <= set(range(classes)):
                    return part.long()
    return None


def searched(pid):
    """Secrets in the readable memory of a process."""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            if not rights.startswith("rw") or line.endswith(("[vvar]", "[vsyscall]")):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            for place in range(start, end, CHUNK):
                try:
                    memory.seek(place)
                    yield from SECRET.findall(memory.read(min(CHUNK + 64, end - place)))
                except (OSError, ValueError, OverflowError):
                    continue


def first(found):
    return next(iter(found), None)
