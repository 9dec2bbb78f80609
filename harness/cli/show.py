"""`bench show`."""

from __future__ import annotations

import dataclasses

import click

from harness import declared
from harness.cli import OK, terminal
from harness.contract import CONTRACT_VERSION, Scenario
from harness.declared import Declaration
from harness.errors import HeldoutError, did_you_mean
from harness.registry import registry, source

PLAIN = Declaration(frozenset(), own_model=False)
"""A method that trains the scenario's own network."""


@click.command("show")
@click.argument("name")
def command(name: str) -> int:
    """Show a suite, a scenario (SUITE/SCENARIO) or a method (NAME or path/to/file.py:Class).

    \b
    Example:
      bench show er
      bench show continual/split-digits-class
    """
    suites, methods = registry.suites(), registry.methods()
    suite, _, rest = name.partition("/")
    if name in suites:
        terminal.say(suites[name].title)
        for scenario in registry.scenarios(name).values():
            terminal.say(f"  {scenario.id}: {scenario.title}")
    elif suite in suites and rest in registry.scenarios(suite):
        _scenario(registry.scenarios(suite)[rest])
    elif ".py" in name or name.rpartition("/")[2] in methods:
        _method(registry.find_method(name, ""))
    else:
        known = [*suites, *methods, *(s.id for n in suites for s in registry.scenarios(n).values())]
        raise HeldoutError(
            f"there is no suite, scenario or method {name!r}{did_you_mean(name, known)}; "
            "see: bench list"
        )
    return OK


def _scenario(scenario: Scenario) -> None:
    terminal.say(f"{scenario.id}, version {scenario.version}, tier {scenario.tier}")
    terminal.say(scenario.title)
    metric = scenario.metric
    better = "higher" if metric.higher_is_better else "lower"
    limits = {k: v for k, v in dataclasses.asdict(scenario.budget).items() if v not in (None, {})}
    rows = [
        ["primary metric", f"{metric.name}, {metric.unit}, {better} is better"],
        ["chance level", f"{metric.floor:.4g}"],
        ["offers", ", ".join(sorted(scenario.offers))],
        ["deliverable", _deliverable(scenario)],
        [
            "budget",
            ", ".join(f"{k} {v:g}" for k, v in limits.items() if isinstance(v, int | float)),
        ],
        ["tuning", f"{scenario.trials} trials x {scenario.tuning_seeds} seeds"],
        *([f"{name}, for all", str(d)] for name, d in sorted(scenario.shared.items())),
        ["evaluation", f"{scenario.seeds} seeds"],
    ]
    terminal.show(terminal.table(rows, form="plain"))


def _deliverable(scenario: Scenario) -> str:
    kind = declared.deliverable(scenario, PLAIN, CONTRACT_VERSION)
    if kind == scenario.deliverable:
        return kind
    return f"{kind}; {scenario.deliverable} of a method with a network of its own"


def _method(entry: registry.MethodEntry) -> None:
    text = source.read(entry)
    terminal.say(f"{entry.name} ({entry.path})")
    terminal.say()
    terminal.show(text.doc)
    terminal.say()
    if text.requires is not None:
        terminal.say(
            f"requires: {', '.join(sorted(text.requires)) or 'labels, as it says nothing'}"
        )
    if text.own_model:
        terminal.say("own model: it brings its own network in place of the scenario's")
    terminal.say()
    rows = [
        [h.name, h.type, h.default, text.space.get(h.name, "fixed"), h.comment]
        for h in text.hyperparameters
    ]
    heads = ["hyper-parameter", "type", "default", "searched over", ""]
    terminal.show(terminal.table(rows, heads))
