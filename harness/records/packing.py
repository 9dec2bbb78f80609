"""Packing: the run files of a method on a scenario become one file, row for row as they were.

A file of one row is nine tenths Parquet's own description of 93 columns; together the rows take a
sixth of the space. Packing moves records and changes none: each keeps its digest and is found by
its key as before. The pack is written whole and read back before any run file goes; a run that is
in both for a moment is one run. One process packs a folder at a time, others may write to it.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness.errors import HeldoutError
from harness.records import atomic, schema
from harness.records.digests import check_digest
from harness.records.store import MARKER, Damage, encoded, pack_of, read_file


@dataclass(frozen=True)
class Packed:
    """What came of packing a results folder."""

    runs: int  # whose own file is gone now
    files: int  # packs written
    bytes_before: int  # of all records
    bytes_after: int
    damaged: tuple[Damage, ...]  # left as they were


def pack(root: Path) -> Packed:
    """Pack every method's runs below a results folder.

    Raises HeldoutError if it is none, or cannot be written.
    """
    if not (root / MARKER).is_file():
        raise HeldoutError(f"{root} is no results folder of ours (it has no {MARKER})")
    runs, packs, damaged = 0, 0, []
    with _alone(root):
        before = _size(root)
        for folder in sorted(root.glob("[!.]*/[!.]*/[!.]*/")):
            moved, bad = _pack_folder(folder)
            runs, packs = runs + moved, packs + bool(moved)
            damaged += bad
        return Packed(runs, packs, before, _size(root), tuple(damaged))


def _pack_folder(folder: Path) -> tuple[int, list[Damage]]:
    """(runs moved into the folder's pack, files that could not be read)."""
    target, rows, damaged = pack_of(folder), {}, []
    if target.exists():
        try:
            rows = {row["key"]: row for row in _rows(target)}
        except HeldoutError as error:
            return 0, [Damage(target, str(error))]
    moved = []
    for path in sorted(folder.glob("[!.]*.parquet")):
        try:
            (row,) = _rows(path)
        except (HeldoutError, ValueError) as error:
            damaged.append(Damage(path, str(error)))
            continue
        if rows.setdefault(row["key"], row)["digest"] == row["digest"]:
            moved.append(path)
        else:
            damaged.append(Damage(path, f"{path}: its run is in {target.name} with other values"))
    if moved:
        ordered = [rows[key] for key in sorted(rows)]
        content = encoded(pa.Table.from_pylist(ordered, schema=schema.SCHEMA))
        try:
            atomic.write(target, content, replace=True)
            if [row["digest"] for row in _rows(target)] != [row["digest"] for row in ordered]:
                raise HeldoutError(f"{target} reads otherwise than written; no run was removed")
            for path in moved:
                path.unlink()  # the folder stays: others may be about to write to it
        except OSError as error:
            raise HeldoutError(
                f"cannot pack {folder} ({error.strerror}); no run is lost: make room or permit "
                "writing, then run the same command again"
            ) from error
    return len(moved), damaged


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, each as it was written; HeldoutError otherwise."""
    rows: list[dict[str, Any]] = read_file(path).to_pylist()
    for row in rows:
        check_digest(row)
    return rows


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Keep a second packing of the folder waiting; the lock ends with the process."""
    with (root / MARKER).open("rb") as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)
        yield


def _size(root: Path) -> int:
    """Bytes of all Parquet files outside of hidden folders."""
    return sum(
        path.stat().st_size
        for path in root.rglob("*.parquet")
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
