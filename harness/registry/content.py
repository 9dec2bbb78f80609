"""What of a scenario makes its runs what they are, as a hash that is part of their keys."""

from __future__ import annotations

import dataclasses

from harness.contract import CONTRACT_VERSION, Scenario, SideName
from harness.declared import JUDGED_NETWORKS
from harness.fingerprint import digest

NO_CONTENT = (
    "items",  # what is told of the same outputs
    "shared",  # says which settings are tried; each is in the key of its run
    *("title", "tier", "trials", "tuning_seeds", "seeds", "targets", "flops", "window_seconds"),
    *("sources", "decoded"),  # the fingerprint is of what was found
    "budget",  # is in the key by itself
)
"""What a scenario states that changes no outcome of a run."""

STATED_LATER = 2
"""The version of the contract from which on `decoded` and `seed_group` count."""


def content_hash(scenario: Scenario, contract: int = CONTRACT_VERSION) -> str:
    """Hash of everything a scenario states as data; its code is covered by its version.

    What a scenario stated later than that version of the contract is left out.
    """
    stated = {
        field.name: getattr(scenario, field.name)
        for field in dataclasses.fields(scenario)
        if field.name not in NO_CONTENT and not callable(getattr(scenario, field.name))
    }
    stated["offers"] = sorted(scenario.offers)
    if contract < STATED_LATER:
        del stated["seed_group"]
    if contract < JUDGED_NETWORKS and stated.pop("judges_network"):
        stated["infer"] = None  # as these scenarios stated then
    for name in ("metric", "outputs"):
        stated[name] = dataclasses.asdict(stated[name])
    if scenario.constraint is not None:
        constraint = scenario.constraint
        stated["constraint"] = {
            "target": constraint.identity,
            "arguments": constraint.arguments,
        }
    return digest(stated)


def data_fingerprint(scenario: Scenario, side: SideName, contract: int = CONTRACT_VERSION) -> str:
    """Hash of the data behind one side, as the keys of that version of the contract have it.

    A suite that states no `decoded` has one hash for all versions.
    """
    if contract >= STATED_LATER and scenario.decoded is not None:
        return scenario.decoded(side)
    return scenario.fingerprint(side)
