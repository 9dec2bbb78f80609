"""Elastic weight consolidation.

J. Kirkpatrick et al., 2017, "Overcoming catastrophic forgetting in neural networks",
https://arxiv.org/abs/1612.00796. After every task s its weights theta_s and the diagonal Fisher
information F_s are kept; task k minimises

    L(theta) = CE(theta) + strength/2 sum_{s<k} sum_i F_{s,i} (theta_i - theta_{s,i})^2 .

Departs from the paper:
1. The expectation over labels in the Fisher information is exact and its gradients are of single
   samples (`baselines.shared.fisher`); the paper leaves open how it estimates.
2. All outputs are active unless the scenario tells the task.
3. Plain SGD with a tuned step size, as in all methods here, and no early stopping. A step diverges
   where lr * strength * F exceeds 2: that bounds the space from above.
4. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from baselines.shared import fisher, optimizers
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Ewc:
    """Pull each weight back to where earlier tasks left it, by how much they need it."""

    lr: float = 0.1  # step size of SGD
    strength: float = 100.0  # lambda of eq. 3; its scale belongs to the formula above
    batch_size: int = 32  # samples per step
    rule: str = "sgd"  # of the steps, or "adam"

    space = {"lr": LogUniform(0.01, 0.3), "strength": LogUniform(1.0, 1e3)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.optimizer = optimizers.by_name(self.rule, self.model.parameters(), self.lr)
        self.fisher = self._theta()[:0].detach()  # (S, P), one row per finished task
        self.anchor = self._theta()[:0].detach()  # (S, P), the weights then

    def learn(self, experience: Labelled) -> None:
        for x, y in experience.batches(self.batch_size):
            loss = F.cross_entropy(self.model(x, experience.task), y)
            if len(self.anchor):
                moved = (self._theta() - self.anchor).square()  # (S, P)
                loss = loss + self.strength / 2 * (self.fisher * moved).sum()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        found = fisher.diagonal(self.model, experience.inputs, experience.task)
        self.fisher = torch.cat([self.fisher, parameters_to_vector(found.values())[None]])
        self.anchor = torch.cat([self.anchor, self._theta().detach()])

    def _theta(self) -> Tensor:
        """All weights as one row (1, P)."""
        return parameters_to_vector(self.model.parameters())[None]

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)
