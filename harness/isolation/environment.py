"""The environment variables of a method's process: a list of those that it gets, and no others.

A variable can change what a method does, so what reaches it is either harmless, or set by us for
everybody, or named by the user and then part of the run (`RunSpec.environment`). Everything else
of the user's environment stays behind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from harness.errors import HeldoutError
from harness.isolation import sandbox
from harness.records.record import SET_BY_HARNESS

PLACES = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR"),
    *("LD_LIBRARY_PATH", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "TORCH_HOME"),
    *("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_HOME", "CUDA_PATH", "CUDA_CACHE_PATH"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES"),
    *("NVIDIA_DRIVER_CAPABILITIES",),
)
"""Where things are and which device is meant: they differ between machines that make the same rows.
A sandbox then replaces those of the user's folders by its own."""

ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(16 << 20),
}
"""glibc keeps what was freed instead of handing it back page by page: a network of megabyte tensors
frees and takes the same memory in every step. Moves no bit, so it is in no key. Bytes."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
OURS = (*THREADS, *ALLOCATOR, *SET_BY_HARNESS)

SECRET = re.compile(
    r"^HELDOUT_|TOKEN(?!IZER)|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY", re.I
)
"""Names of variables that methods have no business with: they lead to test labels, or are what a
person would not want to find in a record or in the log of a failure."""


def of_process(threads: int, let_through: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process that computes with `threads`."""
    environment = {name: os.environ[name] for name in PLACES if name in os.environ}
    environment["HF_HOME"] = sandbox.hub_home()
    environment |= dict.fromkeys(THREADS, str(threads))
    return {**environment, **ALLOCATOR, **SET_BY_HARNESS, **let_through}


def chosen(names: Iterable[str]) -> dict[str, str]:
    """The values here of the variables that a user lets through; HeldoutError where one may not."""
    found = {}
    for name in (names,) if isinstance(names, str) else names:
        if trouble := _objection(name):
            raise HeldoutError(f"--env {name}: {trouble}")
        found[name] = os.environ[name]
    return found


def _objection(name: str) -> str:
    """Why a variable cannot be let through, as a clause with what to do; "" where it can be."""
    if not isinstance(name, str) or not re.fullmatch(r"[^=\0]+", name):
        return "write the name of a variable; its value is the one that it has here"
    if name in PLACES:
        return "it reaches every method anyway; leave it out"
    if name in OURS or name.startswith("PYTHON"):
        return "it is for the harness to set, alike for all methods; leave it out"
    if SECRET.search(name):
        return (
            "a name like this stands for a secret or for where test labels lie, and its value "
            "would be in every record; call it otherwise if it is neither"
        )
    if name not in os.environ:
        return "it is not set here; set it, or leave it out"
    if not os.environ[name].isprintable():
        return "its value is no printable text, which a record cannot hold"
    return ""
