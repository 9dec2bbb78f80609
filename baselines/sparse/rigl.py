"""RigL: drop the smallest weights, grow those whose gradient is largest.

U. Evci, T. Gale, J. Menick, P. S. Castro, E. Elsen, 2020, "Rigging the Lottery: Making All Tickets
Winners", https://arxiv.org/abs/1911.11134. Every `every` steps a batch is spent on an update of the
mask in place of a step of the optimiser: with f = drop/2 (1 + cos(pi t / T_end)), each layer drops
its floor(f n) smallest of n weights and grows as many from all others, by the size of the dense
gradient, at 0.

Departs from the paper:
1. Updates every 25 steps instead of 100: a run here has 1,260 steps.
2. Ties are drawn, where the authors' code adds noise of 1e-5 to magnitudes.
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
from harness.space import LogUniform, Uniform


@dataclass
class Rigl:
    """A sparse network that grows where the loss falls most steeply."""

    lr: float = 0.05  # step size of SGD at the start, cosine to 0
    drop: float = 0.3  # alpha: share of a layer's weights replaced at first
    every: int = 25  # Delta T: steps from one update to the next
    until: float = 0.75  # T_end: share of the run after which the mask stays
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
            if t % self.every == 0 and t < self.until * steps:
                experience.spend(dense_gradient_samples=len(x))
                self._rewire(schedule.cosine(self.drop, 0, t / (self.until * steps)))
            else:
                self.optimizer.step()
            lr.step()
            masks.apply(self.masks, self.weights, self.optimizer)

    @torch.no_grad()
    def _rewire(self, share: float) -> None:
        """Replace a share of every layer's weights; new ones are 0 and without momentum."""
        rng = self.problem.rng
        for name, w in self.weights.items():
            count = int(share * int(self.masks[name].sum()))
            self.masks[name] = masks.replace(w.abs(), self.masks[name], count, w.grad.abs(), rng)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)
