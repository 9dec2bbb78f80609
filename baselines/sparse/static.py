"""Static sparse training: a random mask, drawn before training and never changed.

"Static" in U. Evci et al., 2020, "Rigging the Lottery: Making All Tickets Winners",
https://arxiv.org/abs/1911.11134: the floor for every method that chooses its weights.

Departs from the paper:
1. The first layer is sparse too where the densities by Erdos-Renyi-Kernel make it so.
2. Masks have exact counts.
3. Step size by a cosine without warm-up and tuned, as in all methods here; the paper has steps.
4. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from baselines.shared import masks, schedule
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Static:
    """Train what a random mask leaves."""

    lr: float = 0.05  # step size of SGD at the start, cosine to 0
    batch_size: int = 64  # samples per step
    momentum: float = 0.9  # of SGD
    weight_decay: float = 1e-4  # of SGD, on weights and biases

    space = {"lr": LogUniform(0.01, 0.3)}
    requires = frozenset({"labels", "sparsity"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), self.lr, self.momentum, weight_decay=self.weight_decay
        )
        self.weights = masks.weights_of(self.model, problem.constraint.names)
        kept = masks.counts(masks.shapes_of(self.weights), problem.constraint.share)
        self.masks = masks.random(self.weights, kept, problem.rng)
        masks.apply(self.masks, self.weights, self.optimizer)

    def learn(self, experience: Labelled) -> None:
        steps = schedule.steps(self.problem.budget, len(experience), self.batch_size)
        lr = CosineAnnealingLR(self.optimizer, steps)
        for x, y in experience.batches(self.batch_size):
            loss = F.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            lr.step()
            masks.apply(self.masks, self.weights, self.optimizer)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)
