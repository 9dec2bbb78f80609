"""Data sets by their hub id: found in a local copy first, then on the hub; never downloaded twice.

A local copy is a folder (`bench --data DIR`, or the variable HELDOUT_DATA) laid out like the hub:

    DIR/<owner>/<name>/<configuration>/<split>-00000-of-00001.parquet     or .arrow; the hub calls
                                             the folder of a configuration "default" also "data"
    DIR/<owner>/<name>/<configuration>/<split>/<class>/<image>.png        an image folder
    DIR/<owner>/<name>/<configuration>/<split>-images-idx3-ubyte.gz       and -labels-idx1-, idx

Without a copy the `datasets` library is asked, which keeps its own cache. That happens in the
harness alone: a method's process is handed arrays.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harness.contract import Array, DataSource, Scenario
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
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class Copy:
    """The files of one split in a local copy."""

    source: DataSource
    split: str
    kind: Kind
    files: tuple[Path, ...]  # in a fixed order

    def fingerprint(self) -> str:
        """SHA-256 of names and contents."""
        sha = hashlib.sha256(f"{self.source.id}/{self.split}/{self.kind}".encode())
        for path in self.files:
            with path.open("rb") as file:
                sha.update(hashlib.file_digest(file, "sha256").digest())
            if self.kind == "images":
                sha.update(path.parent.name.encode() + b"\0")  # the folder is the label
        return sha.hexdigest()


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
    pictures = [p for p in sorted((place / split).glob("*/*")) if p.suffix.lower() in _IMAGES]
    if pictures:
        return Copy(source, split, "images", tuple(pictures))
    stem = IDX_SPLITS.get(split, split)
    pair = [
        _either(place / f"{stem}-{what}") for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    if pair[0] and pair[1]:
        return Copy(source, split, "idx", (pair[0], pair[1]))
    return None


def _either(path: Path) -> Path | None:
    packed = path.with_name(path.name + ".gz")
    return packed if packed.is_file() else path if path.is_file() else None


def _check_parts(files: list[Path], place: Path, split: str) -> None:
    """`train-00000-of-00002` says how many parts there are: none may be missing."""
    declared = files[0].stem.rpartition("-of-")[2]
    if "-of-" in files[0].stem and declared.isdigit() and int(declared) != len(files):
        raise DataError(
            f"{place}: {len(files)} of {int(declared)} files of the split {split!r} are there; "
            "copy the others too"
        )


def locate(source: DataSource, split: str) -> Copy:
    """The files of a split, fetched from the hub into its own cache where there is no copy."""
    found = find(source, split)
    if found is not None:
        return found
    if source.url:
        raise DataError(_missing(source, split, f"the hub has none like this: see {source.url}"))
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        raise DataError(_missing(source, split, "HF_HUB_OFFLINE=1 forbids asking the hub"))
    import datasets

    try:
        table = datasets.load_dataset(source.id, source.config, split=split)
        files = tuple(Path(entry["filename"]) for entry in table.cache_files)
    except Exception as error:
        text = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(_missing(source, split, f"the hub gave none: {text[0]}")) from error
    return Copy(source, split, "arrow", files)


def _missing(source: DataSource, split: str, why: str) -> str:
    there = root()
    where = f"not in {there}" if there else f"{VARIABLE} names no local copy"
    file = f"{split}/<class>/<image>.png" if source.url else f"{split}-00000-of-00001.parquet"
    wanted = f"DIR/{source.id}/{source.config}/{file}"
    return (
        f"{source.id}, split {split!r}: {where}, and {why}; put it at {wanted} and set "
        f"{VARIABLE}=DIR; see: bench data status"
    )


def columns(source: DataSource, split: str) -> dict[str, list[Any]]:
    """The columns that the source names, as Python values; for text and small tables."""
    copy = locate(source, split)
    table = _table(copy)
    return {name: table[name].to_pylist() for name in source.columns}


def samples(copy: Copy) -> Iterator[tuple[Any, int]]:
    """(image as bytes, a path or an array, label) of every sample, in the order of the files."""
    if copy.kind == "idx":
        images, labels = (read_idx(path) for path in copy.files)
        if len(images) != len(labels):
            raise DataError(
                f"{copy.files[0]}: {len(images)} images but {len(labels)} labels in "
                f"{copy.files[1].name}; copy both anew"
            )
        yield from zip(images, labels.tolist(), strict=True)
    elif copy.kind == "images":
        classes = {name: i for i, name in enumerate(sorted({p.parent.name for p in copy.files}))}
        for path in copy.files:
            yield path, classes[path.parent.name]
    else:
        image, label = copy.source.columns[:2]
        for path in copy.files:  # one at a time: all together may not fit into memory
            table = _table(replace(copy, files=(path,)))
            for picture, value in zip(table[image], table[label], strict=True):
                yield picture.as_py()["bytes"], int(value.as_py())


def _table(copy: Copy) -> Any:
    """The named columns of Parquet or Arrow files as one table; an error names the file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for path in copy.files:
        try:
            part = pq.read_table(path) if copy.kind == "parquet" else _arrow(path)
        except (OSError, pa.ArrowException, ValueError) as error:
            raise DataError(f"{path} cannot be read ({error}); copy it anew") from error
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


def _arrow(path: Path) -> Any:
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        try:
            return pa.ipc.open_stream(file).read_all()
        except pa.ArrowInvalid:
            return pa.ipc.open_file(file).read_all()


def read_idx(path: Path) -> Array:
    """An idx file, packed or not (Y. LeCun, http://yann.lecun.com/exdb/mnist/)."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zero, code, dimensions = struct.unpack(">HBB", content[:4])
        shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
        values = np.frombuffer(content, _IDX_TYPES[code], offset=4 + 4 * dimensions)
        if zero or not shape:
            raise ValueError("not an idx file")
        array: Array = values.reshape(shape)
        return array
    except (OSError, EOFError, struct.error, KeyError, ValueError, zlib.error) as error:
        raise DataError(f"{path} is no valid idx file ({error}); copy it anew") from error
