"""`bench pack`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import OK, SOME_FAILED, options, terminal


@click.command("pack")
@options.results
def command(results: Path) -> int:
    """Put the runs of each method on a scenario into one file, unchanged.

    A sixth of the space, and a folder that git likes better. Everything finds the runs as before,
    and new ones get files of their own until they are packed too. Packs of an older version of the
    schema are written anew in this one. Exit code 1 if a file is damaged.

    \b
    Example:
      bench pack --results results
    """
    from harness.records.packing import pack

    done = pack(results)
    before, after = done.bytes_before / 1e6, done.bytes_after / 1e6
    terminal.say(
        f"{done.runs} runs packed into {done.files} files: {before:.1f} MB -> {after:.1f} MB"
    )
    if done.rewritten:
        terminal.say(f"{done.rewritten} of an older version written anew, every run as it was")
    for damage in done.damaged:
        terminal.say(f"left alone: {damage.reason}", err=True)
    return SOME_FAILED if done.damaged else OK
