"""Modules that a method imported and its source hash does not cover: what its key cannot tell.

The method's process tells what it has imported. It is not trusted: what it leaves out is not
noticed, and what it says is bounded.
"""

from __future__ import annotations

from typing import Any

from harness.candidate.channel import ChannelError
from harness.candidate.imported import MOST
from harness.candidate.loading import source_of
from harness.fingerprint import closure

NAMES = 20  # that a record keeps
CHARACTERS = 100  # of each


def modules(told: Any, target: str) -> tuple[str, ...]:
    """The names of those that `fingerprint.of_source` does not hash for a method, sorted.

    `told` holds [name, file] of what its process has imported (`candidate.imported`).
    """
    if not isinstance(told, list) or len(told) > MOST or not all(map(_is_module, told)):
        raise ChannelError("it tells its modules as no process of ours does")
    path = str(source_of(target).resolve())
    rest = [(name, file) for name, file in told if file != path]
    hashed = set(map(str, closure(source_of(target))[1])) if rest else set()
    found = sorted({name[:CHARACTERS] for name, file in rest if file not in hashed})
    return tuple(found[:NAMES])


def _is_module(told: Any) -> bool:
    return isinstance(told, list) and len(told) == 2 and all(isinstance(text, str) for text in told)
