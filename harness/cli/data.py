"""`bench data`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import OK, SOME_FAILED, terminal

if TYPE_CHECKING:
    from harness.datasets.hub import Copy


@click.group("data")
def command() -> None:
    """Say which data sets the scenarios need and where they are.

    \b
    Example:
      bench data status
      bench data status --data ~/datasets
    """


@command.command("status")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder of local copies, laid out like the hub. Default: HELDOUT_DATA.",
)
def status(data: Path | None) -> int:
    """Show each data set: present or not, files, licence, fingerprint; and how to get the rest.

    "200 of 60,000" samples is a part of a data set: it has a fingerprint of its own, so that its
    runs are never taken for those of the whole. The fingerprint shown is of the files; the key of a
    run has one of what they hold. The revision is the commit of the hub, where `hf download` or the
    hub's own cache tells it. Exit code 1 if a data set is missing, cannot be read, or is of
    another revision than its scenarios are.

    \b
    Example:
      bench data status
    """
    from harness.datasets import hub as data_sets
    from harness.registry import registry

    if data is not None:
        os.environ[data_sets.VARIABLE] = str(data)
    users = data_sets.users(
        scenario for suite in registry.suites() for scenario in registry.scenarios(suite).values()
    )
    rows, missing, strange = [], [], []
    for source, names in users.items():
        for split in source.splits:
            copy = data_sets.find(source, split)
            if copy is None:
                missing.append((source, split))
                row = ["missing", "", "", "", source.licence, names]
                rows.append([source.id, source.config, split, *row])
                continue
            where = str(copy.files[0] if len(copy.files) == 1 else copy.files[0].parent)
            print_ = copy.fingerprint()[:12]
            strange += [source] if copy.strange else []
            row = [where, _share(copy), print_, _revision(copy), source.licence, names]
            rows.append([source.id, source.config, split, *row])
    heads = ["data set", "configuration", "split", "where", "samples", "fingerprint", "revision",
             "licence", "used by"]  # fmt: skip
    terminal.show(terminal.table(rows, heads))
    if strange:
        terminal.say()
        terminal.say("No scenario takes what is of another revision than its own. To have that:")
        for source in dict.fromkeys(strange):
            terminal.say(f"  {data_sets.download(source)}")
    if missing:
        terminal.say()
        terminal.say("What is missing is asked of the hub when a scenario needs it. To have it:")
        for source in dict.fromkeys(source for source, _ in missing):
            if source.url:
                terminal.say(f"  {source.url}, unpacked as DIR/{source.id}/{source.config}")
            else:
                terminal.say(f"  {data_sets.download(source)}")
        terminal.say(f"then set {data_sets.VARIABLE}=DIR, or give --data DIR.")
    return SOME_FAILED if missing or strange else OK


def _share(copy: Copy) -> str:
    """How many samples a copy holds, and of how many where it is not all."""
    held, stated = copy.rows(), copy.stated_rows
    return f"{held:,}" if stated in (None, held) else f"{held:,} of {stated:,}"


def _revision(copy: Copy) -> str:
    """Of which commits a copy is, and of which it should be where it is of another."""
    known = ", ".join(commit[:12] for commit in copy.revisions) or "not known"
    return f"{known}, not {copy.source.revision[:12]}" if copy.strange else known
