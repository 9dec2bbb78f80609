"""Test items: how many each scenario has, from the predictions that one of its runs has stored."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from harness.records.store import slug
from leaderboard.standings.standings import Standings


def read(results: Path, standings: Standings) -> dict[tuple[str, str], int]:
    """By suite and scenario: the items of all its tests; nothing where no predictions are.

    They are not in the table of a results folder but in the runs' own files, of which one is
    opened a scenario, and of that the shapes only.
    """
    found = {}
    for suite in standings.suites:
        for one in suite.scenarios:
            keys = [run.key for row in one.rows for run in row.entry.runs if not run.failed]
            folder = results / slug(suite.suite.name) / slug(one.scenario.name)
            count = _count(sorted(folder.rglob("*.parquet")), set(keys)) if keys else 0
            if count:
                found[suite.suite.name, one.scenario.name] = count
    return found


_SHAPES = tuple(f"predictions.list.element.{name}" for name in ("experience", "shape"))


def _count(files: Iterable[Path], keys: Collection[str]) -> int:
    wanted = pa.array(sorted(keys), pa.string())
    for path in files:
        if len(path.stem) == 64 and path.stem not in keys:
            continue
        with contextlib.suppress(OSError, pa.ArrowException, ValueError, KeyError):
            with path.open("rb") as file:
                rows = pq.ParquetFile(file).read(columns=["key", *_SHAPES], use_threads=False)
            for found in rows.filter(pc.is_in(rows["key"], wanted))["predictions"].to_pylist():
                last = max((one["experience"] for one in found), default=0)
                if count := sum(one["shape"][0] for one in found if one["experience"] == last):
                    return int(count)
    return 0
