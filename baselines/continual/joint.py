"""Joint training: after every task, learn everything seen so far at once, from the beginning.

The ceiling of the suite; "Joint" in G. M. van de Ven, A. S. Tolias, 2019, "Three scenarios for
continual learning", https://arxiv.org/abs/1904.07734. It keeps all data and takes k times the
iterations at task k, so it is a bound and no competitor.

Departs from the paper:
1. Trained anew after every task k on the union of tasks 1..k, for k times the iterations of one
   task; the paper trains once on the union of all. The last row of the accuracy matrix is the
   paper's; the others are the same for shorter streams.
2. Plain SGD with a tuned step size, as in all methods here; the paper has Adam (rule="adam").
3. Budget and network are the scenario's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines.shared import optimizers
from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Joint:
    """Learn the union of all tasks so far."""

    lr: float = 0.1  # step size of SGD
    batch_size: int = 32  # samples per step
    rule: str = "sgd"  # of the steps, or "adam"

    space = {"lr": LogUniform(0.01, 0.3)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []  # inputs, targets and task by batch

    def learn(self, experience: Labelled) -> None:
        collected = iterations = 0
        for x, y in experience.batches(self.batch_size):
            if collected < len(experience):  # the first epoch shows every sample once
                self.seen.append((x, y, torch.full_like(y, experience.task)))
                collected += len(y)
            iterations += 1

        inputs, targets, tasks = (torch.cat(parts) for parts in zip(*self.seen, strict=True))
        self.model = self.problem.model()  # the initial weights again
        optimizer = optimizers.by_name(self.rule, self.model.parameters(), self.lr)
        for rows in islice(self._batches(len(targets)), iterations * (experience.task + 1)):
            loss = F.cross_entropy(self.model(inputs[rows], tasks[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def _batches(self, count: int) -> Iterator[Tensor]:
        """Rows (B,) of shuffled batches, epoch after epoch without end."""
        while True:
            yield from torch.randperm(count, generator=self.problem.rng).split(self.batch_size)

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)
