"""Facts about this machine and its libraries."""

from __future__ import annotations

import platform
import socket
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness.records.record import Machine

MATTERING = ("numpy", "torch")
"""Libraries whose version is part of every run's key."""


@cache
def this_machine() -> Machine:
    """Where we are running, and from which commit."""
    commit, dirty = _git()
    return Machine(
        host=socket.gethostname(),
        cpu=cpu_name(),
        platform=platform.platform(),
        python=platform.python_version(),
        heldout=_version("heldout"),
        git_commit=commit,
        git_dirty=dirty,
    )


@cache
def libraries() -> dict[str, str]:
    """Versions of the libraries that matter to an outcome, build labels like +cpu left out."""
    return {name: _version(name).partition("+")[0] for name in MATTERING}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "missing"


def cpu_name() -> str:
    """The processor's model name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git() -> tuple[str | None, bool | None]:
    """(commit, whether files differ from it) of the checkout we run from, if it is one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None, None
    try:
        commit = _run(root, "rev-parse", "HEAD")
        dirty = bool(_run(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None
    return commit, dirty


def _run(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "core.fsmonitor=false", "-C", str(root), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return done.stdout.strip()
