"""Float32 throughout: no value is ever rounded further; the ceiling of the suite.

The optimiser is that of D. P. Kingma, J. Ba, 2015, "Adam: A Method for Stochastic Optimization",
https://arxiv.org/abs/1412.6980.

Departs from the paper:
1. Step size by a cosine and tuned, as in all methods here; the paper keeps it.
2. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from baselines.shared import schedule
from baselines.shared.optimizer_state import state_bytes
from harness.contract import Labelled, Problem
from harness.space import Choice, LogUniform


@dataclass
class Fp32:
    """Plain training."""

    lr: float = 0.003  # step size of Adam at the start, cosine to 0
    batch_size: int = 16  # samples per step

    space = {"lr": LogUniform(3e-4, 3e-2), "batch_size": Choice(16, 32, 64)}
    requires = frozenset({"labels", "fp32"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), self.lr)

    def learn(self, experience: Labelled) -> None:
        steps = schedule.steps(self.problem.budget, len(experience), self.batch_size)
        lr = CosineAnnealingLR(self.optimizer, steps)
        for x, y in experience.batches(self.batch_size):
            loss = F.cross_entropy(self.model(x).flatten(0, -2), y.flatten())
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            lr.step()
        experience.spend(optimizer_state_bytes=state_bytes(self.optimizer))

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(-1)
