"""Random pruning: the schedule of gradual pruning, with the weights to go drawn at random.

The control in D. Blalock et al., 2020, "What is the State of Neural Network Pruning?",
https://arxiv.org/abs/2003.03033: what the schedule does by itself, and what magnitudes add to it.

Departs from the paper:
1. Prunes while training, by the cubic schedule of M. Zhu, S. Gupta, 2017 (see `gmp`); the paper
   prunes a trained network and fine-tunes it.
2. Draws over all layers, so that each is about as sparse as the whole.
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
class RandomPrune:
    """Prune random weights of a network that is being trained."""

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
        """Keep weights at random: scores are equal, and ties are drawn."""
        sparsity = schedule.cubic(0, self.problem.constraint.share, progress)
        kept = masks.total(masks.shapes_of(self.weights), sparsity)
        scores = {name: torch.zeros_like(w) for name, w in self.weights.items()}
        self.masks = masks.prune(scores, self.masks, kept, self.problem.rng)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)
