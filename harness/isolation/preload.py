"""What the fork server loads before it forks, so that no run waits for it."""

from __future__ import annotations

import importlib
import os
import tempfile

PRELOAD = ("numpy", "torch", "torch._dynamo", "harness.candidate.candidate")
"""torch._dynamo: the first optimiser of a process imports it, which takes two seconds."""
COMPILED = "TORCHINDUCTOR_CACHE_DIR"  # where torch keeps what it has compiled


def load() -> None:
    """Load all of it.

    torch makes the folder of its compiler's cache while it is loaded, whether anything will be
    compiled or not; one that is there already keeps it from leaving an empty one behind.
    """
    chosen = os.environ.get(COMPILED)
    os.environ[COMPILED] = chosen or tempfile.gettempdir()
    for module in PRELOAD:
        importlib.import_module(module)
    if chosen is None:
        del os.environ[COMPILED]
