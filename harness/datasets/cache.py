"""The folder for data that was generated or decoded once: it only saves time.

No trouble with it may ever show: what cannot be read is made anew, what cannot be written is not
kept. The names of files hold all that decides their content.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO


def folder() -> Path:
    """HELDOUT_CACHE, else ~/.cache/heldout; it need not be there."""
    return Path(os.environ.get("HELDOUT_CACHE") or Path.home() / ".cache" / "heldout")


def keep(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Keep what `write` puts into a file, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=path.suffix)
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """One process at a time: who had to wait for another finds what it has made and kept."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            folder().mkdir(parents=True, exist_ok=True)
            opened = os.open(folder(), os.O_RDONLY)
            stack.callback(os.close, opened)  # which gives the lock back
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
