"""Files that are absent or whole at every moment, whatever stops us in between."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import socket
import time
from pathlib import Path

DAY_SECONDS = 86_400.0
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2(2)


def write(path: Path, content: bytes, *, replace: bool = False) -> bool:
    """Write the whole file or nothing; False if it was there already and `replace` is not set.

    Temporary file, fsync, link (which never replaces) or rename, fsync of the folder.
    """
    hidden = temporary(path)
    try:
        with hidden.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            hidden.rename(path)
            written = True
        else:
            written = _link(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)
    _sync(path.parent)
    return written


def make_folder(folder: Path) -> None:
    """Make a folder and what is missing above it, each written through to the disk."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        _sync(place.parent)


def exchange(one: Path, other: Path) -> None:
    """Let two paths change places: at no moment is either missing.

    Where the system or the file system cannot do that, they are renamed one after the other.
    """
    call = getattr(ctypes.CDLL(None), "renameat2", None)
    if call and call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return
    aside = temporary(other)
    other.rename(aside)
    try:
        one.rename(other)
    except OSError:
        aside.rename(other)
        raise
    aside.rename(one)


def temporary(path: Path) -> Path:
    """A hidden name beside `path` that says which process of which host is writing it."""
    owner = f"{socket.gethostname()}@{os.getpid()}@{os.urandom(4).hex()}"
    return path.parent / f".{path.name}@{owner}.tmp"


def is_abandoned(hidden: Path) -> bool:
    """Whether nobody is writing it any more: its process is gone, or it has been there for a day.

    Of processes of other hosts we know nothing, and the number of one of ours may be given again;
    but writing takes less than a second.
    """
    match = re.fullmatch(r"\..+@(?P<host>.+)@(?P<pid>\d+)@\w+\.tmp", hidden.name)
    if match is None:
        return False
    if match["host"] == socket.gethostname() and not Path(f"/proc/{match['pid']}").exists():
        return True
    try:
        return time.time() - hidden.stat().st_mtime > DAY_SECONDS
    except FileNotFoundError:
        return False


def _link(hidden: Path, path: Path) -> bool:
    """Give the finished file its name unless the name is taken."""
    try:
        path.hardlink_to(hidden)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        if path.exists():
            return False
        hidden.rename(path)  # a file system without hard links
    return True


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
