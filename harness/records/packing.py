"""Packing: the run files of a method on a scenario become one file, row for row as they were.

A file of one row is nine tenths Parquet's own description of its columns; together the rows take a
sixth of the space. Packing moves records and changes none: each keeps its digest and is found by
its key as before. The pack is written whole and read back before any run file goes; a run that is
in both for a moment is one run. A pack of an older version of the schema is written anew in that
way too. One process packs a folder at a time, others may write to it.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness.errors import HeldoutError
from harness.records import atomic, schema
from harness.records.digests import check_table
from harness.records.store import (
    MARKER,
    Damage,
    decoded,
    encoded,
    pack_of,
    read_file,
    version_of,
)


@dataclass(frozen=True)
class Packed:
    """What came of packing a results folder."""

    runs: int  # whose own file is gone now
    files: int  # packs that they went into
    rewritten: int  # packs that were of an older version of the schema
    bytes_before: int  # of all records
    bytes_after: int
    damaged: tuple[Damage, ...]  # left as they were


def pack(root: Path) -> Packed:
    """Pack every method's runs below a results folder.

    Raises HeldoutError if it is none, or cannot be written.
    """
    if not (root / MARKER).is_file():
        raise HeldoutError(f"{root} is no results folder of ours (it has no {MARKER})")
    runs, packs, rewritten, damaged = 0, 0, 0, []
    with _alone(root):
        before = _size(root)
        for folder in _folders(root):
            moved, old, bad = _pack_folder(folder)
            runs, packs, rewritten = runs + moved, packs + bool(moved), rewritten + old
            damaged += bad
        return Packed(runs, packs, rewritten, before, _size(root), tuple(damaged))


def _folders(root: Path) -> list[Path]:
    """Every method's folder; of one that holds nothing a pack may be all that there is."""
    folders = set(root.glob("[!.]*/[!.]*/[!.]*/"))
    packs = [path for path in root.glob("[!.]*/[!.]*/[!.]*.parquet") if path.is_file()]
    return sorted(folders | {path.with_name(path.name.removesuffix(".parquet")) for path in packs})


def _pack_folder(folder: Path) -> tuple[int, bool, list[Damage]]:
    """(runs moved into the folder's pack, whether that was old, files that could not be read)."""
    target, rows, old, damaged = pack_of(folder), {}, False, []
    if target.exists():
        try:
            found = _rows(target)
            rows = {row["key"]: row for row in found}
            if len(rows) < len(found):
                raise HeldoutError(f"{target}: holds a run twice; delete one of its rows")
            old = version_of(target) < schema.VERSION
        except HeldoutError as error:
            return 0, False, [Damage(target, str(error))]
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
    if moved or old:
        ordered = [rows[key] for key in sorted(rows)]
        content = encoded(pa.Table.from_pylist(ordered, schema=schema.SCHEMA))
        try:
            _check(target, decoded(content, target), ordered)  # before the old pack goes
            atomic.write(target, content, replace=True)
            _check(target, read_file(target), ordered)
            for path in moved:
                path.unlink()  # the folder stays: others may be about to write to it
        except OSError as error:
            raise HeldoutError(
                f"cannot pack {folder} ({error.strerror}); no run is lost: make room or permit "
                "writing, then run the same command again"
            ) from error
    return len(moved), old, damaged


def _check(path: Path, pack: pa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise HeldoutError where a pack does not hold these rows."""
    check_table(pack)
    if pack["digest"].to_pylist() != [row["digest"] for row in rows]:
        raise HeldoutError(f"{path} reads otherwise than written; no run was removed")


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, each as it was written; HeldoutError otherwise."""
    table = read_file(path)
    check_table(table)
    rows: list[dict[str, Any]] = table.to_pylist()
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
