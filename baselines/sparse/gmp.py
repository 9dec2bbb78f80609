"""Gradual magnitude pruning: from dense to sparse while training, the smallest weights first.

M. Zhu, S. Gupta, 2017, "To prune, or not to prune: exploring the efficacy of pruning for model
compression", https://arxiv.org/abs/1710.01878. Sparsity at step t between t_0 and t_f is

    s_t = s_f (1 - (1 - (t - t_0) / (t_f - t_0))^3) .

Departs from the paper:
1. Magnitudes compete over all layers; the paper prunes every layer to the same sparsity.
2. Prunes every 25 steps, and at t_f in any case.
3. Step size by a cosine and tuned, as in all methods here.
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
class Gmp:
    """Prune the smallest weights of a network that is being trained."""

    lr: float = 0.05  # step size of SGD at the start, cosine to 0
    begin: float = 0.2  # t_0: share of the run before pruning
    end: float = 0.75  # t_f: share of the run when the target is reached
    every: int = 25  # Delta t: steps between prunings
    batch_size: int = 64  # samples per step
    momentum: float = 0.9  # of SGD
    weight_decay: float = 1e-4  # of SGD, on weights and biases

    # Step sizes lower than those of sparse networks: a dense one dies above.
    space = {"lr": LogUniform(0.005, 0.15), "end": Uniform(0.5, 0.9)}
    requires = frozenset({"labels", "sparsity"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), self.lr, self.momentum, weight_decay=self.weight_decay
        )
        self.weights = masks.weights_of(self.model, problem.constraint.names)
        self.masks = {name: torch.ones_like(w).bool() for name, w in self.weights.items()}

    def learn(self, experience: Labelled) -> None:
        steps = schedule.steps(self.problem.budget, len(experience), self.batch_size)
        lr = CosineAnnealingLR(self.optimizer, steps)
        begin, end = round(self.begin * steps), max(1, round(self.end * steps))
        for t, (x, y) in enumerate(experience.batches(self.batch_size), 1):
            loss = F.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            lr.step()
            if t == end or (begin <= t < end and t % self.every == 0):
                self._prune((t - begin) / (end - begin))
            masks.apply(self.masks, self.weights, self.optimizer)

    @torch.no_grad()
    def _prune(self, progress: float) -> None:
        """Keep the largest weights, whichever layers they are in."""
        sparsity = schedule.cubic(0, self.problem.constraint.share, progress)
        kept = masks.total(masks.shapes_of(self.weights), sparsity)
        scores = {name: w.abs() for name, w in self.weights.items()}
        self.masks = masks.prune(scores, self.masks, kept, self.problem.rng)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)
