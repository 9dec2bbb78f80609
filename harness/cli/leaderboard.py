"""`bench leaderboard`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import OK, options


@click.group("leaderboard")
def command() -> None:
    """Build the static leaderboard.

    \b
    Example:
      bench leaderboard build --results results --out site
    """


@command.command("build")
@options.results
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("site"), show_default=True,
    help="Folder of the site; replaced if an earlier build made it.",
)  # fmt: skip
def build(results: Path, out: Path) -> int:
    """Turn the records of a results folder into pages that open from disk, offline.

    \b
    Example:
      bench leaderboard build
    """
    from leaderboard.build import build as build_site

    built = build_site(results, out)
    if built.damaged:
        click.echo(f"{built.damaged} damaged files, named on the front page", err=True)
    click.echo(f"{built.runs} runs -> {built.pages} pages: {(out / 'index.html').resolve()}")
    return OK
