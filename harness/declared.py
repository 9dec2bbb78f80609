"""What a method declares, and what it gets for it: fields of an experience, a reward, a judge.

A scenario says what it offers (`Scenario.offers`), a method what it requires (`Method.requires`).
That decides where a method applies, and here what it is handed there: nothing that the scenario
offers and the method does not declare. A method that declares nothing is a plain supervised one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from harness.contract import Deliverable, Scenario

FIELDS: Mapping[str, str] = {
    "inputs": "labels",
    "targets": "labels",
    "chosen": "preferences",
    "rejected": "preferences",
}
"""Which requirement covers which field of `Step.arrays`; any other field is covered by the
requirement of its own name, as "solutions" is. A field whose requirement the scenario does not
offer is for every method: so are the "prompts" of `reasoning` and `rlhf`."""

REWARDS = ("verifier", "proxy reward")
"""The requirements that cover `Step.oracle`, of which a scenario offers one, or neither."""

UNSAID = frozenset({"labels"})
"""What a method without `requires` is taken to have declared."""

JUDGED_NETWORKS = 2
"""The version of the contract from which on `Scenario.judges_network` is in force."""


@dataclass(frozen=True)
class Declaration:
    """What a method's class declared when it was asked, before any of its runs."""

    requires: frozenset[str]
    own_model: bool


def withheld(
    fields: Iterable[str], offers: Collection[str], requires: Collection[str]
) -> dict[str, str]:
    """By field that a method is not handed: the requirement that it would have to declare."""
    needed = {field: FIELDS.get(field, field) for field in fields}
    return {field: need for field, need in needed.items() if _lacks(need, offers, requires)}


def withheld_reward(offers: Collection[str], requires: Collection[str]) -> str:
    """The requirement that a method would have to declare to be rewarded; "" where it may be."""
    needed = [need for need in REWARDS if need in offers]
    lacking = [need for need in needed if _lacks(need, offers, requires)]
    return lacking[0] if needed and len(lacking) == len(needed) else ""


def _lacks(need: str, offers: Collection[str], requires: Collection[str]) -> bool:
    return need in offers and need not in (requires or UNSAID)


def deliverable(scenario: Scenario, declaration: Declaration, contract: int) -> Deliverable:
    """What a method is judged by; a network of its own can only answer by itself."""
    network = contract >= JUDGED_NETWORKS and scenario.judges_network
    return "weights" if network and not declaration.own_model else scenario.deliverable
