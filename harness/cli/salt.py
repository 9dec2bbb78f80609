"""`bench salt`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import OK, options, terminal


@click.group("salt")
def command() -> None:
    """Say or decide what the seeds of a results folder are made from.

    A salt is public unless the folder gets a private one before its first run: then nobody can
    draw the data of its runs beforehand, and its digest is in every record. Disclosed later, it
    lets everybody repeat them. Runs of contract version 1 have no salt.

    \b
    Example:
      bench salt new --results results
      bench salt disclose --results results
    """


@command.command("new")
@options.results
def new(results: Path) -> int:
    """Give a results folder without salted runs a private salt.

    Its value goes into FOLDER/.salt, which only you can read and git leaves alone: keep a copy.
    Its SHA-256 goes into FOLDER/salt.json, for everybody.

    \b
    Example:
      bench salt new --results results
    """
    from harness.records import salt
    from harness.records.store import Store

    made = salt.make(Store.open(results).root)
    terminal.say(f"a private salt in {results / salt.SECRET}: keep a copy, and show nobody")
    terminal.say(f"its SHA-256, {made.sha256}, in {results / salt.STATED}")
    return OK


@command.command("show")
@options.results
def show(results: Path) -> int:
    """Say which salt a results folder has; the value of a private one is not shown.

    \b
    Example:
      bench salt show
    """
    from harness.records import salt

    found = salt.of_folder(results)
    private = "private" if found.value is not None else "private, and its value is not here"
    kind = "disclosed" if found.disclosed else private
    terminal.say(f"{'public' if found.value == salt.PUBLIC else kind}, SHA-256 {found.sha256}")
    return OK


@command.command("disclose")
@options.results
def disclose(results: Path) -> int:
    """Write the value of a private salt into FOLDER/salt.json, so that all can repeat its runs.

    \b
    Example:
      bench salt disclose
    """
    from harness.records import salt

    salt.disclose(results)
    terminal.say(f"the salt is in {results / salt.STATED}: everybody can repeat the runs now")
    return OK
