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
    runs are never taken for those of the whole. Exit code 1 if one is missing or cannot be read.

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
    rows, missing = [], []
    for source, names in users.items():
        for split in source.splits:
            copy = data_sets.find(source, split)
            if copy is None:
                missing.append((source, split))
                row = ["missing", "", "", source.licence, names]
                rows.append([source.id, source.config, split, *row])
                continue
            where = str(copy.files[0] if len(copy.files) == 1 else copy.files[0].parent)
            print_ = copy.fingerprint()[:12]
            row = [where, _share(copy), print_, source.licence, names]
            rows.append([source.id, source.config, split, *row])
    heads = ["data set", "configuration", "split", "where", "samples", "fingerprint", "licence",
             "used by"]  # fmt: skip
    terminal.show(terminal.table(rows, heads))
    if not missing:
        return OK
    terminal.say()
    terminal.say("What is missing is asked of the hub when a scenario needs it. To have it here:")
    for source in dict.fromkeys(source for source, _ in missing):
        if source.url:
            terminal.say(f"  {source.url}, unpacked as DIR/{source.id}/{source.config}")
        else:
            folder = f"DIR/{source.id}"
            terminal.say(f"  hf download {source.id} --repo-type dataset --local-dir {folder}")
    terminal.say(f"then set {data_sets.VARIABLE}=DIR, or give --data DIR.")
    return SOME_FAILED


def _share(copy: Copy) -> str:
    """How many samples a copy holds, and of how many where it is not all."""
    held, stated = copy.rows(), copy.stated_rows
    return f"{held:,}" if stated in (None, held) else f"{held:,} of {stated:,}"
