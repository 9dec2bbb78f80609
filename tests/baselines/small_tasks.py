"""Tasks small enough to be worked out by hand, and what the tests of continual methods draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from suites.networks.mlp import mlp

PAIRS = [[0, 3], [1, 2]]  # the labels of two tasks
told_or_not = pytest.mark.parametrize("told", [False, True])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass
class Written:
    """An experience by hand: batches of given inputs and targets, whatever size is asked for."""

    task: int
    parts: list[tuple[Tensor, Tensor]]
    classes: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.inputs, self.targets = map(torch.cat, zip(*self.parts, strict=True))
        self.classes = tuple(self.targets.unique().tolist())

    def __len__(self) -> int:
        return len(self.targets)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        yield from self.parts


def written(task: int, batches: int = 3, size: int = 6, labels: list[int] | None = None) -> Written:
    """Inputs of three features, drawn; the labels alternate."""
    rng = generator(task)
    y = torch.tensor(labels or PAIRS[task]).repeat(size)[:size]
    return Written(
        task, [(torch.randn(size, 3, generator=rng).double(), y) for _ in range(batches)]
    )


def started(method: Any, told: bool = False) -> Any:
    def model() -> torch.nn.Module:
        torch.manual_seed(0)
        return mlp(3, [5], 4, PAIRS if told else None).double()

    method.start(
        SimpleNamespace(
            model=model,
            rng=generator(0),
            tasks=2,
            classes=4,
            task_told=told,
            device=torch.device("cpu"),
        )
    )
    return method


def gradient(model: torch.nn.Module, loss: Tensor) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


def drawn(like: Tensor, seed: int) -> Tensor:
    return torch.rand(like.shape, generator=generator(seed), dtype=like.dtype)


def problem(
    heads: list[list[int]] | None = None,
    outputs: int = 4,
    build: Callable[[int, list[list[int]] | None], nn.Module] | None = None,
) -> SimpleNamespace:
    """Of two tasks; `build`: the network for outputs and heads, None: one of three small layers."""

    def model() -> nn.Module:
        torch.manual_seed(3)
        return build(outputs, heads) if build else mlp(6, [8, 7], outputs, heads)

    return SimpleNamespace(
        model=model,
        rng=generator(),
        inputs=(6,),
        classes=outputs,
        tasks=2,
        task_told=heads is not None,
        device=torch.device("cpu"),
        budget=SimpleNamespace(epochs=4.0, steps=None),
    )


class Experience:
    """A task of 40 samples that tell their labels by their largest input.

    As pictures they lie in [0, 1], and are of another brightness in every task.
    """

    def __init__(self, task: int, classes: tuple[int, ...], pictures: bool = False) -> None:
        rng = generator(task)
        self.task, self.classes = task, classes
        self.targets = torch.tensor(classes).repeat(40 // len(classes))
        noise, label = torch.rand(40, 6, generator=rng), F.one_hot(self.targets, 6)
        self.inputs = (noise + label + task) / 3 if pictures else noise + 2 * label
        self.rng = rng

    def __len__(self) -> int:
        return 40

    def batches(self, size: int, epochs: float | None = None):
        for _ in range(math.ceil(4 if epochs is None else epochs)):
            for rows in torch.randperm(40, generator=self.rng).split(size):
                yield self.inputs[rows], self.targets[rows]


TASKS = [Experience(0, (0, 2)), Experience(1, (1, 3))]
HEADS = [[0, 2], [1, 3]]
