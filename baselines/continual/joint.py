"""Joint training: learn all tasks so far at once, from the beginning.

The ceiling of the suite; "Joint" in G. M. van de Ven, A. S. Tolias, 2019, "Three scenarios for
continual learning", https://arxiv.org/abs/1904.07734. It keeps all data and takes as many
iterations as the tasks so far had together, so it is a bound and no competitor.

Departs from the paper:
1. Trained anew after every task on the union of the tasks so far; the paper trains once, on the
   union of all (every_task=False). The last row of the accuracy matrix is the paper's either way;
   the others are the same for shorter streams.
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
    every_task: bool = True  # train anew after every task, else after the last one only

    space = {"lr": LogUniform(0.01, 0.3)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []  # inputs, targets and task by task
        self.iterations = 0  # of all tasks so far

    def learn(self, experience: Labelled) -> None:
        x, y = experience.inputs, experience.targets  # (N, ...) float32, (N,) int64
        self.seen.append((x, y, torch.full_like(y, experience.task)))
        self.iterations += sum(1 for _ in experience.batches(self.batch_size))
        if not self.every_task and experience.task < self.problem.tasks - 1:
            return

        inputs, targets, tasks = (torch.cat(parts) for parts in zip(*self.seen, strict=True))
        self.model = self.problem.model()  # the initial weights again
        optimizer = optimizers.by_name(self.rule, self.model.parameters(), self.lr)
        for rows in islice(self._batches(len(targets)), self.iterations):
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
