"""Tunings: what a board reads of the tuning phase. Pure: columns of records in."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

TRIALS = ("trials", "stated_trials")
"""How many settings a selection says were tried, and how many its scenario stated."""


def trials(selections: pa.ChunkedArray) -> list[list[int | None]]:
    """For each of TRIALS, per run; a selection is parsed once for all its runs."""
    coded = selections.combine_chunks().dictionary_encode()
    read = [json_object(text) for text in coded.dictionary.to_pylist()]
    known = [[_count(selection.get(name)) for selection in read] for name in TRIALS]
    places = coded.indices.to_pylist()
    return [[None if i is None else counts[i] for i in places] for counts in known]


def hopeless(table: pa.Table, protocol: str) -> dict[tuple[str, str, str], int]:
    """By suite, scenario and method: its tuning runs, where every one of them failed."""
    rows = table.filter(pc.equal(table["phase"], "tuning"))
    rows = rows.filter(pc.equal(rows["protocol"], protocol))
    ok = pc.cast(pc.equal(rows["status"], "ok"), pa.int64())
    place = ["suite", "scenario", "method"]
    counted = rows.select(place).append_column("ok", ok).group_by(place)
    counts = counted.aggregate([("ok", "sum"), ("ok", "count")]).to_pylist()
    return {(*(c[n] for n in place),): c["ok_count"] for c in counts if not c["ok_sum"]}


def json_object(text: str) -> dict[str, Any]:
    """A JSON object as stored, e.g. a setting; empty where it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _count(n: Any) -> int | None:
    return n if isinstance(n, int) and n is not True and n > 0 else None
