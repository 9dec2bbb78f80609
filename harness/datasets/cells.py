"""Cells of a table as what a source says they are: pictures, labels, texts.

Types come from the file's own schema, so that a column of another kind is refused before anything
is made of it; every error names the file and the sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_WHOLE = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_BYTES = frozenset({"binary", "large_binary"})
_TEXTS = frozenset({"string", "large_string"})


def labels(column: pa.ChunkedArray, name: str, file: Path) -> list[int]:
    """Whole numbers, one a sample."""
    if str(column.type) not in _WHOLE:
        raise _other(column, name, file, "whole numbers")
    found: list[int] = column.to_pylist()
    _complete(column, name, file)
    return found


def texts(column: pa.ChunkedArray, name: str, file: Path) -> list[str]:
    """Texts; bytes are read as UTF-8."""
    if str(column.type) not in _TEXTS | _BYTES:
        raise _other(column, name, file, "texts")
    _complete(column, name, file)
    found = []
    for i, cell in enumerate(column.to_pylist()):
        try:
            found.append(cell if isinstance(cell, str) else cell.decode())
        except UnicodeDecodeError as error:
            raise DataError(f"{file}, sample {i}: {name} is no UTF-8; copy it anew") from error
    return found


def pictures(column: pa.ChunkedArray, name: str, file: Path) -> Iterator[bytes]:
    """Encoded pictures: bytes, or as the `datasets` library keeps them, {"bytes": ..., ...}."""
    kind = column.type
    within = str(kind).startswith("struct<") and kind.get_field_index("bytes") >= 0
    if str(kind.field("bytes").type if within else kind) not in _BYTES:
        raise _other(column, name, file, "pictures as bytes")
    for i, cell in enumerate(column):
        content = (cell.as_py() or {}).get("bytes") if within else cell.as_py()
        if content is None:
            raise DataError(f"{file}, sample {i}: no picture in {name}; copy it anew")
        yield content


def _complete(column: pa.ChunkedArray, name: str, file: Path) -> None:
    """Nothing may be missing."""
    if column.null_count:
        first = column.is_null().to_pylist().index(True)
        raise DataError(f"{file}, sample {first}: {name} is missing; copy it anew")


def _other(column: pa.ChunkedArray, name: str, file: Path, wanted: str) -> DataError:
    first: Any = column[0].as_py() if len(column) else None
    return DataError(
        f"{file}, sample 0: the column {name} holds {column.type} ({str(first)[:40]!r}), not "
        f"{wanted}; convert it as the data set's own copy on the hub has it"
    )
