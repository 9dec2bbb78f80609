"""Where every random draw of a run begins: pure functions of the run's identity.

The method's name stays out, so that methods with one seed share their initial weights and data
order (runs are paired). Worker numbers and clocks never enter. From contract version 2 on every
seed comes one way from a salt, for one purpose each: whoever is told one of them, as a method is,
learns nothing of the others, unless the salt is known. And scenarios that state one group draw
alike, seed by seed: initial weights, data, their order, and what the method draws itself; what
differs between them is the constraint or the format that they are about. The identity is the
suite, the group, the side and the seed. Version 1 has no salt and no groups, and its seeds say
which scenario, side and seed they were made from.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass

import numpy as np

from harness.contract import Scenario, SideName
from harness.errors import HeldoutError

TUNING_SEED = 1_000_000
"""Seeds from here on are for tuning; evaluation counts from 0 and stays below."""


@dataclass(frozen=True)
class Seeds:
    """One 63-bit seed for each place that draws."""

    model: int  # initial weights
    order: int  # order of the samples within an experience
    method: int  # everything the method draws itself


def group(scenario: Scenario, contract: int) -> str:
    """Whose seeds a scenario draws with: those of the group it states, else its own."""
    return (scenario.seed_group if contract >= 2 else "") or scenario.name


def of_run(
    suite: str, group: str, side: SideName, seed: int, *, contract: int, salt: bytes
) -> Seeds:
    """The seeds of a run that its method's process is told."""
    if contract >= 2:
        identity = suite, group, side, seed
        return Seeds(*(_salted(salt, place, *identity) for place in ("model", "order", "method")))
    name = hashlib.sha256(f"{suite}/{group}/{side}".encode()).digest()
    sequence = np.random.SeedSequence([int.from_bytes(name[:16], "big"), seed])
    model, order, method = (int(s) >> 1 for s in sequence.generate_state(3, np.uint64))
    return Seeds(model, order, method)


def of_data(
    suite: str, group: str, side: SideName, seed: int, *, contract: int, salt: bytes
) -> int:
    """The seed that a scenario draws its data with: no method is told it."""
    return _salted(salt, "data", suite, group, side, seed) if contract >= 2 else seed


def of_shuffle(answers_sha256: str, seed: int, *, contract: int, salt: bytes) -> int:
    """The seed that shuffles a test set.

    It depends on the hidden answers, so that a method cannot undo the shuffle and read labels
    from the stored order.
    """
    if contract >= 2:
        return _salted(salt, "shuffle", answers_sha256, seed)
    text = hashlib.sha256(f"{answers_sha256}/{seed}".encode()).digest()
    return int.from_bytes(text[:8], "big")


def of_inference(run: Seeds, test: int, *, contract: int, salt: bytes) -> int:
    """The seed of what the harness itself draws for one test: the same at every point of a run."""
    if contract >= 2:
        return _salted(salt, "inference", run.model, test)
    return int(np.random.SeedSequence([run.model, test]).generate_state(1, np.uint64)[0] >> 1)


def _salted(salt: bytes, purpose: str, *identity: str | int) -> int:
    """63 bits of HMAC-SHA256 (RFC 2104) of a purpose and what it is for."""
    text = json.dumps([purpose, *identity]).encode()
    return int.from_bytes(hmac.digest(salt, text, "sha256")[:8], "big") >> 1


def tuning(count: int) -> tuple[int, ...]:
    """The seeds of every trial."""
    return tuple(range(TUNING_SEED, TUNING_SEED + count))


def evaluation(count: int) -> tuple[int, ...]:
    """The seeds of the evaluation phase, disjoint from tuning's."""
    if count > TUNING_SEED:
        raise HeldoutError(f"{count} evaluation seeds are too many; at most {TUNING_SEED} are kept")
    return tuple(range(count))
