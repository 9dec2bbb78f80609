"""Frozen anchors: the constants that scores of a suite are measured between.

`results/anchors/SUITE.parquet` has one row per scenario: the floor, the reference and the ceiling,
each with the runs it is the mean of, frozen by `bench leaderboard freeze` and versioned. They are
data, so that the leaderboard stays a function of the results folder; they are never taken from the
field of methods, so that a new entry never changes an old number. The row also names the bounds:
methods that have more than their rivals (all tasks' data at once, worked solutions), which stand
beside the ranking with their scores and take no place in it.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import HeldoutError
from harness.fingerprint import digest
from harness.records import atomic
from harness.records.store import ANCHORS, Damage, slug
from leaderboard.standings.board import Problem

VERSION_KEY = b"heldout.anchors_version"
SCHEMA_VERSION = 2
READABLE = (1, SCHEMA_VERSION)
"""Version 1 names no bounds."""


@dataclass(frozen=True, slots=True)
class Value:
    """A frozen score and where it came from."""

    value: float
    scenario: str = ""  # "": stated by the metric
    method: str = ""
    keys: tuple[str, ...] = ()  # of the runs it is the mean of


@dataclass(frozen=True, slots=True)
class Anchor:
    """The frozen constants of one scenario."""

    suite: str
    scenario: str
    scenario_hash: str
    data_fingerprint: str
    version: int  # counts the freezes that changed something
    floor: Value
    reference: Value
    ceiling: Value
    reference_costs: tuple[tuple[str, float], ...]  # medians, e.g. ("seconds_to_0.9", 1.2)
    deliverable: str  # what the scenario asks for: "weights", "predictions", "" where not known
    not_applicable: tuple[tuple[str, str], ...]  # (method, what it needs), as declared
    bounds: tuple[str, ...] = ()  # methods that have more than their rivals: shown, never ranked

    def fits(self, problem: Problem) -> bool:
        """Whether it was frozen for this very problem; if not, it is stale and not used."""
        frozen = self.scenario_hash, self.data_fingerprint
        return frozen == (problem.scenario_hash, problem.data_fingerprint)

    @property
    def label(self) -> str:
        """What the reference is called: its method, and its scenario where that is another."""
        return self.called(self.reference)

    def called(self, value: Value) -> str:
        """What names one of its values when freezing."""
        return (
            value.method if value.scenario == self.scenario else f"{value.scenario}:{value.method}"
        )


Anchors = Mapping[tuple[str, str], Anchor]
"""By suite and scenario."""

_VALUES = ("floor", "reference", "ceiling")
_TEXT, _REAL = pa.string(), pa.float64()
SCHEMA = pa.schema(
    [
        *(pa.field(n, _TEXT) for n in ("suite", "scenario", "scenario_hash", "data_fingerprint")),
        pa.field("version", pa.int32()),
        *(
            pa.field(f"{name}_{part}", kind)
            for name in _VALUES
            for part, kind in (
                ("value", _REAL),
                ("scenario", _TEXT),
                ("method", _TEXT),
                ("keys", pa.list_(_TEXT)),
            )
        ),
        pa.field("reference_costs", pa.map_(_TEXT, _REAL)),
        pa.field("deliverable", _TEXT),
        pa.field("not_applicable", pa.map_(_TEXT, _TEXT)),
        pa.field("bounds", pa.list_(_TEXT)),
        pa.field("digest", _TEXT),
    ],
    metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()},
)


def path(results: Path, suite: str) -> Path:
    """The file of a suite's anchors."""
    return results / ANCHORS / f"{slug(suite)}.parquet"


def read(results: Path) -> tuple[dict[tuple[str, str], Anchor], list[Damage]]:
    """All anchors of a results folder, and the files that could not be read."""
    found: dict[tuple[str, str], Anchor] = {}
    damaged = []
    for file in sorted((results / ANCHORS).glob("*.parquet")):
        try:
            found |= {(anchor.suite, anchor.scenario): anchor for anchor in read_file(file)}
        except HeldoutError as error:
            damaged.append(Damage(file, str(error)))
    return found, damaged


def read_file(file: Path) -> list[Anchor]:
    """The anchors of one file, every row checked against its digest."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise HeldoutError(f"{file}: cannot be read ({error.strerror})") from error
    try:
        table = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True).read()
        version = int((table.schema.metadata or {}).get(VERSION_KEY, b"0"))
        if version not in READABLE:
            raise ValueError(f"version {version} of the file format, not {SCHEMA_VERSION}")
        if version == 1:
            none = pa.array([[]] * table.num_rows, SCHEMA.field("bounds").type)
            table = table.append_column("bounds", none)
        rows = table.select(SCHEMA.names).cast(SCHEMA).to_pylist()
        anchors = [_from_row(row) for row in rows]
        if [_digest(anchor) for anchor in anchors] != [row["digest"] for row in rows]:
            raise ValueError("a value does not match its digest")
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        text = (str(error).splitlines() or [type(error).__name__])[0]
        raise HeldoutError(
            f"{file}: no frozen constants of ours ({text[:200]}); restore it or delete it, then "
            "type: bench leaderboard freeze SUITE --reference METHOD"
        ) from error
    return anchors


def doubts(results: Path, runs: pa.Table, suites: Collection[str] = ()) -> Iterator[str]:
    """What frozen constants do not come to; `runs` are the records of the folder, a row each.

    Only against runs that are still there: constants outlive them.
    """
    found, damaged = read(results)
    yield from (damage.reason for damage in damaged)
    rows = runs.select(["key", "score", "suite", "scenario", "metric_floor"]).to_pylist()
    scores = {row["key"]: row["score"] for row in rows}
    floors = {(row["suite"], row["scenario"]): row["metric_floor"] for row in rows}
    for place, anchor in found.items():
        if suites and anchor.suite not in suites:
            continue
        for name in _VALUES:
            value: Value = getattr(anchor, name)
            told = [scores[key] for key in value.keys if scores.get(key) is not None]
            if value.keys and len(told) == len(value.keys):
                true = math.fsum(told) / len(told)
            elif not value.keys and place in floors:
                true = floors[place]
            else:
                continue
            if not math.isclose(value.value, true, rel_tol=1e-9, abs_tol=1e-9):
                yield (
                    f"{path(results, anchor.suite)}: the {name} of {'/'.join(place)} is "
                    f"{value.value:g}, but the runs it was frozen from come to {true:g}; "
                    f"type: bench leaderboard freeze {anchor.suite} --reference METHOD"
                )


def write(results: Path, suite: str, anchors: Iterable[Anchor]) -> None:
    """Replace the file of a suite, whole or not at all."""
    rows = [_row(anchor) for anchor in sorted(anchors, key=lambda anchor: anchor.scenario)]
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    with pq.ParquetWriter(sink, SCHEMA, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(table)
    file = path(results, suite)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(file, sink.getvalue().to_pybytes(), replace=True)
    except OSError as error:
        raise HeldoutError(f"cannot write {file} ({error.strerror}); nothing was frozen") from error


def frozen_again(old: Anchor | None, new: Anchor) -> Anchor:
    """The new constants with their version: the old one where no constant differs."""
    if old is None:
        return replace(new, version=1)
    declared = replace(old, deliverable=new.deliverable, not_applicable=new.not_applicable)
    again = replace(new, version=old.version)
    return again if again == declared else replace(new, version=old.version + 1)


def _row(anchor: Anchor) -> dict[str, Any]:
    row = {name: getattr(anchor, name) for name in SCHEMA.names if hasattr(anchor, name)}
    for name in _VALUES:
        row |= {f"{name}_{part}": x for part, x in asdict(getattr(anchor, name)).items()}
    return row | {"digest": _digest(anchor)}


def _from_row(row: Mapping[str, Any]) -> Anchor:
    fields: dict[str, Any] = {f.name: row.get(f.name) for f in dataclasses.fields(Anchor)}
    for name in _VALUES:
        value, scenario, method, keys = (row[f"{name}_{f.name}"] for f in dataclasses.fields(Value))
        fields[name] = Value(value, scenario, method, tuple(keys))
    for name in ("reference_costs", "not_applicable", "bounds"):
        fields[name] = tuple(row[name])
    return Anchor(**fields)


def _digest(anchor: Anchor) -> str:
    facts = asdict(anchor)
    if not anchor.bounds:
        del facts["bounds"]  # as in version 1, whose digests stay true
    return digest(json.loads(json.dumps(facts, allow_nan=False)))
