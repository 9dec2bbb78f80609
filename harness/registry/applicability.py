"""What applies to what, as suites and methods declare it: read without running any of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.contract import Scenario
from harness.errors import HeldoutError
from harness.records.record import BASE
from harness.registry import registry, source


@dataclass(frozen=True)
class Declared:
    """What a scenario asks for, and the methods that cannot give it."""

    deliverable: str  # "weights" or "predictions"
    not_applicable: Mapping[str, str]  # method -> what it needs and the scenario does not offer


def of_suite(suite: str, methods: Iterable[str] = ()) -> dict[str, Declared]:
    """By scenario, for the suite's own methods and those named; empty for a suite not installed.

    A method given as a file, or whose needs are not written out as a literal, is left out: nothing
    is known of it.
    """
    if suite not in registry.suites():
        return {}
    own = {name for name, entries in registry.methods().items() if suite in _suites(entries)}
    needs = {name: _requires(name, suite) for name in sorted(own | set(methods))}
    return {
        name: Declared(scenario.deliverable, _lacking(scenario, needs))
        for name, scenario in registry.scenarios(suite).items()
    }


def _suites(entries: Iterable[registry.MethodEntry]) -> set[str | None]:
    return {entry.suite for entry in entries}


def _requires(method: str, suite: str) -> frozenset[str]:
    if ".py" in method:
        return frozenset()
    try:
        return source.read(registry.find_method(method, suite)).requires or frozenset()
    except HeldoutError:  # of an earlier version, or of a package that is not installed here
        return frozenset()


def _lacking(scenario: Scenario, needs: Mapping[str, frozenset[str]]) -> dict[str, str]:
    lacking = {name: sorted(wanted - scenario.offers) for name, wanted in needs.items()}
    told = {name: f"needs {', '.join(missing)}" for name, missing in lacking.items() if missing}
    if scenario.infer is None:
        told[BASE] = "the harness cannot ask a network here by itself"
    return told
