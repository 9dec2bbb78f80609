"""`bench list`."""

from __future__ import annotations

import click

from harness.cli import OK, terminal
from harness.errors import HeldoutError
from harness.registry import registry, source


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
            [entry.name, entry.suite or "(installed)", *_declared(entry), entry.title]
            for entries in registry.methods().values()
            for entry in entries
        ]
        heads = ["method", "suite", "requires", "network", "title"]
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


def _declared(entry: registry.MethodEntry) -> tuple[str, str]:
    """What a method requires, and whose network it trains, as its text says it."""
    try:
        text = source.read(entry)
    except (HeldoutError, SyntaxError):  # of a package that is not whole
        return "?", "?"
    requires = "?" if text.requires is None else ", ".join(sorted(text.requires))
    return requires, "own model" if text.own_model else "the scenario's"
