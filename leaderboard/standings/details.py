"""Details: what a run holds beyond its numbers: learning curve and accuracy matrix.

Read as whole columns and cut per run, since a results folder may hold a hundred thousand runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from leaderboard import statistics
from leaderboard.standings.standings import Row, ScenarioStanding, Standings

Reals = npt.NDArray[np.float64]

GRID = 60
"""Positions of a drawn curve at most."""
SHOWN_STEPS = 16
"""Rows and columns of a drawn matrix at most."""


@dataclass(frozen=True, slots=True)
class Detail:
    """What one run left beside its score."""

    samples: Reals  # (points,) samples seen at each evaluation, ascending
    quality: Reals  # (points,) quality at each evaluation
    matrix: Sequence[Sequence[float]]  # (experiences, tests); empty where the run left none


@dataclass(frozen=True, slots=True)
class Band:
    """A learning curve over seeds. `low` and `high` are NaN where there is no interval."""

    samples: Reals  # (points,)
    mean: Reals  # (points,)
    low: Reals  # (points,) 95 % t interval
    high: Reals  # (points,)
    seeds: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """The mean accuracy matrix over seeds, thinned where it is long."""

    steps: tuple[int, ...]  # the experiences shown, from 1: rows
    tests: tuple[int, ...]  # the tests shown, from 1: columns
    cells: tuple[tuple[float | None, ...], ...]
    seeds: int
    thinned: bool


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a row's successful runs left, over their seeds; None where there is nothing to draw."""

    row: Row
    band: Band | None
    matrix: Matrix | None


def of_rows(
    standings: Standings, found: Mapping[str, Detail]
) -> dict[tuple[str, str], tuple[Drawn, ...]]:
    """By suite and scenario: the rows that have runs, in the order of the table."""
    return {
        (suite.suite.name, one.scenario.name): _of_scenario(one, found)
        for suite in standings.suites
        for one in suite.scenarios
    }


def _of_scenario(standing: ScenarioStanding, found: Mapping[str, Detail]) -> tuple[Drawn, ...]:
    rows = [row for row in standing.rows if row.entry.runs]
    runs = [of_runs([r.key for r in row.entry.runs if not r.failed], found) for row in rows]
    return tuple(Drawn(row, band(r), matrix(r)) for row, r in zip(rows, runs, strict=True))


def read(table: pa.Table, keys: Iterable[str]) -> dict[str, Detail]:
    """By key: the details of those runs."""
    wanted = pa.array(sorted(set(keys)), pa.string())
    rows = table.select(["key", "curve", "quality_matrix"])
    rows = rows.filter(pc.is_in(rows["key"], wanted)).combine_chunks()
    if not rows.num_rows:
        return {}
    curves = rows["curve"].chunk(0)
    offsets = curves.offsets.to_numpy()
    samples = _reals(curves.values.field("samples_seen"))
    quality = _reals(curves.values.field("quality"))
    matrices = rows["quality_matrix"].to_pylist()
    found = {}
    for i, key in enumerate(rows["key"].to_pylist()):
        part = slice(offsets[i], offsets[i + 1])
        found[key] = Detail(samples[part], quality[part], matrices[i])
    return found


def _reals(values: pa.Array) -> Reals:
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def band(details: Sequence[Detail]) -> Band | None:
    """The curve of several seeds, or None where fewer than two points are common to all.

    Between two evaluations a run counts as good as at the last one, and after its end as good as
    at its end, since that is what would be delivered: seeds that stopped early stay in the mean.
    """
    usable = [d for d in details if len(d.samples) and bool(np.isfinite(d.quality).all())]
    if not usable or len(usable) < len(details):
        return None
    first = max(float(d.samples[0]) for d in usable)
    grid = np.unique(np.concatenate([d.samples for d in usable]))
    grid = grid[grid >= first]
    if len(grid) < 2:
        return None
    if len(grid) > GRID:
        grid = grid[np.unique(np.linspace(0, len(grid) - 1, GRID).round().astype(int))]
    values = np.stack(
        [d.quality[np.searchsorted(d.samples, grid, side="right") - 1] for d in usable], axis=-1
    )  # (points, seeds)
    mean = statistics.mean(values)
    width = np.full(mean.shape, np.nan)
    if len(usable) >= statistics.MINIMUM_SEEDS:
        width = statistics.half_width(values)
    return Band(grid, mean, mean - width, mean + width, len(usable))


def matrix(details: Sequence[Detail]) -> Matrix | None:
    """The mean matrix of several seeds; None without one, or where their shapes differ."""
    found = [d.matrix for d in details if d.matrix]
    if not found or len(found) < len(details) or len(found[0][0]) < 2:
        return None
    shape = [len(line) for line in found[0]]
    if any([len(line) for line in other] != shape for other in found) or len(set(shape)) > 1:
        return None
    cells = np.array(found, dtype=np.float64).mean(axis=0)
    rows, columns = _spread(len(shape)), _spread(shape[0])
    return Matrix(
        tuple(i + 1 for i in rows),
        tuple(j + 1 for j in columns),
        tuple(tuple(_finite(cells[i, j]) for j in columns) for i in rows),
        len(found),
        len(rows) < len(shape) or len(columns) < shape[0],
    )


def _spread(count: int) -> list[int]:
    """All positions, or as many as fit, evenly apart, the first and the last among them."""
    if count <= SHOWN_STEPS:
        return list(range(count))
    return sorted({round(i * (count - 1) / (SHOWN_STEPS - 1)) for i in range(SHOWN_STEPS)})


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def of_runs(keys: Sequence[str], details: Mapping[str, Detail]) -> list[Detail]:
    """The details of those runs that left any."""
    return [details[key] for key in keys if key in details]
