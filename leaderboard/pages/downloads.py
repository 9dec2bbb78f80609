"""Downloads: what the pages show, as Parquet and CSV, unrounded. Pure: tables in, bytes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from leaderboard import spreadsheet
from leaderboard.pages import links, page
from leaderboard.standings.details import Drawn
from leaderboard.standings.standings import Row, ScenarioStanding, Standings

_LISTED = ("metrics", "quality_matrix", "untrained_quality", "curve", "spent", "energy_components",
           "unhashed_modules", "carried_bytes",
           "selection", "digest")  # fmt: skip
"""Columns that a list of runs leaves out: lists, which CSV cannot hold, and what no page shows."""


def stem(file: str) -> str:
    """A page's file name without its ending."""
    return file.removesuffix(".html")


def offered(file: str, what: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """(file name, words) of a page's downloads; `what` maps an infix such as ".runs" to words."""
    return tuple(
        (f"{stem(file)}{infix}.{kind}", f"{words} as {name}")
        for infix, words in what.items()
        for kind, name in (("parquet", "Parquet"), ("csv", "CSV"))
    )


SUITE = {"": "all standings"}
SCENARIO = {"": "standing", ".curves": "learning curves"}
METHOD = {"": "all runs"}


def render(
    standings: Standings, drawn: Mapping[tuple[str, str], Sequence[Drawn]], table: pa.Table
) -> dict[str, bytes]:
    """File name -> content of every download of suites, scenarios and methods."""
    files: dict[str, bytes] = {}
    for suite in standings.suites:
        rows = [line for one in suite.scenarios for line in standing_rows(one)]
        files |= _both(stem(links.suite(suite.suite.name)), rows)
        for one in suite.scenarios:
            name = stem(links.scenario(suite.suite.name, one.scenario.name))
            files |= _both(name, standing_rows(one))
            rows = curve_rows(drawn[suite.suite.name, one.scenario.name])
            files |= _both(f"{name}.curves", rows)
    plain = table.drop_columns([name for name in _LISTED if name in table.column_names])

    def encoded(name: tuple[str, str], places: pa.Array) -> dict[str, bytes]:
        return _encoded(stem(links.method(*name)), plain.take(places))

    with ThreadPoolExecutor() as threads:  # encoding leaves Python's lock to others
        for both in threads.map(encoded, *zip(*_by_method(plain), strict=True)):
            files |= both
    return files


def standing_rows(standing: ScenarioStanding) -> list[dict[str, Any]]:
    """One mapping per line of a scenario's tables, column -> value."""
    return [_line(standing, row) for row in standing.rows]


def _line(standing: ScenarioStanding, row: Row) -> dict[str, Any]:
    problem, entry, tuning = standing.problem, row.entry, row.tuning
    first, last = row.ranks or (None, None)
    energy = {part.provenance: part for part in row.energy}
    line: dict[str, Any] = {
        "suite": standing.scenario.suite,
        "scenario": standing.scenario.name,
        "scenario_version": problem.scenario_version,
        "metric": problem.metric,
        "metric_unit": problem.metric_unit,
        "higher_is_better": problem.higher_is_better,
        "metric_floor": problem.metric_floor,
        "method": row.method,
        "protocol": entry.protocol,
        "rank_first": first,
        "rank_last": last,
        "why_unranked": row.why_unranked,
        "badges": "; ".join(badge.text for badge in page.badges(row)),
        "mean": row.score.mean if row.score else None,
        "half_width_95": row.score.half_width if row.score else None,
        "seeds": len(entry.runs),
        "failed_runs": len(entry.failures),
        "stale_runs": entry.stale,
        "superseded_runs": entry.superseded,
        "tuning_runs": tuning.runs if tuning else None,
        "tuning_failed_runs": tuning.failed_runs if tuning else None,
        "tuning_seconds": tuning.seconds if tuning else None,
        "tuning_cpu_seconds": tuning.cpu_seconds if tuning else None,
        "tuning_energy_joules": tuning.energy_joules if tuning else None,
        "tuning_energy_provenance": tuning.energy_provenance if tuning else None,
        "train_cpu_seconds": row.train_cpu_seconds.mean if row.train_cpu_seconds else None,
        "train_flops": row.train_flops.mean if row.train_flops else None,
        "train_seconds": row.train_seconds.mean if row.train_seconds else None,
        "train_seconds_half_width_95": row.train_seconds.half_width if row.train_seconds else None,
        "answer_cpu_seconds": row.answer_cpu_seconds.mean if row.answer_cpu_seconds else None,
        "peak_memory_bytes": row.peak_memory_bytes,
        "carried_bytes": row.carried_bytes,
        "isolation": " ".join(row.isolation),
    }
    for provenance in ("measured", "estimated"):
        part = energy.get(provenance)
        line[f"energy_{provenance}_joules"] = part.joules if part else None
        line[f"energy_{provenance}_runs"] = part.runs if part else 0
    for name in standing.secondary:
        value = row.secondary.get(name)
        line[f"metric/{name}"] = value.mean if value else None
        line[f"metric/{name}/half_width_95"] = value.half_width if value else None
    return line


def curve_rows(drawn: Sequence[Drawn]) -> list[dict[str, Any]]:
    """The drawn learning curves and, for streams, the drawn matrices, one value a row."""
    rows: list[dict[str, Any]] = []
    for one in drawn:
        row, curve, cells = one.row, one.band, one.matrix
        name = {"method": row.method, "protocol": row.entry.protocol}
        if curve is not None:
            for x, mean, low in zip(curve.samples, curve.mean, curve.low, strict=True):
                width = float(mean - low)
                rows.append(
                    name
                    | {"kind": "curve", "samples_seen": float(x), "mean": float(mean)}
                    | {"half_width_95": width if width == width else None, "seeds": curve.seeds}
                )
        if cells is not None:
            rows += [
                name
                | {"kind": "matrix", "experience": step, "test": test, "mean": value}
                | {"seeds": cells.seeds}
                for step, line in zip(cells.steps, cells.cells, strict=True)
                for test, value in zip(cells.tests, line, strict=True)
            ]
    return rows


_CURVES = pa.schema(
    [("method", pa.string()), ("protocol", pa.string()), ("kind", pa.string()),
     ("samples_seen", pa.float64()), ("experience", pa.int64()), ("test", pa.int64()),
     ("mean", pa.float64()), ("half_width_95", pa.float64()), ("seeds", pa.int64())]
)  # fmt: skip


def _both(name: str, rows: Sequence[dict[str, Any]]) -> dict[str, bytes]:
    if name.endswith(".curves"):
        return _encoded(name, pa.Table.from_pylist(list(rows), schema=_CURVES))
    columns = dict.fromkeys(column for row in rows for column in row)
    arrays = {c: pa.array([row.get(c) for row in rows]) for c in columns}
    table = pa.table(
        {c: a.cast(pa.float64()) if pa.types.is_null(a.type) else a for c, a in arrays.items()}
    )
    return _encoded(name, table)


def _encoded(name: str, table: pa.Table) -> dict[str, bytes]:
    """The table in both formats; the same table gives the same bytes."""
    parquet = pa.BufferOutputStream()
    pq.write_table(table, parquet, compression="zstd", write_statistics=False)
    content = parquet.getvalue().to_pybytes()
    return {f"{name}.parquet": content, f"{name}.csv": spreadsheet.as_csv(table)}


def _by_method(table: pa.Table) -> list[tuple[tuple[str, str], pa.Array]]:
    """(suite, method) and the places of all its runs, by key."""
    by = [("suite", "ascending"), ("method", "ascending"), ("key", "ascending")]
    order = pc.sort_indices(table, by)
    sorted_names = table.select(["suite", "method"]).take(order)
    names = list(zip(*(column.to_pylist() for column in sorted_names.columns), strict=True))
    starts = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    ends = [*starts[1:], len(names)][: len(starts)]
    return [(names[a], order.slice(a, b - a)) for a, b in zip(starts, ends, strict=True)]
