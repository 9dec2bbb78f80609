"""N:M at initialisation: the largest N of every M initial weights stay, for good.

The control for N:M methods; no paper has it alone. The groups are those of A. Zhou et al., 2021,
"Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch",
https://arxiv.org/abs/2102.04010.

Departs from the paper:
1. The mask is chosen once, by the magnitude of the initial weights, and never changed.
2. Every matrix has groups, the last one too.
3. Step size by a cosine without warm-up and tuned, as in all methods here.
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
class StaticNm:
    """Train what an N:M mask of the initial magnitudes leaves."""

    lr: float = 0.05  # step size of SGD at the start, cosine to 0
    batch_size: int = 64  # samples per step
    momentum: float = 0.9  # of SGD
    weight_decay: float = 1e-4  # of SGD, on weights and biases

    # Step sizes lower than those of sparse networks: a dense one dies above.
    space = {"lr": LogUniform(0.005, 0.15)}
    requires = frozenset({"labels", "n:m"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), self.lr, self.momentum, weight_decay=self.weight_decay
        )
        wanted = problem.constraint
        self.weights = masks.weights_of(self.model, wanted.names)
        self.masks = {
            name: masks.of_groups(w.detach().abs(), wanted.n, wanted.m)
            for name, w in self.weights.items()
        }
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
