"""`bench new`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import OK, terminal


@click.group("new")
def command() -> None:
    """Write the files of a new method.

    \b
    Example:
      bench new method my-method --suite continual
    """


@command.command("method")
@click.argument("name")
@click.option("--suite", required=True, help="The suite that it is for; see: bench list suites.")
def method(name: str, suite: str) -> int:
    """Write a complete method and its test into this folder: plain training, to start from.

    \b
    Example:
      bench new method my-method --suite continual
      bench check my_method.py
    """
    from harness.registry import scaffold

    written = scaffold.write(name, suite, Path())
    terminal.say(f"wrote {written.method} and {written.test}; next:")
    terminal.say(f"  bench check {written.target} --suite {suite}")
    terminal.say(f"  bench run {suite} {written.target}")
    return OK
