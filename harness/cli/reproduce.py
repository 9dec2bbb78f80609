"""`bench reproduce`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import OK, SOME_FAILED, WRONG_USAGE, options, terminal

if TYPE_CHECKING:
    from harness.reproduction.reported import Reported


@click.command("reproduce")
@click.argument("names", metavar="[NAME...]", nargs=-1)
@click.option("--list", "only_list", is_flag=True, help="List the reported numbers and stop.")
@click.option("--all", "everything", is_flag=True, help="Run every reported number.")
@click.option("--seeds", type=click.IntRange(1), help="Runs per number. Default: the catalogue's.")
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes at a time."
)
@options.data
@options.results
def command(
    names: tuple[str, ...],
    only_list: bool,
    everything: bool,
    seeds: int | None,
    jobs: int,
    data: Path | None,
    results: Path,
) -> int:
    """Run numbers that others have reported and compare.

    A NAME is one of `--list`, or its beginning up to a slash. Runs that are in the results folder
    already are not repeated; they are marked as reproductions and never ranked. A number counts as
    reproduced where each mean lies in the other's 95 % interval.

    \b
    Example:
      bench reproduce --list
      bench reproduce van-de-ven-2018/split-mnist-class --data ~/datasets --jobs 2
    """
    from harness.datasets.hub import VARIABLE
    from harness.reproduction import reproduction

    if only_list:
        terminal.show(_listing(list(reproduction.catalogue().values())))
        return OK
    if not names and not everything:
        terminal.say("bench reproduce: name a number, or give --list or --all", err=True)
        return WRONG_USAGE
    if data is not None:
        os.environ[VARIABLE] = str(data)
    from harness.cli.progress import Progress
    from harness.engines.local import LocalEngine
    from harness.records.store import Store

    known = reproduction.catalogue()
    numbers = list(known.values()) if everything else reproduction.chosen(names)
    store = Store.open(results)
    with LocalEngine(jobs) as engine, Progress() as progress:
        found = reproduction.run(numbers, engine, store, progress.notify, progress.planned, seeds)
    rows = [
        [
            c.reported.name,
            _interval(c.reported.value, c.reported.interval()),
            _interval(c.mean, c.interval()) if c.scores else "",
            "{:+.4f} ± {:.4f}".format(*c.difference()) if c.scores else "",
            f"{len(c.scores)}",
            c.verdict,
            "" if c.verdict == "reproduced" else c.reported.why,
        ]
        for c in found.comparisons
    ]
    rows += [
        [n.reported.name, f"{n.reported.value:g}", "", "", "0", "not attempted", n.reason]
        for n in found.not_attempted
    ]
    heads = ["number", "reported [95 %]", "ours [95 %]", "difference ± 95 %"]
    heads += ["seeds", "verdict", "why"]
    widths = [None, None, None, None, None, None, 60]
    terminal.show(terminal.table(rows, heads, maxcolwidths=widths))
    terminal.say()
    terminal.say(f"{found.executed} runs done, {found.found} found in {store.root}")
    for error in found.errors:
        terminal.say(f"bench: {error}", err=True)
    bad = found.errors or any(c.failed for c in found.comparisons)
    return SOME_FAILED if bad else OK


def _listing(numbers: Sequence[Reported]) -> str:
    from harness.reproduction.reproduction import data_sets

    rows = [
        [
            number.name,
            number.method,
            _interval(number.value, number.interval()),
            number.seeds,
            "" if number.minutes is None else f"{number.minutes:g}",
            ", ".join(data_sets(number)) or "none",
            number.certainty,
            number.source,
        ]
        for number in numbers
    ]
    heads = [
        "number",
        "method",
        "reported [95 %]",
        "seeds",
        "CPU minutes",
        "data",
        "read in",
        "source",
    ]
    return terminal.table(rows, heads)


def _interval(mean: float, ends: tuple[float, float]) -> str:
    low, high = ends
    return (
        f"{mean:.4f}"
        if low == high or low == -float("inf")
        else f"{mean:.4f} [{low:.4f}, {high:.4f}]"
    )
