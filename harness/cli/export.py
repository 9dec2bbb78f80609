"""`bench export`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import OK, SOME_FAILED, options, terminal


@click.command("export")
@click.option(
    "--out", type=click.Path(path_type=Path), help="FILE.parquet or FILE.csv. Default: print CSV."
)
@options.results
def command(out: Path | None, results: Path) -> int:
    """Write the records as one tidy table, a row per run, e.g. for pandas.

    Metrics have a column each (metric.NAME); `counts` says whether a run stands behind a number of
    the leaderboard. Curves and predictions stay in the records. Exit code 1 if a file is damaged.

    \b
    Example:
      bench export --out runs.parquet
    """
    from leaderboard import spreadsheet
    from leaderboard.publishing import export

    table, damaged = export.tidy(results)
    if out is None:
        terminal.data(spreadsheet.as_csv(table).decode())
    else:
        export.write(table, out)
        terminal.say(f"{table.num_rows} runs, {table.num_columns} columns: {out}")
    for damage in damaged:
        terminal.say(f"not read: {damage.reason}", err=True)
    return SOME_FAILED if damaged else OK
