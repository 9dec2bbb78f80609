"""GDumb: fill a balanced memory greedily, then train on it alone, from the beginning.

A. Prabhu, P. H. S. Torr, P. K. Dokania, 2020, "GDumb: A Simple Approach that Questions Our Progress
in Continual Learning", https://doi.org/10.1007/978-3-030-58536-5_31. With k slots and C classes met
so far, a sample is stored if its class is new or holds less than k / C; where the memory is full,
one of the largest class, drawn at random, makes room.

Departs from the paper:
1. A class is a pair of task and label: where labels come again, as in permuted streams, the paper's
   rule would keep samples of the first task only.
2. Trained after every task instead of when a test arrives, for as many steps as the stream has
   allowed so far; each task's own steps only show what may be stored.
3. Plain SGD with a constant, tuned step size and batches of 32, as in all methods here; the paper
   has a cosine with warm restarts, batches of 16 and, on colour images, CutMix.
4. Network and budget are the scenario's; the memory holds 200 samples in all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.contract import Labelled, Problem
from harness.space import LogUniform


@dataclass
class Gdumb:
    """Keep as many samples of every class, and learn nothing else."""

    lr: float = 0.1  # step size of SGD
    batch_size: int = 32  # samples per step
    buffer_size: int = 200  # k: samples kept

    space = {"lr": LogUniform(0.01, 0.3)}
    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.problem = problem
        self.model = problem.model()
        self.memory: dict[tuple[int, int], list[Tensor]] = {}  # (task, label) -> inputs
        self.steps = 0  # that the stream has allowed so far

    def learn(self, experience: Labelled) -> None:
        offered = 0
        for x, y in experience.batches(self.batch_size):
            self.steps += 1
            if offered < len(experience):  # the first epoch shows every sample once
                for sample, label in zip(x, y.tolist(), strict=True):
                    self.offer(sample, (experience.task, label))
                offered += len(y)
        self._train()

    def offer(self, sample: Tensor, group: tuple[int, int]) -> None:
        """Store a sample (...) of a (task, label) where the rule says so."""
        mine = self.memory.setdefault(group, [])
        if mine and len(mine) >= self.buffer_size / len(self.memory):
            return
        if sum(map(len, self.memory.values())) >= self.buffer_size:
            largest = max(self.memory.values(), key=len)
            largest.pop(int(torch.randint(len(largest), (), generator=self.problem.rng)))
        mine.append(sample.clone())  # a view would keep its whole batch

    def _train(self) -> None:
        """Learn the memory from the initial weights."""
        x = torch.stack([sample for group in self.memory.values() for sample in group])
        of_samples = [group for group, held in self.memory.items() for _ in held]
        tasks, y = torch.tensor(of_samples, device=x.device).T  # (N,) int64 each
        self.model = self.problem.model()
        optimizer = torch.optim.SGD(self.model.parameters(), self.lr)
        rows: list[Tensor] = []  # batches left of the epoch
        for _ in range(self.steps):
            if not rows:  # the next epoch
                order = torch.randperm(len(y), generator=self.problem.rng)
                rows = list(order.split(self.batch_size))
            batch = rows.pop()
            loss = F.cross_entropy(self.model(x[batch], tasks[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    @torch.no_grad()
    def predict(self, inputs: Tensor, task: int | None = None) -> Tensor:
        return self.model(inputs, task).argmax(1)
