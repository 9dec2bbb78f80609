"""What a method is told of its problem, inside its own process."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import nn

from harness.candidate.experience import Ledger
from harness.candidate.loading import call
from harness.contract import Array, Call, Constraint


class CandidateProblem:
    """Implements `harness.contract.Problem`."""

    def __init__(
        self, facts: Mapping[str, Any], weights: Mapping[str, Array], ledger: Ledger
    ) -> None:
        self.inputs: tuple[int, ...] = tuple(facts["inputs"])
        self.classes: int = facts["classes"]
        self.tasks: int = facts["tasks"]
        self.task_told: bool = facts["task_told"]
        self.device = torch.device(facts["device"])
        self.budget = ledger.budget
        self.exemplars = ledger.budget.exemplars
        self._ledger = ledger
        self.facts: Mapping[str, Any] = facts["facts"]
        self.rng = torch.Generator().manual_seed(facts["seeds"]["method"])
        constraint = facts["constraint"]
        self.constraint: Constraint | None = call(Call(**constraint)) if constraint else None
        self._network_of = Call(**facts["model"])
        self._network_seed: int = facts["seeds"]["model"]
        self._weights = dict(weights)

    def spend(self, **amounts: int) -> None:
        """See `harness.contract.Problem.spend`."""
        for name, amount in amounts.items():
            self._ledger.spend_predicting(name, amount)

    def model(self) -> nn.Module:
        """See `harness.contract.Problem.model`."""
        return copy.deepcopy(self.network)

    @cached_property
    def network(self) -> nn.Module:
        """The network before training, made when it is first asked for; no random state moves."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._network_seed)
            network: nn.Module = call(self._network_of)
        if self._weights:
            weights = {n: torch.from_numpy(a.copy()) for n, a in self._weights.items()}
            network.load_state_dict(weights)
        return network.to(self.device)
