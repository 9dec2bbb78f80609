"""Dense training: no weight is ever zero; the ceiling of the suite.

"Dense" in U. Evci et al., 2020, "Rigging the Lottery: Making All Tickets Winners",
https://arxiv.org/abs/1911.11134. It meets no constraint, so it is judged where there is none.

Departs from the paper:
1. Step size by a cosine without warm-up and tuned, as in all methods here; the paper has steps.
2. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from baselines.shared import schedule
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Dense:
    """Plain stochastic gradient descent with momentum."""

    lr: float = 0.05  # step size of SGD at the start, cosine to 0
    batch_size: int = 64  # samples per step
    momentum: float = 0.9  # of SGD
    weight_decay: float = 1e-4  # of SGD, on weights and biases

    # Step sizes lower than those of sparse networks: a dense one dies above.
    space = {"lr": LogUniform(0.005, 0.15)}
    requires = frozenset({"labels", "dense"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), self.lr, self.momentum, weight_decay=self.weight_decay
        )

    def learn(self, experience: Labelled) -> None:
        steps = schedule.steps(self.problem.budget, len(experience), self.batch_size)
        lr = CosineAnnealingLR(self.optimizer, steps)
        for x, y in experience.batches(self.batch_size):
            loss = F.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            lr.step()

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)
