"""Temporary folders that are gone when we are, killed or not."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from harness.errors import HeldoutError

PREFIX = "heldout-run-"
YOUNG_SECONDS = 60.0  # a folder of that age may not be locked yet


class WorkFolder:
    """A new folder, locked as long as we live: who finds it unlocked may `sweep` it.

    It lies in `place`, or else where temporary folders go. A context manager. Raises HeldoutError
    where no folder can be made.
    """

    def __init__(self, place: Path | None = None, prefix: str = PREFIX) -> None:
        try:
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        except OSError as error:
            where, other = f" in {place}", "choose another place"
            if place is None:
                where, other = "", "name another place with TMPDIR"
            raise HeldoutError(
                f"cannot make a temporary folder{where} ({error.strerror}); make room, or {other}, "
                "then run the same command again"
            ) from error
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)  # given up when we end, however that is

    def remove(self) -> None:
        """Remove the folder with all that is in it, however its owner has closed it."""
        _remove(self.path)
        os.close(self._lock)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()


def sweep(place: Path | None = None, prefix: str = PREFIX) -> None:
    """Remove the folders whose owner was killed: nobody holds their lock."""
    try:
        place = place or Path(tempfile.gettempdir())
    except FileNotFoundError:  # no room anywhere: whoever needs some will say so
        return
    for root in place.glob(f"{glob.escape(prefix)}*"):
        with contextlib.suppress(OSError):  # held, or somebody else's
            if time.time() - root.stat().st_mtime < YOUNG_SECONDS:
                continue
            lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(lock).st_uid == os.geteuid():
                    _remove(root)
            finally:
                os.close(lock)


def _remove(root: Path) -> None:
    for _attempt in range(3):  # a process that is being killed may still add to it
        with contextlib.suppress(RecursionError):
            shutil.rmtree(root, ignore_errors=True)
        if not root.exists():
            return
        for command in (
            ["chmod", "-R", "u+rwX"],  # the run may have closed its folders
            ["rm", "-rf"],  # however deep they are
        ):
            subprocess.run([*command, str(root)], stderr=subprocess.DEVNULL, check=False)
