"""Experience replay whose buffer takes in a task when it is over, each task with the same share.

The method of `avalanche_replay.py`: what `Replay` of Avalanche 0.6.0 does by default (its
ExperienceBalancedBuffer). Our baseline `er` offers samples to a reservoir while it learns, as its
paper does, so that the buffer soon holds samples of the task at hand, and fewer of the old ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.contract import Labelled, Problem


class SharedBuffer:
    """Up to `capacity` samples in all, equally many of each task."""

    def __init__(self, capacity: int, generator: torch.Generator) -> None:
        self.capacity, self.generator = capacity, generator
        self.kept: list[tuple[Tensor, ...]] = []  # per task, fields (n, ...) in random order
        self.fields: tuple[Tensor, ...] = ()  # all tasks' together

    def add(self, *fields: Tensor) -> None:
        """Take in a task's samples, fields (N, ...); the older tasks make room."""
        order = torch.randperm(len(fields[0]), generator=self.generator)
        self.kept.append(tuple(f[order[: self.capacity]] for f in fields))
        share = self.capacity // len(self.kept)
        self.kept = [tuple(f[:share] for f in kept) for kept in self.kept]
        self.fields = tuple(map(torch.cat, zip(*self.kept, strict=True)))

    def sample(self, size: int) -> tuple[Tensor, ...]:
        """`size` different samples; none as long as there is no task."""
        if not self.fields:
            return ()
        chosen = torch.randperm(len(self.fields[0]), generator=self.generator)[:size]
        return tuple(f[chosen] for f in self.fields)


@dataclass
class TaskReplay:
    """Beside every new batch, learn one of the same size from the tasks before."""

    lr: float = 0.1  # step size of SGD
    batch_size: int = 128  # new samples per step, and as many replayed
    buffer_size: int = 500  # samples kept

    requires = frozenset({"labels"})

    def start(self, problem: Problem) -> None:
        self.model = problem.model()
        self.optimizer = torch.optim.SGD(self.model.parameters(), self.lr)
        self.buffer = SharedBuffer(self.buffer_size, problem.rng)

    def learn(self, experience: Labelled) -> None:
        for x, y in experience.batches(self.batch_size):  # (B, 784) float32, (B,) int64
            step(self.model, self.optimizer, (x, y), self.buffer.sample(self.batch_size))
        self.buffer.add(experience.inputs, experience.targets)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        return self.model(inputs).argmax(1)


def step(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    new: tuple[Tensor, ...],
    old: tuple[Tensor, ...],
) -> None:
    """One step on new and old samples together, each (inputs, targets)."""
    x, y = map(torch.cat, zip(new, old, strict=True)) if old else new
    loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
