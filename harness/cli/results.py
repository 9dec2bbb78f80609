"""`bench results`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import OK, SOME_FAILED, options, terminal


@click.command("results")
@options.results
@click.option("--failures", is_flag=True, help="Also list every failed run and why it failed.")
def command(results: Path, failures: bool) -> int:
    """Summarise the records of a results folder. Exit code 1 if a file in it is damaged.

    \b
    Example:
      bench results
      bench results --results demo/results --failures
    """
    import pyarrow.compute as pc

    from harness.cli.summary import lines, table
    from harness.records import schema
    from harness.records.reading import read_table

    found, damaged = read_table(results)
    shown = found.filter(pc.equal(found["phase"], "evaluation"))
    records = [schema.from_row(row) for row in shown.to_pylist()]
    if records:
        terminal.show(table(lines(records)))
        terminal.say()
    phases = ("tuning", "evaluation", "reproduction")
    counts = [f"{pc.sum(pc.equal(found['phase'], p)).as_py() or 0} {p}" for p in phases]
    failed = found.filter(pc.equal(found["status"], "failed"))
    terminal.say(
        f"{found.num_rows} runs in {results}: {', '.join(counts)}; {failed.num_rows} failed"
    )
    if failures:
        for row in failed.to_pylist():
            record = schema.from_row(row)
            assert record.failure is not None
            terminal.say(f"{record.spec.label}: {record.failure.kind}: {record.failure.reason}")
    for damage in damaged:
        terminal.say(f"not read: {damage.reason}", err=True)
    return SOME_FAILED if damaged else OK
