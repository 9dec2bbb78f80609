"""Averaged gradient episodic memory: no step may raise the loss on a batch from memory.

A. Chaudhry, M. Ranzato, M. Rohrbach, M. Elhoseiny, 2019, "Efficient Lifelong Learning with A-GEM",
https://arxiv.org/abs/1812.00420. With g the gradient on the new batch and r that on a batch drawn
from all earlier tasks' samples,

    g <- g - (g.r / r.r) r    where g.r < 0 .

Departs from the paper:
1. The memory is a uniform sample of all earlier tasks, 200 samples in all; the paper keeps as many
   per class.
2. Several epochs per task where the paper has one.
3. All outputs are active unless the scenario tells the task; the paper has a head per task on split
   streams, and task descriptors.
4. Plain SGD with a tuned step size and batches of 32, as in all methods here; the paper has 10 new
   and 256 remembered samples per step.
5. Network and budget are the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from baselines.shared.reservoir import Reservoir
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class AGem:
    """Project every gradient that would hurt the memory onto those that do not."""

    lr: float = 0.1  # step size of SGD
    batch_size: int = 32  # new samples per step
    memory_batch: int = 32  # remembered samples per step, behind r
    buffer_size: int = 200  # samples kept

    space = {"lr": LogUniform(0.01, 0.3)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), self.lr)
        self.memory = Reservoir(self.buffer_size, problem.rng)

    def learn(self, experience: Labelled) -> None:
        for x, y in experience.batches(self.batch_size):
            g = self.gradient(x, y, experience.task)
            if len(self.memory):
                g = project(g, self.gradient(*self.memory.sample(self.memory_batch)))
            self._step(g)
        y = experience.targets
        self.memory.add(experience.inputs, y, torch.full_like(y, experience.task))

    def gradient(self, x: Tensor, y: Tensor, task: int | Tensor) -> Tensor:
        """The gradient (P,) of the mean cross-entropy of a batch."""
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(x, task), y).backward()
        return parameters_to_vector(p.grad for p in self.model.parameters())

    def _step(self, g: Tensor) -> None:
        """Let the optimiser take g (P,) for the gradient."""
        weights = list(self.model.parameters())
        for p, part in zip(weights, g.split([p.numel() for p in weights]), strict=True):
            p.grad = part.view_as(p)
        self.optimizer.step()

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)


def project(g: Tensor, r: Tensor) -> Tensor:
    """The vector nearest to g (P,) that does not point against r (P,)."""
    direction = F.normalize(r, dim=0)  # not r / r.r, which overflows where r is tiny
    along = g @ direction
    return g if along >= 0 else g - along * direction
