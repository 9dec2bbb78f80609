"""The source files of a run as it gets them: the text that its method's hash was made of.

Comments, docstrings and layout are in no hash, so they are in no run either; nor is byte code that
somebody left beside a source: a run gets what was compiled from that text here.
"""

from __future__ import annotations

import functools
import importlib.util
import marshal
import os
import re
import struct
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.candidate.loading import name_of_file, source_of
from harness.fingerprint import HARNESS, closure, of_read
from harness.isolation import sandbox
from harness.sourcetext import SourceText, normalised

State = tuple[int, int, int] | None
_UNCHECKED = 1  # flag of byte code that goes with its source whatever that is; PEP 552


@dataclass(frozen=True)
class SourceFile:
    """One file of a run."""

    place: str  # in the folder that the run imports from
    shown: str  # how a person calls it
    text: bytes
    compiled: bytes  # empty where it is no code that compiles: the import then says why
    lines: tuple[int, ...]  # of each line of `text`, where it stands in the file; from 1


@dataclass(frozen=True)
class Code:
    """What stands behind a target, "package.module:name" or "path/to/file.py:name"."""

    target: str  # as the run imports it: "module:name"
    files: tuple[SourceFile, ...]  # none of an installed library, which runs as it is installed
    states: Mapping[Path, State]  # of the files that it was read from
    hashed: Callable[[int], str] | None = None  # by version of the contract; None: as installed


class Sources:
    """The code that targets name, read anew where one of its files has changed.

    One thread at a time: the interpreter counts the depth of syntax trees for all of them together.
    """

    def __init__(self) -> None:
        self._known: dict[str, Code] = {}
        self._lock = threading.Lock()

    def of(self, target: str) -> Code:
        """The code of a target; raises HeldoutError where it cannot be read."""
        with self._lock:
            known = self._known.get(target)
            if known is None or known.states != {path: _state(path) for path in known.states}:
                known = self._known[target] = _code(target)
            return known


class Written:
    """Files in a folder of modules, and the way back to what a person wrote."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, SourceFile] = {}

    def write(self, files: tuple[SourceFile, ...]) -> None:
        """Put files there; the first of a name stays."""
        for file in files:
            if file.place in self._files:
                continue
            self._files[file.place] = file
            path = self._folder / file.place
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, file.text)
            if file.compiled:
                compiled = Path(importlib.util.cache_from_source(str(path)))
                compiled.parent.mkdir(exist_ok=True)
                _write(compiled, file.compiled)

    def as_written(self, text: str) -> str:
        """A message or a log of the run with the files and lines of those who wrote them."""
        place = re.escape(f"{self._folder}/") + r"([^\s:\"']+\.py)"
        text = re.sub(place + r"(\", line |:)(\d+)", self._line, text)
        text = re.sub(place, lambda found: self._shown(found[1]), text)
        for file in self._files.values():
            stem, shown = Path(file.place).stem, Path(file.shown).stem
            if stem != shown:
                text = text.replace(stem, shown)
        return text

    def _line(self, found: re.Match[str]) -> str:
        place, between, line = found[1], found[2], int(found[3])
        lines = self._files[place].lines if place in self._files else ()
        if 0 < line <= len(lines):
            line = lines[line - 1]
        return f"{self._shown(place)}{between}{line}"

    def _shown(self, place: str) -> str:
        return self._files[place].shown if place in self._files else place


def _write(path: Path, content: bytes) -> None:
    """Read already, as far as its times tell: who reads it now leaves nothing for the next."""
    path.write_bytes(content)
    now = time.time_ns()
    os.utime(path, ns=(now, now - 1_000_000_000))


def _code(target: str) -> Code:
    module, _, name = target.rpartition(":")
    source = source_of(target)
    kept = any(source.is_relative_to(sandbox.HERE / package) for package in sandbox.KEPT)
    if not kept and not module.endswith(".py") and set(source.parts) & set(sandbox.PACKAGES):
        return Code(target, (), {})
    root, found = closure(source)
    states = {path: _state(path) for path in found}
    hashed = functools.cache(lambda contract: of_read(source.resolve(), root, found, contract))
    files = {
        path.resolve(): _file(path.relative_to(root).as_posix(), normalised(*read))
        for path, read in found.items()
        if path.is_relative_to(root)
        and path.resolve().is_relative_to(root)  # a link may lead anywhere
        and not path.is_relative_to(HARNESS)
    }
    if not module.endswith(".py"):
        return Code(target, tuple(files.values()), states, hashed)
    alone = source.parent == root
    if not alone:
        dotted = ".".join(source.relative_to(root).with_suffix("").parts)
        return Code(f"{dotted}:{name}", tuple(files.values()), states, hashed)
    unique = name_of_file(source)
    own = replace(files[source], place=f"{unique}.py")
    beside = tuple(files.values()) if len(files) > 1 else ()  # one of them may import it back
    return Code(f"{unique}:{name}", (own, *beside), states, hashed)


def _state(path: Path) -> State:
    """What changes when a file does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _file(place: str, source: SourceText) -> SourceFile:
    text = source.text.encode(errors="surrogatepass")
    return SourceFile(place, place, text, _compiled(text), source.lines)


def _compiled(text: bytes) -> bytes:
    """Byte code as an import reads it from a file; b"" where the text does not compile."""
    try:
        with warnings.catch_warnings(action="ignore"):
            code = compile(text, "<source>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return b""
    head = importlib.util.MAGIC_NUMBER + struct.pack("<I", _UNCHECKED)
    return head + importlib.util.source_hash(text) + marshal.dumps(code)
