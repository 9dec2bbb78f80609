"""The folder of a run in a sandbox, and what the run takes of disk and memory."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from importlib.util import cache_from_source
from pathlib import Path

from harness.candidate.loading import source_of
from harness.errors import FailureKind
from harness.fingerprint import closure
from harness.isolation import sandbox
from harness.isolation.sandbox import Grant
from harness.isolation.workfolder import WorkFolder

SCRATCH_BYTES = 4_000_000_000  # on disk, of a run
BLOCK = 4096  # bytes that a file counts for at least: there is an end to their number too
DEPTH = 64  # of folders in it


class Sources:
    """The files that code named by a run may read, found once: all runs of a command see the same.

    One thread at a time: the interpreter counts the depth of syntax trees for all of them together.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Path, tuple[Path, ...]]] = {}
        self._lock = threading.Lock()

    def of(self, target: str) -> tuple[Path, tuple[Path, ...]]:
        """The folder that `target` (`loading.source_of`) imports from, files below it."""
        with self._lock:
            if target not in self._known:
                self._known[target] = _sources(source_of(target))
            return self._known[target]


class RunFolder:
    """The folder of one run: links to its sources, and its scratch. A context manager."""

    def __init__(
        self,
        sources: Sources,
        targets: Iterable[str],
        folders: Iterable[str],
        device: str,
        *,
        processes: bool,
    ) -> None:
        """`targets` name the code of the run; see `loading.source_of` and `Grant`.

        Raises HeldoutError where no temporary folder can be made.
        """
        self._work = WorkFolder()
        self._work.path.chmod(0o711)
        scratch, modules = self._work.path / "scratch", self._work.path / "modules"
        scratch.mkdir()
        modules.mkdir()
        files: set[Path] = set()
        try:
            for target in dict.fromkeys(targets):
                files |= _link(*sources.of(target), modules)
        except BaseException:
            self.__exit__()
            raise
        self.grant = Grant(
            scratch=str(scratch),
            modules=str(modules),
            files=tuple(sorted(map(str, files))),
            folders=tuple(folders),
            accelerators=device != "cpu",
            processes=processes,
        )

    def __enter__(self) -> Grant:
        return self.grant

    def __exit__(self, *_: object) -> None:
        self._work.remove()


def _sources(source: Path) -> tuple[Path, tuple[Path, ...]]:
    """The folder that a file imports from, and the files below it that it comes to import."""
    kept = any(source.is_relative_to(sandbox.HERE / name) for name in sandbox.KEPT)
    if not kept and any(part in sandbox.PACKAGES for part in source.parts):
        return source.parent, ()  # an installed library
    root, found = closure(source)
    return root, tuple(f for f in found if f.is_relative_to(root))


def _link(root: Path, sources: Iterable[Path], modules: Path) -> set[Path]:
    """Link files and their compiled forms where they are imported from."""
    files = set()
    for file in sources:
        compiled = Path(cache_from_source(str(file)))
        for path in (file, compiled):
            if path.is_file() and path.resolve().is_relative_to(root):  # a link may lead anywhere
                files.add(path)
                link = modules / path.relative_to(root)
                link.parent.mkdir(parents=True, exist_ok=True)
                if not link.is_symlink():
                    link.symlink_to(path)
    return files


def excess(grant: Grant, pid: int, memory_bytes: int | None) -> tuple[FailureKind, str] | None:
    """What a run has taken beyond its share, as (kind of failure, words); None if nothing."""
    processes = list(_group(pid))
    nameless = dict(entry for process in processes for entry in _nameless(process))
    on_disk = sum(size for in_memory, size in nameless.values() if not in_memory)
    if words := _disk_excess(grant.scratch, on_disk):
        return "disk", words
    if memory_bytes is not None:
        held = sum(size for in_memory, size in nameless.values() if in_memory)
        if len(processes) > 1:  # one has its limit by setrlimit(2), also beside one that has ended
            sizes = [size for process in processes for size in _memory(process)]
            held += sum(sizes) if len(sizes) > 1 else 0
        if held > memory_bytes:
            used, allowed, count = held / 1e9, memory_bytes / 1e9, len(processes)
            words = f"held {used:.1f} GB in {count} processes; {allowed:.1f} GB are allowed"
            return "memory", words
    return None


def _disk_excess(scratch: str, used: int) -> str:
    """`used`: bytes on disk that have no name any more."""
    closed: list[OSError] = []
    for folder, folders, names in os.walk(scratch, onerror=closed.append):
        for name in (*folders, *names):
            with contextlib.suppress(OSError):  # it has gone meanwhile
                used += max(Path(folder, name).lstat().st_blocks * 512, BLOCK)
        if used > SCRATCH_BYTES:
            return f"wrote {used / 1e9:.1f} GB to disk; {SCRATCH_BYTES / 1e9:g} GB are allowed"
        if folder.count("/") > scratch.count("/") + DEPTH:
            return f"made folders inside each other; {DEPTH} are allowed"
    if any(isinstance(error, PermissionError) for error in closed):
        return "keeps a folder closed to the harness, so that nobody knows what is in it"
    return ""


def _group(group: int) -> Iterator[str]:
    """The folder in /proc of every process of a group."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                if os.getpgid(int(entry.name)) == group:
                    yield entry.path


def _memory(process: str) -> Iterator[int]:
    """Bytes of a process, shared pages by their share (Pss, proc(5)); none if it has ended.

    It takes the kernel 7 ms per GB, in which the process gets no new page.
    """
    with contextlib.suppress(OSError, IndexError):
        text = Path(process, "smaps_rollup").read_text()
        yield int(text.partition("\nPss:")[2].split()[0]) * 1024


def _nameless(process: str) -> Iterator[tuple[tuple[int, int], tuple[bool, int]]]:
    """Open files that no folder shows: (device, inode) -> (whether in memory alone, bytes)."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"{process}/fd"):
            with contextlib.suppress(OSError):  # closed meanwhile
                found = entry.stat()
                if stat.S_ISREG(found.st_mode) and not found.st_nlink:
                    in_memory = str(Path(entry.path).readlink()).startswith("/memfd:")
                    yield (found.st_dev, found.st_ino), (in_memory, found.st_blocks * 512)
