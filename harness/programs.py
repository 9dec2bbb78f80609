"""How a Python process of ours is started: with nobody's folder on its path."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
FOLDER = "/proc"
"""To start it in: a folder in which nobody can put a file, and which nobody has to remove."""

_START = """\
import importlib.util, runpy, sys
found = importlib.util.find_spec("harness")
if found is None or found.origin != {origin!r}:
    sys.path.insert(next((i for i, p in enumerate(sys.path) if "-packages" in p), 0), {here!r})
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def command(module: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
    """The command line that runs one of our modules; PYTHONPATH must not be in its environment.

    A file beside a method that is called like a standard module is not imported by it: the folder
    it is started in is no place to import from (-P), ours is one only where the interpreter does
    not know us without, and behind the standard library.
    """
    origin = str(HERE / "harness" / "__init__.py")
    start = _START.format(origin=origin, here=str(HERE))
    return [sys.executable, "-P", *options, "-c", start, module, *arguments]
