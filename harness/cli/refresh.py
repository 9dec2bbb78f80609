"""`bench refresh`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from harness.cli import OK, SOME_FAILED, options, terminal


@click.command("refresh")
@click.argument("suites", nargs=-1, metavar="[SUITE...]")
@click.option(
    "--jobs", type=click.IntRange(min=1), default=1, show_default=True,
    help="Method processes at a time; results do not depend on it.",
)  # fmt: skip
@options.data
@options.results
def command(suites: tuple[str, ...], jobs: int, data: Path | None, results: Path) -> int:
    """Run again what is stale in a results folder, or missing, and nothing else.

    Every study and every reproduction that the folder holds is asked for again, with as many trials
    and seeds as it had: what a changed method, scenario or data set has made stale is run, all else
    is found. Exit code 1 if some runs failed.

    \b
    Example:
      bench refresh
      bench refresh continual --jobs 2 --data ~/datasets
    """
    from harness import study
    from harness.cli.progress import Progress
    from harness.datasets.hub import VARIABLE
    from harness.engines.local import LocalEngine
    from harness.errors import HeldoutError, did_you_mean
    from harness.records.reading import read_table
    from harness.records.store import Store
    from harness.registry import registry
    from harness.reproduction import reproduction
    from harness.reproduction.refresh import numbers, requests

    for name in suites:
        if name not in registry.suites():
            hint = did_you_mean(name, registry.suites())
            raise HeldoutError(f"there is no suite {name!r}{hint}; see: bench list suites")
    if data is not None:
        os.environ[VARIABLE] = str(data)
    table, damaged = read_table(results)
    store, failed, errors, executed, found = Store.open(results), 0, [], 0, 0
    with LocalEngine(jobs) as engine, Progress() as progress:
        for request in requests(table, suites):
            done = study.run(request, engine, store, progress.notify)
            if done.executed:
                what = f"{request.methods[0]} on {request.place}, {request.protocol}"
                terminal.say(f"{what}: {done.executed} runs made")
            failed, executed = failed + done.failed, executed + done.executed
            found += done.found
            errors += [*done.errors, *(n.reason for n in done.not_applicable)]
        again = reproduction.run(numbers(table, suites), engine, store, progress.notify)
    executed, found = executed + again.executed, found + again.found
    failed += sum(comparison.failed for comparison in again.comparisons)
    errors += [*again.errors, *(skipped.reason for skipped in again.not_attempted)]
    terminal.say(f"{executed} runs done, {found} found in {store.root}")
    for line in [*(damage.reason for damage in damaged), *errors]:
        terminal.say(f"bench: {line}", err=True)
    return SOME_FAILED if failed or errors or damaged else OK
