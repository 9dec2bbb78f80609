"""The folder of a run, and what a run in a sandbox takes of disk and memory."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.errors import FailureKind, HeldoutError
from harness.isolation.sandbox import Grant
from harness.isolation.sources import Code, Sources, Written
from harness.isolation.workfolder import WorkFolder

SCRATCH_BYTES = 4_000_000_000  # on disk, of a run
BLOCK = 4096  # bytes that a file counts for at least: there is an end to their number too
DEPTH = 64  # of folders in it


class RunFolder:
    """The folder of one run: its sources, which it may read, and its scratch. A context manager."""

    def __init__(
        self,
        sources: Sources,
        targets: Iterable[str],
        folders: Iterable[str],
        device: str,
        *,
        processes: bool,
        beside: RunFolder | None = None,
    ) -> None:
        """`targets` name the code of the run; see `loading.source_of` and `Grant`.

        With `beside`, the sources are those of that folder: of another process of the same run.
        Raises HeldoutError where no temporary folder can be made.
        """
        self._work = WorkFolder()
        self._work.path.chmod(0o711)
        scratch, modules = self._work.path / "scratch", self._work.path / "modules"
        self._written = Written(modules)
        self._codes: dict[str, Code] = {}
        try:
            scratch.mkdir()
            if beside is not None:
                self._written, self._codes = beside._written, beside._codes
                modules = Path(beside.grant.modules)
            else:
                modules.mkdir()
                for target in targets:
                    code = sources.of(target)
                    self._codes[target] = code
                    self._written.write(code.files)
        except OSError as error:
            self._work.remove()
            raise HeldoutError(
                f"cannot write the sources of a run ({error.strerror}); make room, or name another "
                "place with TMPDIR, then run the same command again"
            ) from error
        except BaseException:
            self._work.remove()
            raise
        self.grant: Grant = Grant(
            scratch=str(scratch),
            modules=str(modules),
            folders=tuple(folders),
            accelerators=device != "cpu",
            processes=processes,
        )

    def target(self, target: str) -> str:
        """By what name the run imports one of its targets."""
        return self._codes[target].target if target in self._codes else target

    def source_hash(self, target: str, contract: int) -> str | None:
        """`fingerprint.of_source` of the text that the run has of a target; None: as installed."""
        hashed = self._codes[target].hashed
        return hashed(contract) if hashed else None

    def as_written(self, text: str) -> str:
        """See `Written.as_written`."""
        return self._written.as_written(text)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self._work.remove()


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
