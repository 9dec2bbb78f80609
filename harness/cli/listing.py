"""`bench list`."""

from __future__ import annotations

import click

from harness.cli import OK, terminal
from harness.registry import registry


@click.command("list")
@click.argument("what", type=click.Choice(["suites", "scenarios", "methods"]), default="scenarios")
def command(what: str) -> int:
    """List suites, scenarios (the default) or methods.

    \b
    Example:
      bench list
      bench list methods
    """
    if what == "methods":
        rows = [
            [entry.name, entry.suite or "(installed)", entry.title]
            for entries in registry.methods().values()
            for entry in entries
        ]
        heads = ["method", "suite", "title"]
    elif what == "suites":
        rows = [[entry.name, entry.title] for entry in registry.suites().values()]
        heads = ["suite", "title"]
    else:
        rows = [
            [s.id, s.tier, s.metric.name, f"{s.trials} x {s.tuning_seeds}", str(s.seeds), s.title]
            for suite in registry.suites()
            for s in registry.scenarios(suite).values()
        ]
        heads = ["scenario", "tier", "primary metric", "trials x seeds", "seeds", "title"]
    terminal.show(terminal.table(rows, heads))
    return OK
