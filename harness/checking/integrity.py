"""What the files of a results folder say of themselves: checksums, digests, keys, copies.

Nothing here knows a scenario or the protocol. A forger who writes a digest anew passes here and
meets `rescoring` and `compliance`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HeldoutError, is_kind
from harness.records import schema
from harness.records.reading import record_files
from harness.records.record import BASE, Record
from harness.records.store import Store, is_as_written, pack_of, read_file, slug

KEY_NAME = re.compile(r"[0-9a-f]{64}")
REPEAT = "delete it and repeat its run"


@dataclass(frozen=True)
class Held:
    """A record and the file that holds it."""

    path: Path
    record: Record

    @property
    def name(self) -> str:
        """How a doubt calls it."""
        return f"{self.record.spec.label} ({self.record.key[:12]})"


def read(root: Path, suites: Sequence[str] = ()) -> tuple[list[Held], list[str]]:
    """Every record that is what it was when it was written, once each; and a doubt for the rest.

    `suites` leaves out the folders of others.
    """
    found: dict[str, Held] = {}
    wanted = {slug(suite) for suite in suites}
    doubts = [
        f"{path}: was damaged and has been set aside; {REPEAT}"
        for path in sorted(root.rglob("*.damaged"))
    ]
    for path in record_files(root):
        folders = path.relative_to(root).parts[:-1]
        if wanted and folders and folders[0] not in wanted:
            continue
        try:
            rows = read_file(path).to_pylist()
        except HeldoutError as error:
            doubts.append(str(error))
            continue
        sound = []
        for row in rows:
            record, problem = _sound(row)
            if record is not None:
                sound.append(record)
                problem = problem or _misplaced(root, path, record, len(rows))
                problem = problem or _doubled(path, record, found.get(record.key))
                found.setdefault(record.key, Held(path, record))
            if problem:
                doubts.append(f"{path}: {problem}")
        ours = len(sound) == len(rows) and _is_ours(root, path, sound[0])
        if ours and not is_as_written(path, sound):
            doubts.append(f"{path}: its bytes are not those of its records; {REPEAT}")
    held = list(found.values())
    return held, [*doubts, *_copies(held)]


def _sound(row: Mapping[str, Any]) -> tuple[Record | None, str]:
    """The record of a row, if it is intact, and what is wrong with it otherwise."""
    try:
        if schema.row_digest(row) != row["digest"]:
            return None, (
                "its values do not match its digest; it was changed after it was written: " + REPEAT
            )
        record = schema.from_row(row)
        if record.key != row["key"]:
            return None, (
                f"its key is {row['key'][:12]}, but what it says of itself has the key "
                f"{record.key[:12]}; it was changed, or written under another contract: {REPEAT}"
            )
        written = schema.to_row(record)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return None, f"holds what no run writes ({error}); {REPEAT}"
    odd = [n for n in schema.SCHEMA.names if n != "digest" and row[n] != written[n]]
    if odd:
        return None, f"{', '.join(odd)} contradict the rest of the record; {REPEAT}"
    return record, _contradiction(record)


def _contradiction(record: Record) -> str:
    """Whether what a record says of its end can be true at once."""
    if record.status == "ok":
        if record.failure is not None or record.score is None or not math.isfinite(record.score):
            return f"says ok, but has no score or a failure beside it; {REPEAT}"
    elif record.failure is None or record.score is not None:
        return f"says failed, but has a score or no reason; {REPEAT}"
    elif not is_kind(record.failure.kind):
        return f"says that it failed by {record.failure.kind!r}, as no run does; {REPEAT}"
    return ""


def _misplaced(root: Path, path: Path, record: Record, rows: int) -> str:
    """A file that is named after a key holds that run and no other, in its own folder."""
    if not KEY_NAME.fullmatch(path.stem):
        return ""  # records handed over as one file
    if rows > 1 or path.stem != record.key:
        return (
            f"holds the run {record.key[:12]}, not the one it is named after; "
            "it was copied or renamed: delete it"
        )
    if path != Store(root).path(record.spec):
        return f"belongs into {Store(root).path(record.spec).parent}; move it there"
    return ""


def _is_ours(root: Path, path: Path, record: Record) -> bool:
    """Whether we wrote the file: a run's own, or a pack; not one that was put together by hand."""
    own = Store(root).path(record.spec)
    return path in (own, pack_of(own.parent))


def _doubled(path: Path, record: Record, other: Held | None) -> str:
    """Two files of one run; where packing was interrupted, they are the same for a while."""
    if other is None:
        return ""
    if path == pack_of(other.path.parent) and record == other.record:
        return ""
    if schema.to_row(other.record) == schema.to_row(record):
        return f"is a copy of {other.path}; delete one of them"
    return (
        f"says something else of the run {record.key[:12]} than {other.path}; "
        "delete both and repeat the run"
    )


def _copies(held: Sequence[Held]) -> Iterator[str]:
    """Runs that were measured alike to the last digit, or that answered alike from other seeds.

    No two runs take the same time to the nanosecond. Answers to a test may well be the same twice,
    but not with the same weights from two seeds, unless nothing was trained.
    """
    by_time: dict[tuple[float, float, float], Held] = {}
    by_answers: dict[tuple[Any, ...], Held] = {}
    for one in held:
        spec, cost = one.record.spec, one.record.cost
        if cost.wall_seconds and cost.train_seconds and cost.cpu_seconds:
            times = (cost.wall_seconds, cost.train_seconds, cost.cpu_seconds)
            other = by_time.setdefault(times, one)
            if other is not one:
                yield (
                    f"{one.path}: took exactly as long as {other.path}; one was made from the "
                    "other: delete both and repeat their runs"
                )
                continue
        if not one.record.predictions or one.record.weights_sha256 is None:
            continue
        if spec.method == BASE:
            continue
        place = (spec.suite, spec.scenario, spec.side, spec.data_fingerprint)
        same = (*place, one.record.weights_sha256, one.record.predictions)
        other = by_answers.setdefault(same, one)
        if other.record.spec.seed != spec.seed:
            yield (
                f"{one.path}: has the weights and answers of {other.path}, another seed; one was "
                "made from the other: delete both and repeat their runs"
            )
