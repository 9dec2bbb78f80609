"""A results folder read as one table: every record of every file, with what could not be read.

What was read before lies in a cache, `results/.cache/`, which may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
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
RUNS_CACHE, ITEMS_CACHE = "runs.parquet", "items.parquet"


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
    for _, rows in _bulk(root, dict(_files(root)), keys, ["key", "failure_log"]):
        with contextlib.suppress(ValueError):  # a text that is none
            for key, log in zip(*(column.to_pylist() for column in rows.columns), strict=True):
                if log:
                    found.setdefault(key, log)
    return found


def _bulk(
    root: Path, names: Collection[str], keys: Collection[str], columns: list[str]
) -> Iterator[tuple[str, pa.Table]]:
    """Some columns, the key the first, of the runs of those keys, by the files that hold them.

    A file that lacks one holds nothing of it. What cannot be read is left out.
    """
    wanted = pa.array(sorted(keys), pa.string())
    for name in sorted(names) if keys else ():
        stem = Path(name).stem
        if stem not in keys and _is_of_one_run(name):
            continue
        with contextlib.suppress(OSError, pa.ArrowException, ValueError, KeyError):
            with (root / name).open("rb") as opened:
                file = pq.ParquetFile(opened)
                if not set(columns) <= set(file.schema_arrow.names):
                    continue
                rows = file.read(columns=columns).select(columns)
            yield name, rows.filter(pc.is_in(rows["key"], wanted))


def _is_of_one_run(name: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{64}", Path(name).stem))


@dataclass(frozen=True, slots=True)
class Tested:
    """What each test item of one run scored, and which it is; arrays (N,), a pair per test."""

    scores: tuple[Array, ...]
    items: tuple[Array, ...]  # none where the record does not say


_ITEMS = ["key", "outcomes", "tested"]


def tested_items(root: Path, keys: Collection[str]) -> dict[str, Tested]:
    """By key: the items of those runs that hold what items scored.

    What stands in files of one run is in a cache of its own, since opening a file takes longer than
    reading it. What cannot be read is left out: `read_table` names it.
    """
    files = dict(_files(root)) if keys else {}
    known = _load_items(root, files)
    fresh = []
    found: dict[str, Tested] = {}
    _collect(known.filter(pc.is_in(known["key"], pa.array(sorted(keys), pa.string()))), found)
    for name, rows in _bulk(root, files.keys() - known["file"].to_pylist(), keys, _ITEMS):
        _collect(rows, found)
        if _is_of_one_run(name) and rows.num_rows == 1:
            with contextlib.suppress(UnicodeEncodeError):  # a name that is no text
                place = pa.array([name]), pa.array([files[name]])
                row = rows.append_column("file", place[0]).append_column("stamp", place[1])
                fresh.append(row.cast(known.schema))
    if fresh:
        _save(root, ITEMS_CACHE, pa.concat_tables([known, *fresh]))
    return found


def _collect(table: pa.Table, found: dict[str, Tested]) -> None:
    """The runs of a table that hold what items scored, unless they are found."""
    held = pc.greater(pc.list_value_length(table["outcomes"]), 0)
    table = table.filter(held).combine_chunks()
    if table.num_rows:
        outcomes, tested = table["outcomes"].chunk(0), table["tested"].chunk(0)
        scores = _nested(outcomes, outcomes.values.field("scores"))
        items = _nested(tested, tested.values)
        for key, *run in zip(table["key"].to_pylist(), scores, items, strict=True):
            found.setdefault(key, Tested(*run))


def _nested(outer: pa.ListArray, inner: pa.ListArray) -> Iterator[tuple[Array, ...]]:
    """Per row of a list of lists of numbers, its lists."""
    values, ends = inner.values.to_numpy(), inner.offsets.to_numpy()
    for start, end in pairwise(outer.offsets.to_numpy().tolist()):
        yield tuple(values[ends[i] : ends[i + 1]] for i in range(start, end))


def _load_cache(root: Path, files: dict[str, str]) -> tuple[dict[str, str], pa.Table]:
    """The cached rows whose files are unchanged; nothing if the cache is absent or unusable."""
    try:
        table = _load(root, RUNS_CACHE, _cache_schema())
        stamps = json.loads(table.schema.metadata[b"heldout.files"])
        table = table.replace_schema_metadata(_cache_schema().metadata)
    except (OSError, pa.ArrowException, ValueError, KeyError):
        return {}, _cache_schema().empty_table()
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
    held = set(rows["file"].to_pylist())
    stamps = {name: stamp for name, stamp in files.items() if name in held}
    metadata = {b"heldout.files": json.dumps(stamps, sort_keys=True).encode()}
    _save(root, RUNS_CACHE, rows, metadata)


def _save(
    root: Path, name: str, rows: pa.Table, metadata: Mapping[bytes, bytes] | None = None
) -> None:
    """Write a cache; a folder that cannot be written simply stays without one."""
    rows = rows.replace_schema_metadata({schema.VERSION_KEY: _VERSION, **(metadata or {})})
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, write_page_checksum=True)
    with contextlib.suppress(OSError):
        (root / CACHE).mkdir(exist_ok=True)
        atomic.write(root / CACHE / name, sink.getvalue().to_pybytes(), replace=True)


def _load(root: Path, name: str, columns: pa.Schema) -> pa.Table:
    """A cache with its metadata; an error where it is absent or of other columns.

    That of another version of the schema is not used: whoever wrote it knew other columns.
    """
    with (root / CACHE / name).open("rb") as file:
        table = pq.ParquetFile(file, page_checksum_verification=True).read()
    metadata = table.schema.metadata or {}
    if metadata[schema.VERSION_KEY] != _VERSION:
        raise ValueError("another version")
    return table.cast(columns).replace_schema_metadata(metadata)


_ITEM_COLUMNS = pa.schema(
    [*(schema.SCHEMA.field(n) for n in _ITEMS), ("file", pa.string()), ("stamp", pa.string())]
)


def _load_items(root: Path, files: Mapping[str, str]) -> pa.Table:
    """The cached items of files that are unchanged."""
    try:
        table = _load(root, ITEMS_CACHE, _ITEM_COLUMNS).replace_schema_metadata(None)
    except (OSError, pa.ArrowException, ValueError, KeyError):
        return _ITEM_COLUMNS.empty_table()
    places = zip(table["file"].to_pylist(), table["stamp"].to_pylist(), strict=True)
    same = [files.get(name) == stamp for name, stamp in places]
    return table if all(same) else table.filter(pa.array(same, pa.bool_()))
