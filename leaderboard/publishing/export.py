"""Export: the records as one tidy table, a row per run, for pandas and spreadsheets."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from harness.errors import HeldoutError
from harness.records import schema
from harness.records.reading import read_table
from harness.records.store import Damage
from leaderboard import spreadsheet
from leaderboard.standings import board

PREFIX = "metric."
"""How the columns of metrics are called, e.g. "metric.accuracy"."""


def tidy(results: Path) -> tuple[pa.Table, list[Damage]]:
    """All records: plain columns as stored, one column per metric, and what the leaderboard uses.

    `counts` says whether a run stands behind a number of the leaderboard. Curves, matrices and
    predictions are left out: they are not one value per run.
    """
    table, damaged = read_table(results)
    plain = [field.name for field in table.schema if not pa.types.is_nested(field.type)]
    used = _used(table)
    counts = pa.array([key in used for key in table["key"].to_pylist()], pa.bool_())
    tidied = table.select(plain).append_column("counts", counts)
    metrics = [dict(schema.pairs(row)) for row in table["metrics"].to_pylist()]
    for name in sorted({name for row in metrics for name in row}):
        column = pa.array([row.get(name) for row in metrics], pa.float64())
        tidied = tidied.append_column(f"{PREFIX}{name}", column)
    return tidied, damaged


def write(table: pa.Table, out: Path) -> None:
    """Write the table as the file's ending says: .parquet or .csv."""
    if out.suffix not in (".parquet", ".csv"):
        raise HeldoutError(f"--out {out}: the file ends in .parquet or .csv")
    try:
        with out.open("wb") as file:  # a path, pyarrow might take for an address or a home
            if out.suffix == ".parquet":
                pq.write_table(table, file)
            else:
                file.write(spreadsheet.as_csv(table))
    except OSError as error:
        raise HeldoutError(
            f"cannot write {out} ({error.strerror}); choose another place with --out FILE"
        ) from error


def _used(table: pa.Table) -> set[str]:
    return {
        run.key
        for suite in board.read(table).suites
        for scenario in suite.scenarios
        for entry in scenario.entries
        for run in entry.runs
    }
