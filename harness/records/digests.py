"""Digests: whether the values of records are those that were written.

Reading a results folder checks every row, and a folder may hold a hundred thousand. The Python
values of a row cost several times what its JSON text does, so a table is checked column by column
and no row is made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from harness.errors import HeldoutError
from harness.records import schema

BATCH = 4096
"""Rows whose texts are held at a time."""

_encode = json.JSONEncoder().encode


def check_digest(row: dict[str, Any]) -> None:
    """Raise HeldoutError where a record's values are not those that were written."""
    try:
        intact = schema.row_digest(row) == row["digest"]
    except (ValueError, TypeError):  # neither NaN nor null within a list is ever written
        intact = False
    if not intact:
        raise HeldoutError(
            f"record {row['key'][:12]}: its values do not match its digest; it was changed after "
            "it was written: delete it and repeat its run"
        )


def check_table(table: pa.Table) -> None:
    """`check_digest` of every row of a table of records; names the first that fails."""
    try:
        intact = of_rows(table) == table["digest"].to_pylist()
    except ValueError:
        intact = False
    if not intact:
        for row in table.to_pylist():
            check_digest(row)


def of_rows(table: pa.Table) -> list[str]:
    """`schema.row_digest` of every row of a table of records.

    ValueError where a number is not finite.
    """
    found: list[str] = []
    for batch in table.drop_columns(["digest"]).to_batches(max_chunksize=BATCH):
        names = batch.schema.names
        texts = [
            _where_held(name, column) if name in schema.LATER else _texts(column)
            for name, column in zip(names, batch.columns, strict=True)
        ]
        rows = _objects(names, texts, schema.LATER)
        found += [hashlib.sha256(row.encode()).hexdigest() for row in rows]
    return found


def _where_held(name: str, values: pa.Array) -> list[str]:
    """The text of a later column with its name and a comma before; "" where it does not count."""
    if pa.types.is_list(values.type):
        held = [bool(count) for count in pc.list_value_length(values).to_pylist()]
    else:
        held = [bool(value) for value in values.to_pylist()]
    if not any(held):
        return [""] * len(values)
    texts = zip(_texts(values), held, strict=True)
    return [f",{_encode(name)}:{text}" if here else "" for text, here in texts]


def _texts(values: pa.Array) -> list[str]:
    """The text of each element, as `fingerprint.canonical_json` writes its Python value."""
    if values.null_count == len(values):
        return ["null"] * len(values)
    found = _texts_of_valid(values)
    if values.null_count:
        valid = values.is_valid().to_pylist()
        found = [text if here else "null" for text, here in zip(found, valid, strict=True)]
    return found


def _texts_of_valid(values: pa.Array) -> list[str]:
    """The same, but anything for those that are null."""
    kind = values.type
    if pa.types.is_struct(kind):
        names, texts = [field.name for field in kind], [_texts(v) for v in values.flatten()]
        if tuple(names) == schema.PAIR:  # of a list that stands for a mapping
            return [f"[{name},{value}]" for name, value in zip(*texts, strict=True)]
        return _objects(names, texts)
    if pa.types.is_list(kind):
        return _lists(values, _texts(_held(values, values.values)))
    if pa.types.is_string(kind):
        coded = values.fill_null("").dictionary_encode()
        known = [_encode(text) for text in coded.dictionary.to_pylist()]
        return [known[i] for i in coded.indices.to_numpy().tolist()]
    if pa.types.is_boolean(kind):
        return ["true" if value else "false" for value in values.to_pylist()]
    numbers = values.fill_null(0).to_numpy()
    if not np.isfinite(numbers).all():
        raise ValueError("a number that is not finite has no text")
    return list(map(repr, numbers.tolist()))


def _held(lists: pa.Array, values: pa.Array) -> pa.Array:
    """Of all values behind an array of lists those of its slice."""
    first, last = lists.offsets[0].as_py(), lists.offsets[-1].as_py()
    return values.slice(first, last - first)


def _lists(lists: pa.Array, texts: Sequence[str]) -> list[str]:
    """The text of each list, given those of all their elements."""
    offsets = lists.offsets.to_numpy()
    ends = (offsets - offsets[0]).tolist()
    return [f"[{','.join(texts[start:end])}]" for start, end in pairwise(ends)]


def _objects(
    names: Sequence[str], texts: Sequence[Sequence[str]], whole: Collection[str] = ()
) -> list[str]:
    """The text of each object, given those of its values by name.

    Those of `whole` bring their name and the comma before it.
    """
    columns = sorted(zip(names, texts, strict=True))
    form = "".join("%s" if name in whole else f",{_encode(name)}:%s" for name, _ in columns)
    return [
        f"{{{(form % row)[1:]}}}" for row in zip(*(column for _, column in columns), strict=True)
    ]
