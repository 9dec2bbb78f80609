"""SR-STE: N:M sparsity from scratch, dense weights being pulled to where their mask is.

A. Zhou et al., 2021, "Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch",
https://arxiv.org/abs/2102.04010. Forward and backward use w~ = M * w, M holding the largest N of
every M weights along the input; the dense w is trained with

    g(w~) + decay (1 - M) * w .

Departs from the paper:
1. Every matrix has groups, the last one too, which the authors leave dense.
2. Step size by a cosine without warm-up and tuned, as in all methods here.
3. Network and budget are the scenario's.
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
class SrSte:
    """Learn dense weights through a network that sees only the largest of each group."""

    lr: float = 0.05  # step size of SGD at the start, cosine to 0
    decay: float = 2e-4  # lambda: pull towards 0 on weights outside the mask
    batch_size: int = 64  # samples per step
    momentum: float = 0.9  # of SGD
    weight_decay: float = 1e-4  # of SGD, on weights and biases

    # Step sizes lower than those of sparse networks: a dense one dies above.
    space = {"lr": LogUniform(0.005, 0.15), "decay": LogUniform(1e-5, 1e-2)}
    requires = frozenset({"labels", "n:m"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()  # holds w~ whenever a step is done
        self.weights = masks.weights_of(self.model, problem.constraint.names)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), self.lr, self.momentum, weight_decay=self.weight_decay
        )
        self.dense = {name: w.detach().clone() for name, w in self.weights.items()}
        self._show()

    def learn(self, experience: Labelled) -> None:
        steps = schedule.steps(self.problem.budget, len(experience), self.batch_size)
        lr = CosineAnnealingLR(self.optimizer, steps)
        for x, y in experience.batches(self.batch_size):
            experience.spend(dense_gradient_samples=len(x))  # every weight has its gradient
            loss = F.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self._hide()
            self.optimizer.step()
            lr.step()
            self._show()

    @torch.no_grad()
    def _hide(self) -> None:
        """Put the dense weights in place for the optimiser, with their gradient."""
        for name, w in self.weights.items():
            w.copy_(self.dense[name])
            w.grad += self.decay * torch.where(self.masks[name], 0, w)

    @torch.no_grad()
    def _show(self) -> None:
        """Keep the dense weights aside and leave the largest of each group."""
        wanted = self.problem.constraint
        self.masks = {}
        for name, w in self.weights.items():
            self.dense[name].copy_(w)
            self.masks[name] = masks.of_groups(w.abs(), wanted.n, wanted.m)
            w.mul_(self.masks[name])

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)
