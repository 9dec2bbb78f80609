"""`bench doctor`."""

from __future__ import annotations

import click
from tabulate import tabulate

from harness.cli import OK


@click.command("doctor")
def command() -> int:
    """Say what this machine can measure, isolate and accelerate.

    \b
    Example:
      bench doctor
    """
    from harness.doctor import examine

    click.echo(tabulate(examine(), tablefmt="plain", disable_numparse=True))
    return OK
