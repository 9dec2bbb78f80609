"""Sparse evolutionary training: drop the smallest weights, grow others at random.

D. C. Mocanu et al., 2018, "Scalable training of artificial neural networks with adaptive sparse
connectivity inspired by network science" (SET), https://arxiv.org/abs/1707.04780; in the variant
that U. Evci et al., 2020, https://arxiv.org/abs/1911.11134, compare with.

Departs from the paper:
1. As in Evci et al.: drops by |w| instead of separately by sign, updates every 25 steps instead of
   every epoch, until three quarters of the run, with a share that falls by a cosine, and grown
   weights start at 0 instead of from a normal distribution.
2. Densities by Erdos-Renyi-Kernel for the scenario's sparsity, with exact counts, instead of
   Erdos-Renyi with epsilon = 20. What was dropped may come back at once.
3. Step size by a cosine and tuned, as in all methods here; the paper has a constant one.
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
from harness.space import LogUniform, Uniform


@dataclass
class Set:
    """A sparse network whose weakest weights move to random places."""

    lr: float = 0.05  # step size of SGD at the start, cosine to 0
    drop: float = 0.3  # zeta: share of a layer's weights replaced at first
    every: int = 25  # steps between updates
    until: float = 0.75  # share of the run after which the mask stays
    batch_size: int = 64  # samples per step
    momentum: float = 0.9  # of SGD
    weight_decay: float = 1e-4  # of SGD, on weights and biases

    space = {"lr": LogUniform(0.01, 0.3), "drop": Uniform(0.1, 0.5)}
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
        for t, (x, y) in enumerate(experience.batches(self.batch_size), 1):
            loss = F.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            lr.step()
            masks.apply(self.masks, self.weights, self.optimizer)
            if t % self.every == 0 and t < self.until * steps:
                self._rewire(schedule.cosine(self.drop, 0, t / (self.until * steps)))
                masks.apply(self.masks, self.weights, self.optimizer)

    @torch.no_grad()
    def _rewire(self, share: float) -> None:
        """Replace a share of every layer's weights; growth has no preference."""
        rng = self.problem.rng
        for name, w in self.weights.items():
            count = int(share * int(self.masks[name].sum()))
            chance = torch.zeros_like(w)  # ties are drawn
            self.masks[name] = masks.replace(w.abs(), self.masks[name], count, chance, rng)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)
