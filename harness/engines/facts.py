"""What a method declares: asked of its own process once, then remembered by source hash."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness import space as spaces
from harness.contract import CONTRACT_VERSION, Scalar
from harness.declared import Declaration
from harness.engines.local import LocalEngine
from harness.errors import HeldoutError
from harness.fingerprint import digest, of_source
from harness.metering.machine import libraries
from harness.records.record import Isolation
from harness.registry.registry import MethodEntry


@dataclass(frozen=True)
class MethodFacts:
    """A method as the protocol needs to know it."""

    source_hash: str
    fields: Mapping[str, Sequence[Any]]  # name -> [type name, default]
    space: Mapping[str, Sequence[Any]]  # as harness.space.to_json
    requires: Sequence[str]
    own_model: bool
    learning_rule: str  # of harness.space.LEARNING_RULES
    lifts: Sequence[str] = ()  # limits of the budget that it is run without

    @property
    def defaults(self) -> dict[str, Scalar]:
        """Every hyper-parameter at its default."""
        return {name: default for name, (_, default) in self.fields.items()}

    @property
    def declaration(self) -> Declaration:
        """What its runs are handed and judged by."""
        return Declaration(frozenset(self.requires), self.own_model)

    @property
    def dimensions(self) -> dict[str, spaces.Dimension]:
        """What tuning may search."""
        return spaces.from_json(self.space)


def of_method(
    entry: MethodEntry,
    engine: LocalEngine,
    cache: Path,
    isolation: Isolation | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> MethodFacts:
    """The facts of a method; raises HeldoutError with the first way it breaks the contract.

    `environment` holds the variables that are let through to it. The answer is kept under `cache`
    and may be deleted at any time: it saves starting a process with torch in it when there is
    nothing to run.
    """
    source_hash = of_source(entry.path)
    told = [dict(environment)] if environment else []
    name = digest([entry.target, source_hash, CONTRACT_VERSION, libraries(), *told])
    kept = cache / f"method-{name[:32]}.json"
    try:
        return MethodFacts(**json.loads(kept.read_text()))
    except (OSError, ValueError, TypeError):
        said = engine.describe(entry.target, isolation, environment)
    if said["errors"]:
        raise HeldoutError(said["errors"][0])
    told_of = ("fields", "space", "requires", "own_model", "learning_rule", "lifts")
    facts = MethodFacts(source_hash, **{name: said[name] for name in told_of})
    try:
        cache.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(".tmp")
        partial.write_text(json.dumps(asdict(facts)))
        partial.rename(kept)
    except OSError:
        return facts  # a folder that cannot be written is said elsewhere
    return facts
