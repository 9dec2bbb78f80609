"""Synaptic intelligence: each weight keeps account of how much it lowered the loss.

F. Zenke, B. Poole, S. Ganguli, 2017, "Continual Learning Through Synaptic Intelligence",
https://arxiv.org/abs/1703.04200. Over the steps of a task w adds up what each weight did; then

    w <- w - g (theta_after - theta_before)                    at each step
    Omega <- Omega + w / ((theta_end - theta_start)^2 + xi)    at the end, then w <- 0
    L(theta) = CE(theta) + strength sum_i Omega_i (theta_i - theta_start,i)^2 .

Departs from the paper:
1. g is the gradient of the cross-entropy alone, the penalty having no part in it; the paper leaves
   that open. A sum Omega below 0, of a weight that raised the loss, counts as 0.
2. Plain SGD with a tuned step size, as in all methods here, the penalty by implicit steps
   (`baselines.shared.anchor`); the paper has Adam (rule="adam"), reset per task.
3. All outputs are active unless the scenario tells the task; the paper has a head per task on split
   streams.
4. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from baselines.shared import anchor, optimizers
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Si:
    """Pull each weight back to where it was, by how much it has lowered earlier losses."""

    lr: float = 0.1  # step size of SGD
    strength: float = 1.0  # c of the paper; its scale belongs to the formula above
    damping: float = 0.1  # xi: keeps Omega finite where a weight hardly moved
    batch_size: int = 32  # samples per step
    rule: str = "sgd"  # of the steps, or "adam"

    space = {"lr": LogUniform(0.01, 0.3), "strength": LogUniform(0.1, 1e3)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.optimizer = optimizers.by_name(self.rule, self.model.parameters(), self.lr)
        self.importance = torch.zeros_like(anchor.theta(self.model))  # Omega (P,)

    def learn(self, experience: Labelled) -> None:
        start = anchor.theta(self.model)  # theta_start (P,)
        w = torch.zeros_like(start)  # (P,)
        curvature = 2 * self.strength * self.importance.clamp(min=0)  # (P,)
        for x, y in experience.batches(self.batch_size):
            before = anchor.theta(self.model)
            loss = F.cross_entropy(self.model(x, experience.task), y)
            self.optimizer.zero_grad()
            loss.backward()
            g = parameters_to_vector(p.grad for p in self.model.parameters())  # (P,)
            anchor.step(self.optimizer, self.model, start, curvature)
            w -= g * (anchor.theta(self.model) - before)
        moved = anchor.theta(self.model) - start
        self.importance += w / (moved.square() + self.damping)

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)
