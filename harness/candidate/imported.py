"""What a method's process has imported beside libraries: told at the end of a run."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Collection
from pathlib import Path

PACKAGES = ("site-packages", "dist-packages")
"""Folders of installed libraries: a path with one of these in it is theirs."""
OURS = Path(__file__).resolve().parents[2]
"""Where our packages lie. The key covers the harness and the suites by their versions."""
MOST = 50  # modules that are told
LONGEST = 400  # characters of a name or a path that are told


def beside(before: Collection[str]) -> list[list[str]]:
    """[name, file] of the modules imported since `before` that neither Python nor a library brings.

    Modules of the harness and of the suites are left out too.
    """
    covered = [OURS / "harness", OURS / "suites", *_standard()]
    found = []
    for name in sorted(sys.modules.keys() - set(before)):
        file = _file(name)
        if file is None or _is_library(name.partition(".")[0]) or _is_library(name):
            continue
        if not any(file.is_relative_to(folder) for folder in covered):
            found.append([name[:LONGEST], str(file)[:LONGEST]])
    return found[:MOST]


def _file(name: str) -> Path | None:
    """Where a module was found; None for what is in no file."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None


def _is_library(name: str) -> bool:
    """Whether a module is an installed library's, code that it has written for itself included."""
    file = _file(name)
    return file is not None and any(part in PACKAGES for part in file.parts)


def _standard() -> list[Path]:
    names = ("stdlib", "platstdlib")
    return [Path(sysconfig.get_path(name)).resolve() for name in names]
