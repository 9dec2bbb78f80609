"""Elastic weight consolidation.

J. Kirkpatrick et al., 2017, "Overcoming catastrophic forgetting in neural networks",
https://arxiv.org/abs/1612.00796. After every task s its weights theta_s and the diagonal Fisher
information F_s are kept; task k minimises

    L(theta) = CE(theta) + strength/2 sum_{s<k} sum_i F_{s,i} (theta_i - theta_{s,i})^2 .

Departs from the paper:
1. The expectation over labels in the Fisher information is exact and its gradients are of single
   samples (`baselines.shared.fisher`); the paper leaves open how it estimates.
2. All outputs are active unless the scenario tells the task.
3. Plain SGD with a tuned step size, as in all methods here, the penalty by implicit steps
   (`baselines.shared.anchor`), and no early stopping. The penalties of all tasks are one quadratic:
   sum_s F_s/2 (theta - theta_s)^2 = F/2 (theta - theta*)^2 + constant with F = sum_s F_s and
   theta* = sum_s F_s theta_s / F.
4. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from baselines.shared import anchor, fisher, optimizers
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
        self.fisher = torch.zeros_like(anchor.theta(self.model))  # F = sum_s F_s (P,)
        self.weighted = torch.zeros_like(self.fisher)  # sum_s F_s theta_s (P,)

    def learn(self, experience: Labelled) -> None:
        towards = self.weighted / self.fisher.clamp_min(1e-30)  # theta* (P,)
        curvature = self.strength * self.fisher  # (P,)
        for x, y in experience.batches(self.batch_size):
            loss = F.cross_entropy(self.model(x, experience.task), y)
            self.optimizer.zero_grad()
            loss.backward()
            anchor.step(self.optimizer, self.model, towards, curvature)
        found = fisher.diagonal(self.model, experience.inputs, experience.task)
        of_task = parameters_to_vector(found.values())  # F_s (P,)
        self.fisher += of_task
        self.weighted += of_task * anchor.theta(self.model)

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)
