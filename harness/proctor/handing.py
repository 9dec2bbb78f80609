"""What of an experience goes to a method's process: nothing that the method did not declare."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from harness import declared
from harness.candidate.channel import SharedArray
from harness.contract import Scenario, Step
from harness.errors import RunFailure


def handed(
    scenario: Scenario,
    requires: Collection[str],
    step: Step,
    arrays: Sequence[SharedArray],
) -> tuple[dict[str, Any], list[SharedArray]]:
    """What is said of an experience, and its fields; of those withheld, what would cover them.

    `arrays` are the step's own, in its order. Raises RunFailure where nothing is left.
    """
    withheld = declared.withheld(step.arrays, scenario.offers, requires)
    fields = zip(step.arrays, arrays, strict=True)
    kept = {name: array for name, array in fields if name not in withheld}
    if not kept:
        needs = ", ".join(f'"{need}"' for need in dict.fromkeys(withheld.values()))
        raise RunFailure(
            "contract",
            f"it declares nothing that {scenario.id} has to learn from ({', '.join(withheld)}); "
            f"add {needs} to its `requires`",
        )
    said = {
        "classes": list(step.classes),
        "names": list(kept),
        "withheld": withheld,
        "points": scenario.points,
        "oracle": step.oracle is not None,
        "oracle_needs": declared.withheld_reward(scenario.offers, requires),
    }
    return said, list(kept.values())
