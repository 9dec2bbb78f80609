"""bubblewrap as a wall around a process: what its command line says.

It needs no Landlock, only namespaces, but has to start a program: what it confines cannot be forked
from a process that is warm already. What is put behind the wall is said in `sandbox`.
Source: bwrap(1), https://github.com/containers/bubblewrap.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PROGRAM = "bwrap"
TRIAL_SECONDS = 10.0


@cache
def why_not() -> str:
    """Why there is no bubblewrap here, as a clause; "" where there is. It is tried."""
    if shutil.which(PROGRAM) is None:
        return "bubblewrap is not installed"
    trial = [*_walls(), "--ro-bind", "/", "/", "true"]
    try:
        tried = subprocess.run(
            trial, capture_output=True, timeout=TRIAL_SECONDS, text=True, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not start ({error})"
    said = " ".join(tried.stderr.split())[:200]
    return f"bubblewrap may not make namespaces here ({said})" if tried.returncode else ""


def command(
    *,
    readable: Iterable[str],
    hidden: Iterable[str],
    inside: Iterable[str],
    devices: Iterable[str],
    writable: str,
) -> list[str]:
    """What to put before a program and its arguments.

    It will see the trees in `readable` without those in `hidden`, the files and folders `inside`
    wherever they lie, a /proc of its own processes only, and may write to the folder `writable`
    and nowhere else. Nothing outside can be reached by signal, network or shared memory. Paths
    that are not there are passed over.
    """
    words = [*_walls(), "--proc", "/proc", "--dev", "/dev"]
    trees = sorted(readable)
    for path in trees:
        words += _shown(path)
    folders: list[str] = []
    for path in sorted(hidden):
        shown, gone = (any(Path(path).is_relative_to(p) for p in ps) for ps in (trees, folders))
        if not shown or gone:
            continue
        if Path(path).is_dir():
            folders.append(path)
            words += ["--tmpfs", path]
        else:
            words += ["--ro-bind", "/dev/null", path]
    for path in sorted(inside):
        words += ["--ro-bind-try", path, path]
    for path in devices:
        words += ["--dev-bind-try", path, path]
    words += ["--bind", writable, writable, "--chdir", writable]
    for path in (*folders, "/dev", "/"):  # made for the bubble: for nobody to write to
        words += ["--remount-ro", path]
    return [*words, "--"]


def _walls() -> list[str]:
    return [PROGRAM, "--unshare-all", "--die-with-parent", "--cap-drop", "ALL"]


def _shown(path: str) -> Iterator[str]:
    """A tree where it is, or the same link to it; a name whose folder is a link comes with that."""
    place = Path(path)
    if place.is_symlink():
        yield from ("--symlink", str(place.readlink()), path)
    elif place.parent.resolve() == place.parent:
        yield from ("--ro-bind-try", path, path)
