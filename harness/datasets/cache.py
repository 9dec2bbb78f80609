"""The folder for data that was generated or decoded once: it only saves time.

No trouble with it may ever show: what cannot be read is made anew, what cannot be written is not
kept. The names of files hold all that decides their content.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

SETTLED_NS = 2_000_000_000
"""Age of a file's last change from which on a further one would show in its times; no file system
in use counts them in coarser steps."""


def folder() -> Path:
    """HELDOUT_CACHE, else ~/.cache/heldout; it need not be there."""
    return Path(os.environ.get("HELDOUT_CACHE") or Path.home() / ".cache" / "heldout")


def keep(path: Path, write: Callable[[IO[bytes]], object]) -> None:
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


def of_files(what: str, files: Sequence[Path], make: Callable[[], str]) -> str:
    """A hash that is made of files' content, kept for as long as the files stay as they are.

    `what` says all that decides it beside them. As they are: path, size, inode, and the times of
    the last writing and of the last change of anything, which the kernel alone sets. Where one was
    changed less than two seconds ago, or while the hash was made, it is not kept.
    """
    began, state = time.time_ns(), _state(files)
    names = "\0".join([what, *(str(path.absolute()) for path in files)])
    place = folder() / f"hash-{_sha256(names)[:32]}"
    if state is None:
        return make()  # which says what is wrong with the file
    content, newest = state
    with contextlib.suppress(OSError, ValueError):
        then, found = place.read_text().split()
        if then == content:
            return found
    found = make()
    if newest + SETTLED_NS <= began and _state(files) == state:
        keep(place, lambda file: file.write(f"{content} {found}".encode()))
    return found


def _state(files: Sequence[Path]) -> tuple[str, int] | None:
    """Hash of how files are, and when the last of them was changed; None where one is not there."""
    known, newest = [], 0
    try:
        for path in files:
            now = path.stat()
            known.append(f"{now.st_size} {now.st_ino} {now.st_mtime_ns} {now.st_ctime_ns}")
            newest = max(newest, now.st_ctime_ns)
    except OSError:
        return None
    return _sha256("\n".join(known)), newest


def _sha256(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()
