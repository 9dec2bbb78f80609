"""Where every random draw of a run begins: pure functions of the run's identity.

The method's name stays out, so that methods with one seed share their initial weights and data
order (runs are paired). Worker numbers and clocks never enter.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from harness.contract import SideName
from harness.errors import HeldoutError

TUNING_SEED = 1_000_000
"""Seeds from here on are for tuning; evaluation counts from 0 and stays below."""


@dataclass(frozen=True)
class Seeds:
    """One 63-bit seed for each place that draws."""

    model: int  # initial weights
    order: int  # order of the samples within an experience
    method: int  # everything the method draws itself


def of_run(suite: str, scenario: str, side: SideName, seed: int) -> Seeds:
    """The seeds of a run."""
    name = hashlib.sha256(f"{suite}/{scenario}/{side}".encode()).digest()
    sequence = np.random.SeedSequence([int.from_bytes(name[:16], "big"), seed])
    model, order, method = (int(s) >> 1 for s in sequence.generate_state(3, np.uint64))
    return Seeds(model, order, method)


def of_shuffle(answers_sha256: str, seed: int) -> int:
    """The seed that shuffles a test set.

    It depends on the hidden answers, so that a method cannot undo the shuffle and read labels
    from the stored order.
    """
    text = hashlib.sha256(f"{answers_sha256}/{seed}".encode()).digest()
    return int.from_bytes(text[:8], "big")


def of_inference(run: Seeds, test: int) -> int:
    """The seed of what the harness itself draws for one test: the same at every point of a run."""
    return int(np.random.SeedSequence([run.model, test]).generate_state(1, np.uint64)[0] >> 1)


def tuning(count: int) -> tuple[int, ...]:
    """The seeds of every trial."""
    return tuple(range(TUNING_SEED, TUNING_SEED + count))


def evaluation(count: int) -> tuple[int, ...]:
    """The seeds of the evaluation phase, disjoint from tuning's."""
    if count > TUNING_SEED:
        raise HeldoutError(f"{count} evaluation seeds are too many; at most {TUNING_SEED} are kept")
    return tuple(range(count))
