"""L2 towards the last task's weights: elastic weight consolidation with every weight alike.

The control of J. Kirkpatrick et al., 2017, "Overcoming catastrophic forgetting in neural networks",
https://arxiv.org/abs/1612.00796. With theta* the weights after the previous task, task k minimises

    L(theta) = CE(theta) + strength/2 sum_i (theta_i - theta*_i)^2 .

Departs from the paper:
1. One anchor, the last task's weights; the paper does not say what it does after two tasks.
2. Plain SGD with a tuned step size, as in all methods here, the penalty by implicit steps
   (`baselines.shared.anchor`), and no early stopping.
3. All outputs are active unless the scenario tells the task; all their weights are held alike.
4. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.shared import anchor
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class L2:
    """Pull every weight back to where the last task left it, all equally."""

    lr: float = 0.1  # step size of SGD
    strength: float = 0.1  # lambda; its scale belongs to the formula above
    batch_size: int = 32  # samples per step

    space = {"lr": LogUniform(0.01, 0.3), "strength": LogUniform(1e-3, 10.0)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), self.lr)

    def learn(self, experience: Labelled) -> None:
        strength = self.strength if experience.task else 0.0  # nothing to keep before the first
        start = anchor.theta(self.model)  # theta* (P,)
        for x, y in experience.batches(self.batch_size):
            loss = F.cross_entropy(self.model(x, experience.task), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            anchor.pull(self.model, start, strength, self.lr)

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)
