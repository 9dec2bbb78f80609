"""`bench doctor`."""

from __future__ import annotations

import click

from harness.cli import OK, terminal


@click.command("doctor")
@click.option("--energy", is_flag=True, help="Say which energy figures can be believed here.")
def command(energy: bool) -> int:
    """Say what this machine can measure, isolate and accelerate.

    \b
    Example:
      bench doctor
      bench doctor --energy
    """
    from harness.checking import doctor

    findings = doctor.examine_energy() if energy else doctor.examine()
    terminal.show(terminal.table(findings, form="plain"))
    return OK
