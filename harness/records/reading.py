"""A results folder read as one table: every record of every file, with what could not be read.

What was read before lies in a cache, `results/.cache/`, which may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.contract import Array
from harness.errors import HeldoutError
from harness.records import atomic, schema
from harness.records.digests import check_table
from harness.records.store import ANCHORS, CACHE, METHODS, Damage, read_file, stamp

_VERSION = str(schema.VERSION).encode()


def record_files(root: Path) -> list[Path]:
    """Every file of the folder that should hold records, by name."""
    if not root.is_dir():
        raise _no_folder(root)
    return sorted(root / name for name, _ in _files(root))


def _no_folder(root: Path) -> HeldoutError:
    return HeldoutError(f"there is no results folder {root}; make one with: bench run SUITE METHOD")


def read_table(root: Path, *, cached: bool = True) -> tuple[pa.Table, list[Damage]]:
    """All records of a results folder without their bulky columns, and the files that failed.

    Read through the cache, which holds what was read before and is brought up to date by the way;
    without it (`cached=False`) by those who judge the folder and believe nothing in it. A run that
    occurs in several files counts once. Rows come in the order of their keys.
    """
    if not root.is_dir():
        raise _no_folder(root)
    files = dict(_files(root))
    known, rows = _load_cache(root, files) if cached else ({}, _cache_schema().empty_table())
    fresh, damaged = [], []
    for name in sorted(files.keys() - known.keys()):
        path = root / name
        try:
            _check_name(name)
            table = read_file(path)
            check_table(table)
        except HeldoutError as error:
            damaged.append(Damage(path, str(error)))
            continue
        fresh.append((name, _slim(table)))
    if fresh:
        rows = _merge(rows, fresh)
        if cached:
            _save_cache(root, rows, files)
    return _distinct(rows), damaged


def _check_name(name: str) -> None:
    """Raise HeldoutError where a file's name is no text, which neither cache nor page can hold."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(name).decode(errors="replace")
        raise HeldoutError(f"{shown}: its name is not UTF-8; rename it") from error


def _distinct(table: pa.Table) -> pa.Table:
    """Sorted by key; of rows with one key, the one whose file comes first by name."""
    table = _sorted(table).drop_columns(["file"])
    keys = table["key"].to_pylist()
    keep = [i for i, key in enumerate(keys) if i == 0 or key != keys[i - 1]]
    return table if len(keep) == len(keys) else table.take(keep)


def _sorted(table: pa.Table) -> pa.Table:
    """By key, then file; the table itself where it is, since a copy of all curves is large."""
    order = pc.sort_indices(table, [("key", "ascending"), ("file", "ascending")]).to_numpy()
    return table if bool((order[1:] > order[:-1]).all()) else table.take(pa.array(order))


def _slim(table: pa.Table) -> pa.Table:
    return table.drop_columns(list(schema.BULKY))


def _cache_schema() -> pa.Schema:
    fields = [f for f in schema.SCHEMA if f.name not in schema.BULKY]
    return pa.schema([*fields, pa.field("file", pa.string())])


def _files(root: Path) -> Iterator[tuple[str, str]]:
    """(path below root, size and time of change) of every visible Parquet file."""
    prefix = len(os.path.join(root, ""))  # noqa: PTH118
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(".")]
        if folder[prefix:] in (ANCHORS, METHODS):
            continue
        for name in names:
            if name.endswith(".parquet") and not name.startswith("."):
                path = os.path.join(folder, name)  # noqa: PTH118 - Path doubles the scan's time
                with contextlib.suppress(FileNotFoundError):
                    yield path[prefix:], stamp(path)


def failure_logs(root: Path, keys: Collection[str]) -> dict[str, str]:
    """By key: the stored end of the log of those failed runs that left one.

    Logs are not in the cache: they are read from the runs' own files, or from files of many runs.
    """
    found: dict[str, str] = {}
    for rows in _bulk(root, keys, ("failure_log",)):
        with contextlib.suppress(ValueError):  # a text that is none
            for key, log in zip(*(column.to_pylist() for column in rows.columns), strict=True):
                if log:
                    found.setdefault(key, log)
    return found


def _bulk(root: Path, keys: Collection[str], columns: Sequence[str]) -> Iterator[pa.Table]:
    """The key and some columns that the cache lacks, of the runs of those keys, file by file.

    A file that lacks one holds nothing of it. What cannot be read is left out.
    """
    wanted = pa.array(sorted(keys), pa.string())
    for name in sorted(dict(_files(root))) if keys else ():
        stem = Path(name).stem
        if stem not in keys and re.fullmatch(r"[0-9a-f]{64}", stem):
            continue
        with contextlib.suppress(OSError, pa.ArrowException, ValueError, KeyError):
            with (root / name).open("rb") as opened:
                file = pq.ParquetFile(opened)
                if not set(columns) <= set(file.schema_arrow.names):
                    continue
                rows = file.read(columns=["key", *columns])
            if rows.num_rows > 1 or stem not in keys:
                rows = rows.filter(pc.is_in(rows["key"], wanted))
            yield rows


@dataclass(frozen=True, slots=True)
class Tested:
    """What each test item of one run scored, and which it is; arrays (N,), a pair per test."""

    scores: tuple[Array, ...]
    items: tuple[Array, ...]  # none where the record does not say


def tested_items(root: Path, keys: Collection[str]) -> dict[str, Tested]:
    """By key: the items of those runs that hold what items scored.

    Like logs they are not in the cache. What cannot be read is left out: `read_table` names it.
    """
    found: dict[str, Tested] = {}
    for table in _bulk(root, keys, ("outcomes", "tested")):
        held = pc.greater(pc.list_value_length(table["outcomes"]), 0)
        table = table.filter(held).combine_chunks()
        if not table.num_rows:
            continue
        outcomes = table["outcomes"].chunk(0)
        scores = _nested(outcomes, outcomes.values.field("scores"))
        items = _nested(table["tested"].chunk(0), table["tested"].chunk(0).values)
        for key, *run in zip(table["key"].to_pylist(), scores, items, strict=True):
            found.setdefault(key, Tested(*run))
    return found


def _nested(outer: pa.ListArray, inner: pa.ListArray) -> Iterator[tuple[Array, ...]]:
    """Per row of a list of lists of numbers, its lists."""
    values, ends = inner.values.to_numpy(), inner.offsets.to_numpy()
    for start, end in pairwise(outer.offsets.to_numpy().tolist()):
        yield tuple(values[ends[i] : ends[i + 1]] for i in range(start, end))


def _load_cache(root: Path, files: dict[str, str]) -> tuple[dict[str, str], pa.Table]:
    """The cached rows whose files are unchanged; nothing if the cache is absent or unusable.

    That of another version of the schema is not used: whoever wrote it knew other columns.
    """
    empty = _cache_schema().empty_table()
    try:
        with (root / CACHE / "runs.parquet").open("rb") as file:
            table = pq.ParquetFile(file, page_checksum_verification=True).read()
        metadata = table.schema.metadata or {}
        if metadata[schema.VERSION_KEY] != _VERSION:
            return {}, empty
        stamps = json.loads(metadata[b"heldout.files"])
        table = table.cast(_cache_schema())
    except (OSError, pa.ArrowException, ValueError, KeyError):
        return {}, empty
    known = {name: stamp for name, stamp in stamps.items() if files.get(name) == stamp}
    if len(known) != len(stamps):
        table = table.filter(pc.is_in(table["file"], pa.array(list(known), pa.string())))
    return known, table


def _merge(rows: pa.Table, fresh: list[tuple[str, pa.Table]]) -> pa.Table:
    parts = [rows]
    for name, table in fresh:
        column = pa.array([name] * table.num_rows, pa.string())
        parts.append(table.append_column("file", column).cast(_cache_schema()))
    return _sorted(pa.concat_tables(parts).combine_chunks())


def _save_cache(root: Path, rows: pa.Table, files: dict[str, str]) -> None:
    """Write the cache; a folder that cannot be written simply stays without one."""
    held = set(rows["file"].to_pylist())
    stamps = {name: stamp for name, stamp in files.items() if name in held}
    metadata = {
        schema.VERSION_KEY: _VERSION,
        b"heldout.files": json.dumps(stamps, sort_keys=True).encode(),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(rows.replace_schema_metadata(metadata), sink, write_page_checksum=True)
    with contextlib.suppress(OSError):
        (root / CACHE).mkdir(exist_ok=True)
        atomic.write(root / CACHE / "runs.parquet", sink.getvalue().to_pybytes(), replace=True)
