"""Which runs of doing nothing there are: the network before training, beside every method.

What such a run comes to is `proctor.base`'s to say, and its keys are `protocol.doing_nothing`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness import protocol
from harness.contract import Scenario
from harness.engines.facts import MethodFacts
from harness.engines.job import Job
from harness.errors import HeldoutError
from harness.proctor import base
from harness.protocol import Study, limits
from harness.records.record import BASE, BASE_HASH, Isolation
from harness.registry.registry import MethodEntry

METHOD = MethodEntry(BASE, None, "", Path(), "the network before training, judged as it is")
"""In place of where a method is."""
FACTS = MethodFacts(BASE_HASH, {}, {}, (), own_model=False, learning_rule="sgd")
"""In place of what a method declares."""


def check(methods: Iterable[str], fixed: Iterable[str], isolation: Isolation | None) -> None:
    """Refuse what cannot be asked of doing nothing."""
    if BASE not in methods:
        return
    if any(fixed):
        raise HeldoutError(f"--set: {BASE!r}, the network before training, has no setting")
    if isolation == "inline":
        raise HeldoutError(
            f"{BASE!r} is judged in a process that no method enters; leave out --isolation inline"
        )


def of(study: Study, scenario: Scenario) -> Study:
    """The study of doing nothing where another one is."""
    return protocol.doing_nothing(study, limits(scenario.budget))


def beside(studies: Iterable[tuple[Study, Scenario]]) -> list[Job]:
    """The runs that come with these studies, where none of them is of doing nothing itself.

    From contract version 2 on; not where the harness cannot ask a network by itself.
    """
    known = list(studies)
    asked = {scenario.id for study, scenario in known if study.method == BASE}
    found: dict[str, list[Job]] = {}
    for study, scenario in known:
        wanted = study.contract >= 2 and study.isolation != "inline" and scenario.id not in asked
        if wanted and not base.obstacle(scenario):
            found.setdefault(scenario.id, _jobs(of(study, scenario), scenario))
    return [job for jobs in found.values() for job in jobs]


def _jobs(study: Study, scenario: Scenario) -> list[Job]:
    specs = protocol.plan_evaluation(study, None)
    return [Job(spec, scenario, METHOD.target, True, FACTS.declaration) for spec in specs]
