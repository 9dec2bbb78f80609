"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from harness.errors import HeldoutError

results = click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Folder of the records.",
)

data = click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder of local copies of data sets, laid out like the hub. Default: HELDOUT_DATA.",
)


def pairs(option: str, values: tuple[str, ...]) -> dict[str, str]:
    """`name=value` texts as a mapping."""
    found = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise HeldoutError(f"{option} {text}: write it as {option} name=value")
        found[name.strip()] = value.strip()
    return found
