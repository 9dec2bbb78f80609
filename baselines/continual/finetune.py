"""Fine-tuning: stochastic gradient descent on whatever comes, with nothing against forgetting.

The floor of the suite; "None" in G. M. van de Ven, A. S. Tolias, 2019, "Three scenarios for
continual learning", https://arxiv.org/abs/1904.07734.

Departs from the paper:
1. Plain SGD with a tuned step size, as in all methods here; the paper has Adam (rule="adam").
2. Budget and network are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.shared import optimizers
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Finetune:
    """Learn each task as if it were the only one."""

    lr: float = 0.1  # step size of SGD
    batch_size: int = 32  # samples per step
    rule: str = "sgd"  # of the steps, or "adam"

    space = {"lr": LogUniform(0.01, 0.3)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.optimizer = optimizers.by_name(self.rule, self.model.parameters(), self.lr)

    def learn(self, experience: Labelled) -> None:
        for x, y in experience.batches(self.batch_size):
            loss = F.cross_entropy(self.model(x, experience.task), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)
