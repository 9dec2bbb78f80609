"""`bench verify`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from harness.cli import OK, SOME_FAILED, options, terminal


@click.command("verify")
@click.argument("suites", metavar="[SUITE...]", nargs=-1)
@options.results
@options.data
@click.option(
    "--repeat",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Also do N runs again, failed ones first, the rest by lot, and compare them bit for bit.",
)
def command(suites: tuple[str, ...], results: Path, data: Path | None, repeat: int) -> int:
    """Check every record: checksums, keys, the protocol, staleness; and score it again.

    Scores are computed again from the stored predictions by the scenarios themselves. That finds
    figures that do not belong to their predictions; predictions that no method gave are found by
    --repeat, which takes failed runs first and doubts every run that it cannot repeat here.
    Methods are asked anew what they declare: no cache in the folder is read. Every doubt is a
    sentence with what to do; a note is odd, and can be so honestly. Exit code 0: every record is
    sound, 1: there are doubts, or runs that cannot be scored again here.

    \b
    Example:
      bench verify
      bench verify --results demo/results continual --repeat 5
    """
    from random import SystemRandom

    from harness.checking.verification import verify
    from harness.datasets.hub import VARIABLE
    from harness.engines.local import LocalEngine
    from harness.errors import HeldoutError, did_you_mean
    from harness.records.reading import read_table
    from harness.registry import registry
    from leaderboard.standings import anchors

    for suite in suites:
        if suite not in registry.suites():
            hint = did_you_mean(suite, registry.suites())
            raise HeldoutError(f"there is no suite {suite!r}{hint}; see: bench list suites")
    if data is not None:
        os.environ[VARIABLE] = str(data)
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")  # checking records downloads nothing
    with LocalEngine(jobs=1) as engine:
        verdict = verify(
            results,
            engine,
            suites,
            lambda what: terminal.say(what, err=True),
            repeat,
            SystemRandom(),
        )
    table, _ = read_table(results, cached=False)
    doubts = [*verdict.doubts, *anchors.doubts(results, table, suites)]
    for text in doubts:
        terminal.say(f"doubt: {text}")
    for text in verdict.unchecked:
        terminal.say(f"not checked: {text}")
    for text in verdict.facts:
        terminal.say(f"note: {text}")
    repeated = f", {verdict.repeated} done again" if repeat else ""
    unscored = f", {verdict.unscored} not" if verdict.unscored else ""
    terminal.say(
        f"{verdict.records} records in {results}: {verdict.rescored} runs scored again{unscored}"
        f"{repeated}; "
        f"{len(doubts)} doubts"
    )
    return SOME_FAILED if doubts or verdict.unchecked else OK
