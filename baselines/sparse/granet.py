"""GraNet: gradual pruning in which, after every pruning, weights are also dropped and regrown.

S. Liu et al., 2021, "Sparse Training via Boosting Pruning Plasticity with Neuroregeneration",
https://arxiv.org/abs/2106.10404. From a random sparse network, prune by magnitude over all layers
with the cubic schedule; each time, drop the ceil(r n) smallest of a layer's n weights and regrow as
many by the size of the gradient, at 0, with r by a cosine over the whole run, so that regrowth goes
on after pruning has ended.

Departs from the paper:
1. Updates every 25 steps instead of 1,000, and at the end of pruning in any case.
2. Masks at the start have exact counts; the authors draw each entry on its own.
3. Step size by a cosine and tuned, without Nesterov's momentum, as in all methods here.
4. Network and budget are the scenario's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from baselines.shared import masks, schedule
from harness.contract import Labelled, Problem
from harness.space import LogUniform, Uniform


@dataclass
class Granet:
    """Prune, and let the network regenerate what it misses."""

    lr: float = 0.05  # step size of SGD at the start, cosine to 0
    density: float = 0.5  # of the network at the start, if the target is not denser
    end: float = 0.5  # share of the run when the target is reached
    drop: float = 0.5  # r at the start: share of a layer's weights regrown
    last_drop: float = 0.005  # r at the end of the run
    every: int = 25  # steps between updates
    batch_size: int = 64  # samples per step
    momentum: float = 0.9  # of SGD
    weight_decay: float = 1e-4  # of SGD, on weights and biases

    # Step sizes lower than those of sparse networks: a dense one dies above.
    space = {"lr": LogUniform(0.005, 0.15), "drop": Uniform(0.1, 0.7)}
    requires = frozenset({"labels", "sparsity"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), self.lr, self.momentum, weight_decay=self.weight_decay
        )
        self.target = problem.constraint.share  # sparsity at the end
        self.first = min(1 - self.density, self.target)  # sparsity at the start
        self.weights = masks.weights_of(self.model, problem.constraint.names)
        self.shapes = masks.shapes_of(self.weights)
        kept = masks.counts(self.shapes, self.first)
        self.masks = masks.random(self.weights, kept, problem.rng)
        masks.apply(self.masks, self.weights, self.optimizer)

    def learn(self, experience: Labelled) -> None:
        steps = schedule.steps(self.problem.budget, len(experience), self.batch_size)
        lr = CosineAnnealingLR(self.optimizer, steps)
        end = max(1, round(self.end * steps))
        for t, (x, y) in enumerate(experience.batches(self.batch_size), 1):
            loss = F.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            lr.step()
            masks.apply(self.masks, self.weights, self.optimizer)
            if t == end or (t % self.every == 0 and t < steps):
                experience.spend(dense_gradient_samples=len(x))
                self._prune(schedule.cubic(self.first, self.target, t / end))
                self._regenerate(schedule.cosine(self.drop, self.last_drop, t / steps))
                masks.apply(self.masks, self.weights, self.optimizer)

    @torch.no_grad()
    def _prune(self, sparsity: float) -> None:
        """Keep the largest weights, whichever layers they are in."""
        kept = masks.total(self.shapes, sparsity)
        scores = {name: w.abs() for name, w in self.weights.items()}
        self.masks = masks.prune(scores, self.masks, kept, self.problem.rng)

    @torch.no_grad()
    def _regenerate(self, share: float) -> None:
        """Replace a share of every layer's weights."""
        rng = self.problem.rng
        for name, w in self.weights.items():
            count = math.ceil(share * int(self.masks[name].sum()))
            self.masks[name] = masks.replace(w.abs(), self.masks[name], count, w.grad.abs(), rng)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)
