"""Data sets by their hub id: found in a local copy first, then on the hub; never downloaded twice.

A local copy is a folder (`bench --data DIR`, or the variable HELDOUT_DATA) laid out like the hub:

    DIR/<owner>/<name>/<configuration>/<split>-00000-of-00001.parquet     or .arrow; the hub calls
                                             the folder of a configuration "default" also "data"
    DIR/<owner>/<name>/<configuration>/<split>/<class>/<image>.png        an image folder
    DIR/<owner>/<name>/<configuration>/<split>-images-idx3-ubyte.gz       and -labels-idx1-, idx
    DIR/<owner>/<name>/.cache/huggingface/   what `hf download --local-dir` notes of its revision

Without a copy the `datasets` library is asked, which keeps its own cache. That happens in the
harness alone: a method's process is handed arrays.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harness.contract import Array, DataSource, Scenario
from harness.datasets import cache, cells, revisions
from harness.errors import DataError

VARIABLE = "HELDOUT_DATA"
Kind = Literal["parquet", "arrow", "images", "idx"]
IDX_SPLITS = {"train": "train", "test": "t10k"}
"""How the split is called in the names of the original idx files."""

_IDX_TYPES: dict[int, Any] = {
    0x08: np.uint8,
    0x09: np.int8,
    0x0B: ">i2",
    0x0C: ">i4",
    0x0D: ">f4",
    0x0E: ">f8",
}
_PART = re.compile(r".*-(?P<number>\d+)-of-(?P<of>\d+)(?:-[0-9A-Za-z]+)?")
"""A part among several, with or without the hash that `push_to_hub` used to add."""
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class Copy:
    """The files of one split in a local copy."""

    source: DataSource
    split: str
    kind: Kind
    files: tuple[Path, ...]  # in a fixed order
    folders: tuple[str, ...] = ()  # of an image folder: those of the classes, of all splits

    def fingerprint(self) -> str:
        """SHA-256 of names and contents; DataError where a file cannot be read."""
        return cache.of_files(f"files of {self.source.id}/{self.split}", self.files, self._hash)

    def _hash(self) -> str:
        sha = hashlib.sha256(f"{self.source.id}/{self.split}/{self.kind}".encode())
        for path in self.files:
            try:
                with path.open("rb") as file:
                    sha.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise _unreadable(path, error) from error
            if self.kind == "images":
                sha.update(os.fsencode(path.parent.name) + b"\0")  # the folder is the label
        return sha.hexdigest()

    def rows(self) -> int:
        """How many samples there are; DataError where a file cannot be read."""
        if self.kind == "images":
            return len(self.files)
        if self.kind == "idx":
            return len(read_idx(self.files[1]))
        count = _parquet_rows if self.kind == "parquet" else _arrow_rows
        return sum(count(path) for path in self.files)

    @property
    def revisions(self) -> tuple[str, ...]:
        """The commits of the hub that its files are known to be of; (): not known."""
        return revisions.of_files(self.files)

    @property
    def strange(self) -> tuple[str, ...]:
        """Those of them that the source does not ask for, where it states one."""
        wanted = self.source.revision
        return tuple(found for found in self.revisions if found != wanted) if wanted else ()

    @property
    def stated_rows(self) -> int | None:
        """How many the data set has; None where nobody said."""
        rows = dict(zip(self.source.splits, self.source.rows, strict=False))
        return rows.get(self.split)


def users(scenarios: Iterable[Scenario]) -> dict[DataSource, str]:
    """Every data set that scenarios read, with the suites that do, for a person to read."""
    found: dict[DataSource, set[str]] = {}
    for scenario in scenarios:
        for source in scenario.sources:
            found.setdefault(source, set()).add(scenario.suite)
    return {source: ", ".join(sorted(names)) for source, names in found.items()}


def root() -> Path | None:
    """The folder of local copies, if one was named."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else None


def find(source: DataSource, split: str) -> Copy | None:
    """The local copy of one split; None where there is none."""
    folder = root()
    if folder is None:
        return None
    if not folder.is_dir():
        raise DataError(f"{VARIABLE}={folder}: no such folder; name the one that holds the data")
    place = folder / source.id / source.config
    if source.config == "default" and not place.is_dir():
        place = folder / source.id / "data"  # what `hf download` makes of it
    for kind in ("parquet", "arrow"):
        files = sorted(place.glob(f"{split}-*.{kind}")) or sorted(place.glob(f"{split}.{kind}"))
        if files:
            _check_parts(files, place, split)
            return Copy(source, split, kind, tuple(files))
    folders = _class_folders(place, source)
    pictures = [
        path
        for name in folders
        for path in sorted((place / split / name).glob("[!.]*"))
        if path.suffix.lower() in _IMAGES
    ]
    if pictures:
        _check_folders(folders, place / split, source)
        return Copy(source, split, "images", tuple(pictures), folders)
    stem = IDX_SPLITS.get(split, split)
    pair = [
        _either(place / f"{stem}-{what}") for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    if pair[0] and pair[1]:
        return Copy(source, split, "idx", (pair[0], pair[1]))
    return None


def _class_folders(place: Path, source: DataSource) -> tuple[str, ...]:
    """The classes of an image folder: one sorted list of visible folders over all splits."""
    found = (path for split in source.splits for path in (place / split).glob("[!.]*/"))
    return tuple(sorted({path.name for path in found if path.is_dir()}))


def _check_folders(folders: tuple[str, ...], place: Path, source: DataSource) -> None:
    """A class' number is its folder's place in the list: none may be missing, and none too many."""
    if len(folders) != source.classes:
        raise DataError(
            f"{place.parent}: {len(folders)} folders of classes ({', '.join(folders[:12])}); "
            f"{source.id} has {source.classes}"
        )
    lacking = [name for name in folders if not (place / name).is_dir()]
    if lacking:
        raise DataError(f"{place}: the folder {lacking[0]!r} is missing; copy it too")


def _either(path: Path) -> Path | None:
    packed = path.with_name(path.name + ".gz")
    return packed if packed.is_file() else path if path.is_file() else None


def _check_parts(files: list[Path], place: Path, split: str) -> None:
    """`train-00000-of-00002` says how many parts there are: none may be missing."""
    parts = [_PART.fullmatch(file.stem) for file in files]
    declared = {int(part["of"]) for part in parts if part}
    there = {int(part["number"]) for part in parts if part}
    for count in declared:
        if declared != {count} or there != set(range(count)) or len(files) != count:
            raise DataError(
                f"{place}: {len(there)} of {count} files of the split {split!r} are there "
                f"({', '.join(file.name for file in files[:6])}); copy the others too, and one "
                "set of them only"
            )


def locate(source: DataSource, split: str) -> Copy:
    """The files of a split, fetched from the hub into its own cache where there is no copy.

    Raises DataError where they are known to be of another revision than the source states.
    """
    found = find(source, split)
    if found is not None:
        return _of_its_revision(found)
    if source.url:
        raise DataError(_missing(source, split, f"the hub has none like this: see {source.url}"))
    import datasets

    try:  # offline or not is the library's to know: it may have the data in its cache
        table = datasets.load_dataset(
            source.id,
            source.config,
            split=split,
            keep_in_memory=False,
            revision=source.revision or None,
        )
        files = tuple(Path(entry["filename"]) for entry in table.cache_files)
    except Exception as error:
        text = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(_missing(source, split, f"the hub gave none: {text[0]}")) from error
    return _of_its_revision(Copy(source, split, "arrow", files))


def _of_its_revision(copy: Copy) -> Copy:
    """The library may give what it has, whichever was asked for; a folder may hold anything."""
    if copy.strange:
        raise DataError(
            f"{copy.files[0]}: the split {copy.split!r} is of revision {copy.strange[0]} of "
            f"{copy.source.id}, not of {copy.source.revision} as its scenarios are; "
            f"copy that: {download(copy.source)}"
        )
    return copy


def download(source: DataSource) -> str:
    """The command that puts a data set into a folder of local copies."""
    revision = f" --revision {source.revision}" if source.revision else ""
    return f"hf download {source.id} --repo-type dataset{revision} --local-dir DIR/{source.id}"


def _missing(source: DataSource, split: str, why: str) -> str:
    there = root()
    where = f"not in {there}" if there else f"{VARIABLE} names no local copy"
    file = f"{split}/<class>/<image>.png" if source.url else f"{split}-00000-of-00001.parquet"
    wanted = f"DIR/{source.id}/{source.config}/{file}"
    return (
        f"{source.id}, split {split!r}: {where}, and {why}; put it at {wanted} and set "
        f"{VARIABLE}=DIR; see: bench data status"
    )


def columns(source: DataSource, split: str) -> dict[str, list[str]]:
    """The columns that the source names, of texts."""
    copy = locate(source, split)
    found: dict[str, list[str]] = {name: [] for name in source.columns}
    for path in copy.files:
        table = _table(replace(copy, files=(path,)))
        for name in source.columns:
            found[name] += cells.texts(table[name], name, path)
    return found


def samples(copy: Copy) -> Iterator[tuple[Any, int, str]]:
    """(image as bytes, a path or an array; label; which sample that is), file by file."""
    if copy.kind == "idx":
        images, labels = (read_idx(path) for path in copy.files)
        if len(images) != len(labels):
            raise DataError(
                f"{copy.files[0]}: {len(images)} images but {len(labels)} labels in "
                f"{copy.files[1].name}; copy both anew"
            )
        for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            yield image, label, f"{copy.files[0]}, sample {i}"
    elif copy.kind == "images":
        for path in copy.files:
            yield path, copy.folders.index(path.parent.name), str(path)
    else:
        image, label = copy.source.columns[:2]
        for path in copy.files:  # one at a time: all together may not fit into memory
            table = _table(replace(copy, files=(path,)))
            numbers = cells.labels(table[label], label, path)
            pictures = cells.pictures(table[image], image, path)
            for i, (picture, number) in enumerate(zip(pictures, numbers, strict=True)):
                yield picture, number, f"{path}, sample {i}"


def _table(copy: Copy) -> Any:
    """The named columns of Parquet or Arrow files as one table; an error names the file."""
    import pyarrow as pa

    parts = []
    for path in copy.files:
        try:
            part = _parquet(path) if copy.kind == "parquet" else _arrow(path)
        except (OSError, pa.ArrowException, ValueError) as error:
            raise _unreadable(path, error) from error
        lacking = [name for name in copy.source.columns if name not in part.column_names]
        if lacking:
            raise DataError(
                f"{path} has the columns {', '.join(part.column_names)} and no "
                f"{', '.join(lacking)}; is it {copy.source.id}?"
            )
        parts.append(part.select(list(copy.source.columns)))
    table = pa.concat_tables(parts)
    if not table.num_rows:
        raise DataError(f"{copy.files[0]} holds no row; copy it anew")
    return table


def _unreadable(path: Path, error: Exception) -> DataError:
    """What the system says of a file is no sign that its content is damaged."""
    if isinstance(error, OSError) and error.errno is not None:
        return DataError(f"{path} cannot be read ({error.strerror})")
    return DataError(f"{path} cannot be read ({error}); copy it anew")


def _parquet(path: Path) -> Any:
    """The file itself: a path might be taken for an address, or its folders for columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pa.memory_map(os.fsencode(path)) as file:
        return pq.ParquetFile(file).read()


def _parquet_rows(path: Path) -> int:
    """As the end of the file says: pictures of a whole data set need not fit into memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pa.memory_map(os.fsencode(path)) as file:
            return int(pq.ParquetFile(file).metadata.num_rows)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _arrow_rows(path: Path) -> int:
    import pyarrow as pa

    try:
        return int(_arrow(path).num_rows)  # mapped, not read
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _arrow(path: Path) -> Any:
    import pyarrow as pa

    with pa.memory_map(os.fsencode(path)) as file:
        try:
            return pa.ipc.open_stream(file).read_all()
        except pa.ArrowInvalid:
            return pa.ipc.open_file(file).read_all()


def read_idx(path: Path) -> Array:
    """An idx file, packed or not (Y. LeCun, http://yann.lecun.com/exdb/mnist/)."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        zero, code, dimensions = struct.unpack(">HBB", content[:4])
        shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
        values = np.frombuffer(content, _IDX_TYPES[code], offset=4 + 4 * dimensions)
        if zero or not shape:
            raise ValueError("not an idx file")
        array: Array = values.reshape(shape)
        return array
    except (OSError, EOFError, struct.error, KeyError, ValueError, zlib.error) as error:
        raise DataError(f"{path} is no valid idx file ({error}); copy it anew") from error
