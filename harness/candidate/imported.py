"""What a method has imported that its hash does not cover: told at the end of a run.

The method's process tells it. It is not trusted: what it leaves out is not noticed, and what it
says is bounded.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Collection
from pathlib import Path
from typing import Any

from harness.candidate.channel import ChannelError

PACKAGES = ("site-packages", "dist-packages")
"""Folders of installed libraries: a path with one of these in it is theirs."""
OURS = Path(__file__).resolve().parents[2]
"""Where our packages lie. The key covers the harness and the suites by their versions."""
NAMES = 20  # that a record keeps
CHARACTERS = 100  # of each


def unhashed(before: Collection[str], given: str) -> list[str]:
    """Names of the modules imported since `before` that no hash and no version covers, sorted.

    Covered are the standard library, installed libraries, the harness, the suites, and the sources
    in the folder `given`. NAMES at most.
    """
    names = ("stdlib", "platstdlib")
    covered = [Path(given).resolve(), OURS / "harness", OURS / "suites"]
    covered += [Path(sysconfig.get_path(name)).resolve() for name in names]
    found = []
    for name in sorted(sys.modules.keys() - set(before)):
        file = _file(name)
        if file is None or _is_library(name.partition(".")[0]) or _is_library(name):
            continue
        if not any(file.is_relative_to(folder) for folder in covered):
            found.append(name[:CHARACTERS])
    return found[:NAMES]


def told(names: Any) -> tuple[str, ...]:
    """Names as `unhashed` gives them; ChannelError for what it never does."""
    sound = isinstance(names, list) and len(names) <= NAMES
    if not sound or not all(isinstance(n, str) and 0 < len(n) <= CHARACTERS for n in names):
        raise ChannelError("it tells its modules as no process of ours does")
    return tuple(names)


def _file(name: str) -> Path | None:
    """Where a module was found; None for what is in no file."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None


def _is_library(name: str) -> bool:
    """Whether a module is an installed library's, code that it has written for itself included."""
    file = _file(name)
    return file is not None and any(part in PACKAGES for part in file.parts)
