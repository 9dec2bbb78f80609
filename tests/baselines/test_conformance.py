"""Every registered method passes `bench check`: on one core scenario, or as slow tests on all.

Which one is shared out, so that the methods of a suite together meet every core scenario of it, and
with that every kind of constraint; where a suite has fewer methods, some get one more.
"""

from collections import Counter

import pytest

from harness.candidate import loading
from harness.checking import conformance
from harness.registry import registry

METHODS = {
    f"{entry.suite}/{entry.name}": entry
    for entries in registry.methods().values()
    for entry in entries
    if entry.suite is not None
}


def core(suite):
    return [one for one in registry.scenarios(suite).values() if one.tier == "core"]


def made_for(entry):
    """The names of the core scenarios that a method can run on."""
    requires = set(loading.describe(entry.target)["requires"])
    return [one.name for one in core(entry.suite) if requires <= one.offers]


def shared_out():
    """Scenarios by method: those with the least choice first, each where the fewest have been."""
    choice = {name: made_for(entry) for name, entry in METHODS.items()}
    taken, met = {}, Counter()
    for name in sorted(choice, key=lambda name: (len(choice[name]), name)):
        suite = METHODS[name].suite
        taken[name] = [min(choice[name], key=lambda one: met[suite, one])]
        met[suite, taken[name][0]] += 1
    for suite in {entry.suite for entry in METHODS.values()}:
        for one in (one.name for one in core(suite) if not met[suite, one.name]):
            able = [n for n in METHODS if METHODS[n].suite == suite and one in choice[n]]
            taken[min(able, key=lambda name: len(taken[name]))].append(one)
    return {name: taken[name] for name in METHODS}


TAKEN = shared_out()


def conforms(found):
    """Contract, paper header, space, budget, constraint, and law 10: the same bits once more."""
    wrong = [
        f"{finding.check}: {finding.text}"
        for finding in found
        if finding.verdict == "problem" or finding.check == "length"
    ]
    assert wrong == []
    passed = {finding.check for finding in found if finding.verdict == "ok"}
    assert {"paper header", "hyper-parameters", "import", "run", "determinism"} <= passed
    return passed


def test_the_methods_meet_every_core_scenario_together():
    suites = {entry.suite for entry in METHODS.values()}
    met = {(METHODS[name].suite, one) for name, some in TAKEN.items() for one in some}
    assert met == {(suite, one.name) for suite in suites for one in core(suite)}


@pytest.mark.parametrize("name", METHODS)
def test_method_conforms(name, engine):
    entry, taken = METHODS[name], TAKEN[name]
    passed = conforms(conformance.check(entry, engine, patience_seconds=None, only=taken))
    constraints = [registry.scenarios(entry.suite)[one].constraint for one in taken]
    assert ("constraint" in passed) == any(constraints)


def test_a_scenario_that_it_is_not_made_for_is_a_problem(engine):
    (problem,) = [
        finding.text
        for finding in conformance.check(METHODS["energy/ottt"], engine, only=["digits-mlp-2"])
        if finding.verdict == "problem"
    ]
    assert problem == "it needs labels, spiking; no core scenario named digits-mlp-2 offers that"


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_method_conforms_on_every_scenario(name, engine):
    conforms(conformance.check(METHODS[name], engine, patience_seconds=None))
