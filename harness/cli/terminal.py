"""The one way of our words to a terminal: nothing that a name says there is a command to it.

Names of methods, scenarios, metrics, files, and reasons of failures are other people's text. Escape
sequences in it could clear a screen or forge a line, direction marks could turn a sentence round.
Such characters are shown as Python would write them (`\\x1b`), which also tells two names apart
that would look alike. JSON, and CSV that does not go to a terminal, are data and stay exact.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import click


def printable(text: str, keep: str = "") -> str:
    """The text with every character escaped that is none to be seen, but for those in `keep`.

    That is control, format (direction marks among them), surrogates, separators of lines, and what
    this Python's Unicode does not know; spaces of any width stay.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep or unicodedata.category(c) == "Zs" else _escaped(c)
        for c in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def say(line: object = "", *, err: bool = False) -> None:
    """Print one line; a line break in it is none."""
    click.echo(printable(str(line)), err=err)


def show(text: str, *, err: bool = False) -> None:
    """Print a text of several lines, or a table."""
    click.echo(printable(text, keep="\n"), err=err)


def table(
    rows: Iterable[Sequence[object]],
    heads: Sequence[str] = (),
    form: str = "simple",
    **options: Any,
) -> str:
    """A table of text, to `show`; a line break in a cell is none. `options`: those of tabulate."""
    from tabulate import tabulate  # not for --help

    cells = [["" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    names = [printable(head) for head in heads]
    return tabulate(cells, names, form, disable_numparse=True, **options)


def data(text: str) -> None:
    """Print what another program will read: as it is, or safe to see where a person looks on.

    `color` keeps click from taking out of it what looks like an escape sequence.
    """
    exact = not sys.stdout.isatty()
    click.echo(text if exact else printable(text, keep="\n"), nl=False, color=exact)
