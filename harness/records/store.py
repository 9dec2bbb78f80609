"""The results folder: one Parquet file per run, written once; everything else derives from it.

Layout: `results/heldout.json` marks the folder as ours; `results/SUITE/SCENARIO/METHOD/KEY.parquet`
are the runs, and `results/SUITE/SCENARIO/METHOD.parquet` those of them that were packed
(`packing`), row for row as they were; `results/.cache/` may be deleted at any time; the files of
`results/anchors/` and `results/methods/` are no records, and beside them may lie what seeds are
made from (`salt`). Other Parquet files with our schema
anywhere in the folder are read too, so that results can be handed over as one file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import HeldoutError
from harness.fingerprint import digest
from harness.records import atomic, schema
from harness.records.digests import check_digest
from harness.records.record import Record, RunSpec

MARKER = "heldout.json"
CACHE = ".cache"
ANCHORS, METHODS = "anchors", "methods"
"""Folders of frozen constants and of methods' texts: their own files are passed over, those of a
suite of that name are not."""


@dataclass(frozen=True)
class Damage:
    """A file that could not be read, and why. Reading goes on without it."""

    path: Path
    reason: str


class NewerSchemaError(HeldoutError):
    """A record of a later version of heldout: intact, but not ours to read."""


class UnreadableError(HeldoutError):
    """A file that could not be opened now; that says nothing about its content."""


class WriteError(HeldoutError):
    """A finished record could not be written; nothing after it could be either."""


class Store:
    """A results folder that runs are written to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._packs: dict[Path, tuple[str, dict[str, dict[str, Any]]]] = {}  # stamp, key -> row

    @classmethod
    def open(cls, root: Path) -> Store:
        """The folder, made and marked if it is new or empty, checked and swept of leftovers."""
        _check_ours(root)
        try:
            root.mkdir(parents=True, exist_ok=True)
            if not (root / MARKER).exists():
                atomic.write(root / MARKER, b'{"format": "heldout results", "version": 1}\n')
            else:
                _try_writing(root)
        except OSError as error:
            raise HeldoutError(
                f"cannot write to the results folder {root} ({error.strerror}); "
                "choose another with --results DIR"
            ) from error
        for leftover in root.rglob(".*.tmp"):
            if atomic.is_abandoned(leftover):
                leftover.unlink(missing_ok=True)
        return cls(root)

    @property
    def cache(self) -> Path:
        """A folder for what can be computed again."""
        return self.root / CACHE

    def path(self, spec: RunSpec) -> Path:
        """Where the run's record is or will be."""
        return (
            self.root
            / slug(spec.suite)
            / slug(spec.scenario)
            / slug(spec.method)
            / f"{spec.key}.parquet"
        )

    def has(self, spec: RunSpec) -> bool:
        """Whether the run's record exists; says nothing about its health, `get` does."""
        return self.path(spec).exists() or spec.key in self._packed(spec)

    def get(self, spec: RunSpec) -> Record | None:
        """The run's record, checksums verified, or None; a damaged file is set aside."""
        path = self.path(spec)
        try:
            row = self._row(path, spec)
            if row is None:
                return None
            check_digest(row)
            record = schema.from_row(row)
            if record.key == spec.key == row["key"]:
                return record
            raise HeldoutError(f"{path}: holds another run than its name says")
        except (UnreadableError, NewerSchemaError):
            raise
        except HeldoutError:
            _set_aside(path)
            return None

    def _row(self, path: Path, spec: RunSpec) -> dict[str, Any] | None:
        """The run's row, from its own file or else from its method's pack."""
        try:
            if path.exists():
                row: dict[str, Any] = read_file(path).to_pylist()[0]
                return row
        except UnreadableError:
            if path.exists():
                raise  # otherwise another process has set it aside or packed it meanwhile
        return self._packed(spec).get(spec.key)

    def _packed(self, spec: RunSpec) -> dict[str, dict[str, Any]]:
        """By key, the rows of the method's pack; none of a pack that is damaged."""
        path = pack_of(self.path(spec).parent)
        try:
            now = stamp(path)
        except OSError:
            return {}
        held = self._packs.get(path)
        if held is None or held[0] != now:
            try:
                rows = read_file(path).to_pylist()
                for row in rows:
                    check_digest(row)
            except NewerSchemaError:
                raise
            except HeldoutError:
                rows = []  # `read_table` names it; its runs are repeated, nothing is deleted
            held = self._packs[path] = now, {row["key"]: row for row in rows}
        return held[1]

    def put(self, record: Record) -> bool:
        """Write the record; False if another process has written the same run meanwhile.

        Temporary file, fsync, link (which never replaces), fsync of the folder: at every moment
        the run's file is absent or whole.
        """
        row = schema.to_row(record)
        content = encoded(pa.Table.from_pylist([row], schema=schema.SCHEMA))
        path = self.path(record.spec)
        if record.key in self._packed(record.spec):
            return False
        try:
            atomic.make_folder(path.parent)
            if not atomic.write(path, content):
                return False
            packed = self._packed(record.spec).get(record.key, row)
            if packed["digest"] != row["digest"]:  # another's, written and packed since we looked
                path.unlink()
                return False
            return True
        except OSError as error:
            raise WriteError(
                f"cannot write {path} ({error.strerror}); what finished before is kept: make room "
                "or permit writing, then run the same command again"
            ) from error


def _set_aside(damaged: Path) -> None:
    """Give a damaged file another name, so that its run is repeated and nothing is deleted."""
    try:
        damaged.rename(damaged.with_suffix(".damaged"))
    except FileNotFoundError:  # it is in a pack, or another process was quicker
        return
    except OSError as error:
        raise WriteError(
            f"cannot set the damaged file {damaged} aside ({error.strerror}); permit writing to "
            "its folder, then run the same command again"
        ) from error


def pack_of(folder: Path) -> Path:
    """The file that holds the packed runs of a method's folder."""
    return folder.with_name(f"{folder.name}.parquet")


def slug(name: str) -> str:
    """A name as a folder: what is not a letter, digit, dot, dash or underscore becomes a dash.

    A name that is too long for a file system is cut and told apart by its hash.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip(".") or "-"
    return plain if len(plain) <= 100 else f"{plain[:80]}-{digest(name)[:16]}"


def is_as_written(path: Path, records: Sequence[Record]) -> bool:
    """Whether a file is, byte for byte, what its records are written as.

    Checksums cover a file's pages only; this covers its footer too. A file from before a column of
    `schema.LATER` is held to the columns it has; one by another version of the Parquet library, or
    of an older schema, has other bytes and passes.
    """
    rows = [schema.to_row(record) for record in records]
    content, table = path.read_bytes(), pa.Table.from_pylist(rows, schema=schema.SCHEMA)
    try:
        held = pq.ParquetFile(pa.BufferReader(content)).schema_arrow.names
        again = encoded(table.drop_columns([n for n in schema.LATER if n not in held]))
        if content == again:
            return True
        (library, version), ours = _writer(content), _writer(again)
    except (ValueError, OSError, pa.ArrowException):  # no name of a library, no version, no footer
        return False
    return (library, version) != ours and _LIBRARY.fullmatch(library) is not None


_LIBRARY = re.compile(r"parquet-cpp-arrow version \d+\.\d+\.\d+(-\w+)?")


def _writer(content: bytes) -> tuple[str, int]:
    metadata = pq.ParquetFile(pa.BufferReader(content)).metadata
    return str(metadata.created_by), _version(metadata)


def _version(metadata: pq.FileMetaData) -> int:
    return int((metadata.metadata or {}).get(schema.VERSION_KEY, b"0"))


def version_of(path: Path) -> int:
    """The version of the schema that a file of ours was written with."""
    with path.open("rb") as file:  # a path, pyarrow might take for an address or a home
        return _version(pq.read_metadata(file))


def encoded(table: pa.Table) -> bytes:
    """A table as the bytes of a file: page checksums, and nothing that only large files need."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
        write_page_checksum=True,
    ) as writer:
        writer.add_key_value_metadata({schema.VERSION_KEY: str(schema.VERSION).encode()})
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def stamp(path: str | Path) -> str:
    """Size and time of change of a file, as a text that changes when it does."""
    stat = os.stat(path)  # noqa: PTH116
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def read_file(path: Path) -> pa.Table:
    """One Parquet file of ours, page checksums verified, columns as this version knows them."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror})") from error
    return decoded(content, path)


def decoded(content: bytes, path: Path) -> pa.Table:
    """The same of the bytes of a file that is, or will be, at `path`."""
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        version = _version(file.metadata)
        if version > schema.VERSION:
            raise NewerSchemaError(
                f"{path}: written by a newer heldout (schema {version}, this one reads up to "
                f"{schema.VERSION}); upgrade heldout to read it"
            )
        if version < 1:
            raise HeldoutError(f"{path}: not a heldout record; move it out of the results folder")
        table = file.read(use_threads=False)
        if table.num_rows == 0:
            raise ValueError("it holds no row")
        table = schema.of_today(table)
        table.validate(full=True)  # a file without page checksums may hold text that is none
        return table
    except MemoryError as error:
        raise UnreadableError(f"{path}: there is no memory to read it; make room") from error
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise HeldoutError(
            f"{path}: cannot be read as a record ({text[:200]}); restore it from a copy, or "
            "delete it and repeat its run"
        ) from error


def _check_ours(root: Path) -> None:
    """Refuse a file, and a folder with other people's things in it."""
    if root.exists() and not root.is_dir():
        raise HeldoutError(f"{root} is a file; --results takes a folder")
    visible = [p for p in root.iterdir() if not p.name.startswith(".")] if root.is_dir() else []
    if visible and not (root / MARKER).exists():
        raise HeldoutError(
            f"{root} is not empty and no results folder of ours (it has no {MARKER}); "
            "choose another with --results DIR"
        )


def _try_writing(root: Path) -> None:
    probe = atomic.temporary(root / "probe")
    probe.write_bytes(b"")
    probe.unlink()
