"""Backpropagation with momentum: the cheapest update, and one number to tune it by.

D. E. Rumelhart, G. E. Hinton, R. J. Williams, 1986, "Learning representations by back-propagating
errors", https://doi.org/10.1038/323533a0:

    m <- momentum m + dL/dw ,    w <- w - lr m .

Departs from the paper:
1. Cross-entropy and ReLU in place of squared error and sigmoids, as in all methods here.
2. Batches instead of all samples at once; network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.shared import flops
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class BpSgd:
    """The chain rule through all layers, and one step size for all weights."""

    lr: float = 0.03  # step size
    momentum: float = 0.9  # share of the last step that is taken again
    batch_size: int = 50  # samples per step

    space = {"lr": LogUniform(2e-3, 0.15)}
    requires = frozenset({"labels", "layers"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), self.lr, self.momentum)

    def learn(self, experience: Labelled) -> None:
        update = flops.sgd(self.model.parameters(), self.momentum)
        for x, y in experience.batches(self.batch_size):  # (B, inputs) float32, (B,) int64
            loss = F.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            experience.spend(uncounted_flops=update)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)
